//! The right to change the schema, and taking one step while others use the tables.

use std::{sync::Arc, time::Duration};

use sea_orm_migration::{
    prelude::*,
    sea_orm::{DatabaseConnection, RuntimeErr},
};
use sqlx::{Connection, PgConnection, postgres::PgConnectOptions};
use tokio::time::{Instant, sleep, timeout};
use tracing::warn;

use crate::{
    Migrator,
    runner::{MigrateError, open},
};

/// What the lock is called in `pg_locks`: any number, as long as it never changes.
pub const LOCK_KEY: i64 = 0x67_61_74_65_70_6f_73_74;
const LOCK_TIMEOUT: Duration = Duration::from_mins(15);
/// Between two tries of a step that did not get its locks: the first pause, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));
/// How often those who hold the locks are asked for.
const LOOK: Duration = Duration::from_millis(250);

#[derive(Clone, Copy)]
pub(crate) enum Way {
    Up,
    Down,
}

/// Whether others were in the way: a lock did not come free in time, or a deadlock was resolved by
/// ending us.
fn was_blocked(error: &DbErr) -> bool {
    let (DbErr::Exec(error) | DbErr::Query(error)) = error else {
        return false;
    };
    let RuntimeErr::SqlxError(error) = error else {
        return false;
    };
    let code = error
        .as_database_error()
        .and_then(sqlx::error::DatabaseError::code);
    matches!(code.as_deref(), Some("55P03" | "40P01"))
}

/// The right to change the schema. It ends with its connection, so a killed program frees it.
pub(crate) struct Lock {
    connection: PgConnection,
}

impl Lock {
    pub(crate) async fn acquire(db: &DatabaseConnection) -> Result<Self, MigrateError> {
        let options: Arc<PgConnectOptions> = db.get_postgres_connection_pool().connect_options();
        let mut connection = open(&options).await?;
        // A standby grants the lock too, so the lock proves nothing about where we are.
        let (standby, read_only): (bool, bool) = sqlx::query_as(
            "SELECT pg_is_in_recovery(), current_setting('transaction_read_only') = 'on'",
        )
        .fetch_one(&mut connection)
        .await?;
        if standby {
            return Err(MigrateError::Standby);
        }
        if read_only {
            return Err(MigrateError::ReadOnly);
        }
        // Nothing is said on this connection while the others work.
        sqlx::raw_sql("SET idle_session_timeout = 0")
            .execute(&mut connection)
            .await?;
        let mut lock = Self { connection };
        lock.wait().await?;
        Ok(lock)
    }

    /// Asks again and again: a statement that waits holds a snapshot, and an index that is built
    /// concurrently would wait for that snapshot while we wait for the index.
    async fn wait(&mut self) -> Result<(), MigrateError> {
        let since = Instant::now();
        let mut told = false;
        loop {
            let got: bool = sqlx::query_scalar("SELECT pg_try_advisory_lock($1)")
                .bind(LOCK_KEY)
                .fetch_one(&mut self.connection)
                .await?;
            if got {
                return Ok(());
            }
            if !told {
                warn!("waiting for another migration to finish");
                told = true;
            }
            if since.elapsed() > LOCK_TIMEOUT {
                return Err(MigrateError::Locked {
                    holder: self.holder().await?,
                });
            }
            sleep(Duration::from_millis(100)).await;
        }
    }

    /// Takes one step, again and again while others hold what it has to lock.
    pub(crate) async fn take(
        &mut self,
        db: &DatabaseConnection,
        name: &str,
        way: Way,
        patience: Duration,
    ) -> Result<(), MigrateError> {
        let begun = Instant::now();
        let mut pause = PAUSES.0;
        for tries in 1.. {
            self.check().await?;
            let (result, holders) = self.try_once(db, way).await?;
            let source = match result {
                Ok(()) => return Ok(()),
                Err(source) => source,
            };
            if !was_blocked(&source) {
                let name = name.to_owned();
                return Err(MigrateError::Step { name, source });
            }
            if begun.elapsed() + pause > patience {
                let name = name.to_owned();
                return Err(MigrateError::Blocked {
                    name,
                    tries,
                    holders,
                });
            }
            warn!(
                "{name} did not get its locks and lets the others go first. {holders} \
                 Trying again in {} s",
                pause.as_secs()
            );
            sleep(pause).await;
            pause = (pause * 2).min(PAUSES.1);
        }
        Ok(())
    }

    /// One try, and who was in its way.
    async fn try_once(
        &mut self,
        db: &DatabaseConnection,
        way: Way,
    ) -> Result<(Result<(), DbErr>, String), MigrateError> {
        let pid: i32 = sqlx::query_scalar("SELECT pg_backend_pid()")
            .fetch_one(db.get_postgres_connection_pool())
            .await?;
        let mut step = Box::pin(async {
            match way {
                Way::Up => Migrator::up(db, Some(1)).await,
                Way::Down => Migrator::down(db, Some(1)).await,
            }
        });
        let mut holders = String::new();
        loop {
            if let Ok(result) = timeout(LOOK, &mut step).await {
                return Ok((result, holders));
            }
            let found: Option<String> = sqlx::query_scalar(
                "SELECT string_agg(format('Held by process %s (%s, %s, %s for %s s).', pid, usename,
                     coalesce(nullif(application_name, ''), 'no application name'),
                     coalesce(state, 'state hidden'),
                     coalesce(extract(epoch FROM now() - state_change)::int, 0)), ' ')
                 FROM pg_stat_activity WHERE pid = ANY (pg_blocking_pids($1))",
            )
            .bind(pid)
            .fetch_one(&mut self.connection)
            .await?;
            holders = found.unwrap_or(holders);
        }
    }

    async fn holder(&mut self) -> Result<String, MigrateError> {
        let pid: Option<i32> = sqlx::query_scalar(
            "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 1
             AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
             AND (classid::bigint << 32) | objid::bigint = $1",
        )
        .bind(LOCK_KEY)
        .fetch_optional(&mut self.connection)
        .await?;
        Ok(pid.map_or_else(|| "unknown".to_owned(), |pid| pid.to_string()))
    }

    pub(crate) async fn make_schema(&mut self, schema: &str) -> Result<(), MigrateError> {
        // Not IF NOT EXISTS alone: that asks for the right to create even if there is nothing to.
        let statement: Option<String> = sqlx::query_scalar(
            "SELECT format('CREATE SCHEMA %I', $1::text)
             WHERE NOT EXISTS (SELECT FROM pg_namespace WHERE nspname = $1)",
        )
        .bind(schema)
        .fetch_optional(&mut self.connection)
        .await?;
        if let Some(statement) = statement {
            sqlx::raw_sql(sqlx::AssertSqlSafe(statement))
                .execute(&mut self.connection)
                .await?;
        }
        Ok(())
    }

    /// Fails if the connection, and with it the lock, was lost meanwhile.
    async fn check(&mut self) -> Result<(), MigrateError> {
        self.connection.ping().await.map_err(MigrateError::Connect)
    }

    pub(crate) async fn release(self) {
        // Closing frees the lock; if that fails the server frees it when it sees the end.
        self.connection.close().await.ok();
    }
}
