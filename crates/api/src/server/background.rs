//! What goes on beside the requests: hearing of changes, sending mail, sealing the audit log,
//! tidying up.

use std::{sync::atomic::Ordering, time::Duration};

use actix_web::web::Data;
use sea_orm::{ConnectionTrait, DbErr, Statement};
use tokio::task::JoinHandle;

use super::start::Started;
use crate::{
    access::listener, admin::recovery, api_keys::usage, audit::sealer, database::retry::retried,
    decisions, dormancy, login::throttle, mfa, policy_admin, registration::pending,
    state::AppState, users::hashes,
};

const WRITE_SEEN_EVERY: Duration = Duration::from_mins(1);
const TIDY_EVERY: Duration = Duration::from_hours(1);
/// Sessions and tokens are kept for a week after their end, for questions.
const KEPT_DAYS: i64 = 7;

/// The tasks of one process.
pub struct Background {
    tasks: Vec<JoinHandle<()>>,
    outbox: JoinHandle<()>,
    sealer: JoinHandle<()>,
    decisions: JoinHandle<()>,
    stop: tokio::sync::watch::Sender<bool>,
}

/// Starts them.
pub fn spawn(started: Started) -> Background {
    let Started {
        state,
        outbox,
        listener,
        key_uses,
        decisions,
        ..
    } = started;
    let (stop, mut stopped) = tokio::sync::watch::channel(false);
    let sealing = sealer::run(Data::clone(&state), stopped.clone());
    let writing = decisions::queue::write_down(Data::clone(&state), decisions, stopped.clone());
    let sending = outbox.run(async move {
        // An error means that the sender is gone, which is a reason to stop, too.
        stopped.wait_for(|stopped| *stopped).await.ok();
    });
    Background {
        tasks: vec![
            tokio::spawn(listener::run(Data::clone(&state), listener)),
            tokio::spawn(usage::write_down(Data::clone(&state), key_uses)),
            tokio::spawn(tidy(Data::clone(&state))),
            tokio::spawn(write_seen(Data::clone(&state))),
            tokio::spawn(hashes::watch(Data::clone(&state))),
            tokio::spawn(policy_admin::watch::watch(Data::clone(&state))),
            tokio::spawn(dormancy::service::watch(state)),
        ],
        outbox: tokio::spawn(sending),
        sealer: tokio::spawn(sealing),
        decisions: tokio::spawn(writing),
        stop,
    }
}

impl Background {
    /// Stops them; a mail that is being sent is sent to the end, and what the last requests did is
    /// sealed.
    pub async fn stop(self, state: &AppState) {
        state.stopping.store(true, Ordering::SeqCst);
        self.stop.send_replace(true);
        for task in self.tasks {
            task.abort();
            // Aborted or done: either way its connection is given back.
            task.await.ok();
        }
        let now = state.clock.now();
        if let Err(error) = retried(|| state.seen.write(&state.db, now)).await {
            tracing::warn!(%error, "could not write down who was seen last");
        }
        if let Err(error) = self.outbox.await {
            tracing::error!(%error, "the outbox worker failed");
        }
        if let Err(error) = self.decisions.await {
            tracing::error!(%error, "the writer of the decision log failed");
        }
        if let Err(error) = self.sealer.await {
            tracing::error!(%error, "the sealer of the audit log failed");
        }
    }
}

/// Writes down who was seen.
async fn write_seen(state: Data<AppState>) {
    loop {
        tokio::time::sleep(WRITE_SEEN_EVERY).await;
        if let Err(error) = state.seen.write(&state.db, state.clock.now()).await {
            tracing::warn!(%error, "could not write down who was seen; trying again in a minute");
        }
    }
}

/// Takes out what nobody will ask for again.
async fn tidy(state: Data<AppState>) {
    loop {
        if let Err(error) = tidy_once(&state).await {
            tracing::warn!(%error, "could not tidy up; trying again in an hour");
        }
        tokio::time::sleep(TIDY_EVERY).await;
    }
}

/// One round of tidying.
///
/// # Errors
///
/// The database's.
pub async fn tidy_once(state: &AppState) -> Result<(), DbErr> {
    let now = state.clock.now();
    let old = now - chrono::TimeDelta::days(KEPT_DAYS);
    let backend = state.db.get_database_backend();
    let retain = i32::try_from(state.config.activity_retention_days).unwrap_or(i32::MAX);
    let partitions = "SELECT gatepost_maintain_activity($1, $2)";
    state
        .db
        .execute_raw(Statement::from_sql_and_values(
            backend,
            partitions,
            [retain.into(), now.into()],
        ))
        .await?;
    decisions::repo::maintain(state).await?;
    let outlived = [
        (
            "DELETE FROM sessions WHERE expires_at < $1 OR revoked_at < $1 OR idle_expires_at < $1",
            old,
        ),
        (
            "DELETE FROM api_keys WHERE expires_at < $1 OR revoked_at < $1",
            old,
        ),
        (
            "DELETE FROM device_fingerprints WHERE trusted_until < $1",
            old,
        ),
        // Who comes back after a year is told of a new device.
        (
            "DELETE FROM device_fingerprints WHERE token_hash IS NULL AND last_seen_at < $1",
            now - chrono::TimeDelta::days(365),
        ),
        ("DELETE FROM webauthn_challenges WHERE expires_at < $1", now),
        ("DELETE FROM one_time_tokens WHERE expires_at < $1", old),
        ("DELETE FROM idempotency_keys WHERE expires_at < $1", now),
    ];
    for (sql, before) in outlived {
        let statement = Statement::from_sql_and_values(backend, sql, [before.into()]);
        state.db.execute_raw(statement).await?;
    }
    mfa::repo::clean_up(&state.db, old).await?;
    mfa::totp::reseal(&state.db, &state.sealer).await?;
    throttle::clean_up(&state.db, now).await?;
    pending::expire(state, now).await?;
    recovery::close_expired(state).await?;
    Ok(())
}
