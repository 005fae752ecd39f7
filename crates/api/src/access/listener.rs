//! Hears of changes that other instances made, and forgets what they made untrue.
//!
//! Once a second the connection has to show that it lives; when it does not,
//! nothing is answered from memory until it does again.

use std::{sync::Arc, time::Duration};

use actix_web::web::Data;
use sqlx::postgres::{PgListener, PgPool};
use tokio::time::timeout;

use super::cache::Change;
use crate::{policy_admin::watch, state::AppState};

const CHANNEL: &str = "gatepost_changes";
/// Silence for this long has to be explained by a sign of life.
const SIGN_OF_LIFE: Duration = Duration::from_secs(1);
/// A sign of life that takes longer is none.
const PATIENCE: Duration = Duration::from_secs(1);
/// Between two attempts to connect.
const PAUSE: Duration = Duration::from_millis(500);

/// Listens until the process ends. `pool` has one connection, which is this task's own.
pub async fn listen(state: Data<AppState>, pool: PgPool) {
    let state: Arc<AppState> = state.into_inner();
    loop {
        match connect(&pool).await {
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
async fn connect(pool: &PgPool) -> anyhow::Result<(PgListener, i64)> {
    let connected = async {
        let mut listener = PgListener::connect_with(pool).await?;
        // A connection that was lost must be told, not mended behind our back: what was
        // said meanwhile was missed.
        listener.eager_reconnect(false);
        listener.ignore_pool_close_event(false);
        listener.listen(CHANNEL).await?;
        let revision = sqlx::query_scalar("SELECT revision FROM authz_state");
        let revision = revision.fetch_one(&mut listener).await?;
        Ok::<_, sqlx::Error>((listener, revision))
    };
    Ok(timeout(Duration::from_secs(5), connected).await??)
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
                    Err(_) => return anyhow::anyhow!("no sign of life within {PATIENCE:?}"),
                }
            }
        }
    }
}
