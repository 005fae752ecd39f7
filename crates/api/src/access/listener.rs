//! Hears of changes that other instances made, and forgets what they made untrue.
//!
//! Once a second the connection has to show that it lives; when it does not,
//! nothing is answered from memory until it does again.

use std::{sync::Arc, time::Duration};

use actix_web::web::Data;
use sqlx::postgres::PgListener;
use tokio::time::timeout;

use super::cache::Change;
use crate::{database::pool::Single, policy_admin::watch, state::AppState};

const CHANNEL: &str = "gatepost_changes";
/// Silence for this long has to be explained by a sign of life.
const SIGN_OF_LIFE: Duration = Duration::from_secs(1);
/// A sign of life that takes longer is none.
const PATIENCE: Duration = Duration::from_secs(1);
/// Between two attempts to connect.
const PAUSE: Duration = Duration::from_millis(500);
/// Longer than one place of several may take to answer.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);

/// How often is looked for what every request would otherwise have to ask for.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Keeps what is remembered true until the process ends.
pub async fn run(state: Data<AppState>, single: Option<Single>) {
    match single {
        Some(single) => listen(state, single).await,
        None => look(state).await,
    }
}

/// Where nothing is heard of, nothing is answered from memory either, except for the signing keys.
async fn look(state: Data<AppState>) {
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        state.cache.forget(&Change::Keys);
        if let Err(error) = state.keys.reload(&state.db, &state.sealer).await {
            tracing::debug!(%error, "the signing keys could not be read");
        }
    }
}

/// `single` is this task's own.
async fn listen(state: Data<AppState>, single: Single) {
    let state: Arc<AppState> = state.into_inner();
    loop {
        match connect(&single).await {
            Ok((mut listener, revision)) => {
                state.cache.start_listening(revision);
                let error = hear(&state, &mut listener).await;
                state.cache.stop_listening();
                if state.is_stopping() {
                    return;
                }
                tracing::warn!(error = %error, "changes are not heard of; asking the database each time");
            }
            Err(error) if state.is_stopping() => {
                tracing::debug!(%error, "stopped listening");
                return;
            }
            Err(error) => {
                tracing::warn!(%error, "cannot listen for changes; asking the database each time");
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// A connection that hears of every change from now on, and the revision that came before.
async fn connect(single: &Single) -> anyhow::Result<(PgListener, i64)> {
    let connected = async {
        let mut listener = PgListener::connect_with(&single.pool().await?).await?;
        // A connection that was lost must be told, not mended behind our back: what was
        // said meanwhile was missed.
        listener.eager_reconnect(false);
        listener.ignore_pool_close_event(false);
        listener.listen(CHANNEL).await?;
        let revision = sqlx::query_scalar("SELECT revision FROM authz_state");
        let revision = revision.fetch_one(&mut listener).await?;
        anyhow::Ok((listener, revision))
    };
    timeout(CONNECT_WITHIN, connected).await?
}

/// Applies what is heard, until the connection is lost.
async fn hear(state: &AppState, listener: &mut PgListener) -> anyhow::Error {
    loop {
        match timeout(SIGN_OF_LIFE, listener.try_recv()).await {
            Ok(Ok(Some(notification))) if notification.payload() == "policy" => {
                watch::reload(state).await;
            }
            Ok(Ok(Some(notification))) => match Change::parse(notification.payload()) {
                Some(Change::Keys) => {
                    state.cache.forget(&Change::Keys);
                    if let Err(error) = state.keys.reload(&state.db, &state.sealer).await {
                        return error.into();
                    }
                }
                Some(change) => state.cache.forget(&change),
                None => tracing::debug!(
                    payload = notification.payload(),
                    "a change of an unknown kind"
                ),
            },
            Ok(Ok(None)) => return anyhow::anyhow!("the connection was lost"),
            Ok(Err(error)) => return error.into(),
            Err(_) => {
                let ping = sqlx::query("SELECT 1").execute(&mut *listener);
                match timeout(PATIENCE, ping).await {
                    Ok(Ok(_)) => {}
                    Ok(Err(error)) => return error.into(),
                    Err(_) => {
                        state.db.connector().suspect();
                        return anyhow::anyhow!("no sign of life within {PATIENCE:?}");
                    }
                }
            }
        }
    }
}
