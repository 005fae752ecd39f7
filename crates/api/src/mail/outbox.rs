//! The table `outbox`, and the worker that empties it.
//!
//! A worker takes a mail by moving its next attempt into the future, so no transaction is open
//! while a mail server is asked, and no other worker takes it meanwhile. If the process is killed,
//! the mail is due again when that time has come: a mail is lost never, and sent twice only if the
//! process dies between the server's yes and the mark in the table.

use std::{fmt, sync::Arc, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::future::join_all;
use sea_orm::{ConnectionTrait, DbBackend, DbErr, FromQueryResult, Statement, Value as SqlValue};
use tokio::sync::Notify;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::{
    message::Mail,
    transport::{Mailer, SendFault},
};
use crate::{
    clock::Clock,
    crypto::seal::Sealer,
    database::{db::Db, retry::retried},
};

/// How often a mail is tried: over about three hours.
pub const MAX_ATTEMPTS: i32 = 10;

const KIND: &str = "mail";
const SEAL_LABEL: &str = "outbox mail";
/// So many mails are taken, and sent, at once.
const BATCH: usize = 8;
/// For so long a worker has a mail to itself; sending takes 20 s at most.
const LEASE: TimeDelta = TimeDelta::minutes(2);
const FIRST_PAUSE: TimeDelta = TimeDelta::seconds(30);
const LONGEST_PAUSE: TimeDelta = TimeDelta::hours(1);
/// How long sent mails (without their content) and given-up ones are kept.
const KEPT: TimeDelta = TimeDelta::days(30);
const POLL: Duration = Duration::from_secs(2);
const PRUNE_EVERY: TimeDelta = TimeDelta::hours(1);
/// Servers can be talkative.
const REASON_CHARS: usize = 500;

/// Writes `mail` to the outbox, in the caller's transaction `conn`.
///
/// # Errors
///
/// What the database says.
pub async fn enqueue(
    conn: &impl ConnectionTrait,
    sealer: &Sealer,
    mail: &Mail,
    now: DateTime<Utc>,
) -> Result<Uuid, DbErr> {
    let id = Uuid::now_v7();
    let json = serde_json::to_vec(mail).map_err(|error| DbErr::Json(error.to_string()))?;
    let payload = sealer.seal(SEAL_LABEL, &Zeroizing::new(json));
    let insert = "INSERT INTO outbox (id, kind, payload, attempts, next_attempt_at, created_at) \
        VALUES ($1, $2, $3, 0, $4, $4)";
    let values = [id.into(), KIND.into(), payload.into(), now.into()];
    conn.execute_raw(statement(insert, values)).await?;
    Ok(id)
}

/// What became of the mails of one round.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Delivery {
    /// Taken by the server.
    pub sent: usize,
    /// To be tried again.
    pub postponed: usize,
    /// Refused for good, or tried too often.
    pub given_up: usize,
}

/// Sends what is due. Any number of instances may work on one table.
#[derive(Clone)]
pub struct Outbox {
    db: Db,
    sealer: Sealer,
    mailer: Mailer,
    clock: Arc<dyn Clock>,
    wake: Arc<Notify>,
}

#[derive(FromQueryResult)]
struct Due {
    id: Uuid,
    payload: Vec<u8>,
    attempts: i32,
}

#[derive(Clone, Copy)]
enum Outcome {
    Sent,
    Postponed,
    GivenUp,
}

impl Outcome {
    const fn name(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Postponed => "postponed",
            Self::GivenUp => "given_up",
        }
    }
}

impl Outbox {
    /// A worker; [`run`](Self::run) starts it.
    pub fn new(db: Db, sealer: Sealer, mailer: Mailer, clock: Arc<dyn Clock>) -> Self {
        Self {
            db,
            sealer,
            mailer,
            clock,
            wake: Arc::new(Notify::new()),
        }
    }

    /// For health: `smtp`, `log` or `not configured`.
    #[must_use]
    pub const fn status(&self) -> &'static str {
        self.mailer.status()
    }

    /// Has the worker look at once. To be called after the commit; without it a mail waits 2 s.
    pub fn wake(&self) {
        self.wake.notify_one();
    }

    /// Sends what becomes due until `shutdown` resolves; a round that has begun is finished, which
    /// takes 20 s at most.
    pub async fn run(self, shutdown: impl Future<Output = ()>) {
        let mut shutdown = std::pin::pin!(shutdown);
        if !self.mailer.is_configured() {
            tracing::warn!("SMTP_URL is not set: mails wait in the outbox");
            shutdown.await;
            return;
        }
        let mut pruned_at = None;
        let mut pause = Duration::ZERO;
        loop {
            tokio::select! {
                biased;
                () = &mut shutdown => return,
                () = self.wake.notified() => {}
                () = tokio::time::sleep(pause) => {}
            }
            let delivery = self.deliver().await.unwrap_or_else(|error| {
                tracing::error!("the outbox cannot be read: {error}");
                Delivery::default()
            });
            let count = delivery.sent + delivery.postponed + delivery.given_up;
            pause = if count < BATCH { POLL } else { Duration::ZERO };
            let now = self.clock.now();
            if pruned_at.is_none_or(|at| now - at >= PRUNE_EVERY) {
                pruned_at = Some(now);
                if let Err(error) = self.prune().await {
                    tracing::error!("the outbox cannot be pruned: {error}");
                }
            }
        }
    }

    /// One round: takes up to eight due mails and sends them side by side.
    ///
    /// # Errors
    ///
    /// What the database says when mails are taken. What goes wrong with one mail is in the answer
    /// and in the table.
    pub async fn deliver(&self) -> Result<Delivery, DbErr> {
        if !self.mailer.is_configured() {
            return Ok(Delivery::default());
        }
        let due = self.take().await?;
        let outcomes = join_all(due.iter().map(|due| self.attempt(due))).await;
        let mut delivery = Delivery::default();
        for outcome in outcomes {
            match outcome {
                Outcome::Sent => delivery.sent += 1,
                Outcome::Postponed => delivery.postponed += 1,
                Outcome::GivenUp => delivery.given_up += 1,
            }
            metrics::counter!("gatepost_mails_total", "outcome" => outcome.name()).increment(1);
        }
        Ok(delivery)
    }

    /// Deletes what was sent or given up more than 30 days ago.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn prune(&self) -> Result<u64, DbErr> {
        let delete = "DELETE FROM outbox WHERE kind = $1 AND created_at < $2 \
            AND (sent_at IS NOT NULL OR attempts >= $3)";
        let before = self.clock.now() - KEPT;
        let values = [KIND.into(), before.into(), MAX_ATTEMPTS.into()];
        let result = self.db.execute_raw(statement(delete, values)).await?;
        Ok(result.rows_affected())
    }

    /// The attempt is counted before it is made, so a mail that kills the process ends as well.
    /// MATERIALIZED, because a plan may run a locking subquery more than once.
    async fn take(&self) -> Result<Vec<Due>, DbErr> {
        let take = "WITH due AS MATERIALIZED ( \
                SELECT id FROM outbox \
                WHERE sent_at IS NULL AND kind = $1 AND next_attempt_at <= $2 AND attempts < $3 \
                ORDER BY next_attempt_at, id LIMIT $4 FOR UPDATE SKIP LOCKED) \
            UPDATE outbox SET attempts = attempts + 1, next_attempt_at = $5, \
                error = 'the attempt was not finished' \
            FROM due WHERE outbox.id = due.id \
            RETURNING outbox.id, outbox.payload, outbox.attempts";
        let now = self.clock.now();
        let batch = i64::try_from(BATCH).expect("it is small");
        let values = [
            KIND.into(),
            now.into(),
            MAX_ATTEMPTS.into(),
            batch.into(),
            (now + LEASE).into(),
        ];
        Due::find_by_statement(statement(take, values))
            .all(&self.db)
            .await
    }

    async fn attempt(&self, due: &Due) -> Outcome {
        let result = match self.open(due) {
            Ok(mail) => self.mailer.send(due.id, &mail, self.clock.now()).await,
            Err(fault) => Err(fault),
        };
        let (outcome, marked) = match result {
            Ok(()) => (Outcome::Sent, retried(|| self.mark_sent(due)).await),
            Err(fault) => {
                let last = fault.permanent || due.attempts >= MAX_ATTEMPTS;
                let level = if last { "given up" } else { "postponed" };
                tracing::warn!(id = %due.id, attempt = due.attempts, "mail {level}: {}", fault.reason);
                let outcome = if last {
                    Outcome::GivenUp
                } else {
                    Outcome::Postponed
                };
                let marked = retried(|| self.mark_failed(due, &fault));
                (outcome, marked.await)
            }
        };
        if let Err(error) = marked {
            tracing::error!(id = %due.id, "the outbox cannot be written; the mail may go out twice: {error}");
        }
        outcome
    }

    fn open(&self, due: &Due) -> Result<Mail, SendFault> {
        // The secret may come back, a program that knows the template as well: not permanent.
        let later = |reason: String| SendFault {
            permanent: false,
            reason,
        };
        let json = self
            .sealer
            .open(SEAL_LABEL, &due.payload)
            .map_err(|error| later(error.to_string()))?;
        serde_json::from_slice(&json)
            .map_err(|_| later("this version of the program cannot read the mail".to_owned()))
    }

    /// What was sent is no longer needed, and may hold a link that is still good.
    async fn mark_sent(&self, due: &Due) -> Result<(), DbErr> {
        let update = "UPDATE outbox SET sent_at = $2, payload = '', error = NULL WHERE id = $1";
        let values = [due.id.into(), self.clock.now().into()];
        self.db.execute_raw(statement(update, values)).await?;
        Ok(())
    }

    /// Only if the attempt is still ours: after the lease another worker may have the mail.
    async fn mark_failed(&self, due: &Due, fault: &SendFault) -> Result<(), DbErr> {
        let update = "UPDATE outbox SET attempts = $3, next_attempt_at = $4, error = $5 \
            WHERE id = $1 AND attempts = $2 AND sent_at IS NULL";
        let attempts = if fault.permanent {
            MAX_ATTEMPTS
        } else {
            due.attempts
        };
        let reason: String = fault.reason.chars().take(REASON_CHARS).collect();
        let values = [
            due.id.into(),
            due.attempts.into(),
            attempts.into(),
            (self.clock.now() + pause_after(due.attempts)).into(),
            // PostgreSQL takes no NUL in text.
            reason.replace('\0', " ").into(),
        ];
        self.db.execute_raw(statement(update, values)).await?;
        Ok(())
    }
}

impl fmt::Debug for Outbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outbox")
            .field("mailer", &self.mailer)
            .finish_non_exhaustive()
    }
}

/// 30 s, doubling to an hour.
fn pause_after(attempts: i32) -> TimeDelta {
    let doublings = u32::try_from(attempts - 1).unwrap_or(0).min(16);
    (FIRST_PAUSE * 2_i32.pow(doublings)).min(LONGEST_PAUSE)
}

fn statement<const N: usize>(sql: &str, values: [SqlValue; N]) -> Statement {
    Statement::from_sql_and_values(DbBackend::Postgres, sql, values)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_from_half_a_minute_to_an_hour() {
        let pauses: Vec<i64> = (1..=10).map(|n| pause_after(n).num_seconds()).collect();
        assert_eq!(pauses, [30, 60, 120, 240, 480, 960, 1920, 3600, 3600, 3600]);
        assert_eq!(pause_after(i32::MAX), LONGEST_PAUSE);
    }
}
