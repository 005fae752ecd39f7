//! Taking the steps of the history, one program at a time.

use std::{sync::Arc, time::Duration};

use sea_orm_migration::{
    prelude::*,
    sea_orm::{DatabaseConnection, DbBackend, Statement},
};
use sqlx::{
    Connection, PgConnection,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use tokio::time::{Instant, sleep, timeout};
use tracing::{info, warn};

use crate::Migrator;

/// What the lock is called in `pg_locks`: any number, as long as it never changes.
pub const LOCK_KEY: i64 = 0x67_61_74_65_70_6f_73_74;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const LOCK_TIMEOUT: Duration = Duration::from_mins(15);

/// Why the schema was left as it is.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    /// No connection came about, or not in time.
    #[error("cannot connect to the database: {0}")]
    Connect(#[source] sqlx::Error),
    /// The server is a standby, which takes its schema from the primary.
    #[error("this server is a standby: migrations run on the primary, whose schema it follows")]
    Standby,
    /// Every transaction of this role or database is read-only.
    #[error(
        "the database takes no writes (default_transaction_read_only is on): \
         reset it for the database or the role that migrates"
    )]
    ReadOnly,
    /// Another program kept the lock for 15 minutes.
    #[error("another migration (server process {holder}) did not finish within 15 minutes")]
    Locked {
        /// The process id of the holder's connection, or `unknown`.
        holder: String,
    },
    /// The database knows steps that this program does not.
    #[error("the database is newer than this program, which does not know {}", .0.join(", "))]
    Newer(Vec<String>),
    /// No step has this name, or several begin so.
    #[error("no single migration is called {0:?}; `history` lists them")]
    NoSuchMigration(String),
    /// The connection looks for tables elsewhere than asked.
    #[error("the connection's search path begins with schema {found:?} and not with {expected:?}")]
    OtherSchema {
        /// What `current_schema()` says; empty if no schema of the path exists.
        found: String,
        /// What was asked for.
        expected: String,
    },
    /// The API's role cannot be given its rights.
    #[error("{0}")]
    Role(String),
    /// A step failed and was rolled back; those before it stay.
    #[error("{name}: {source}")]
    Step {
        /// The step.
        name: String,
        /// What the database said.
        source: DbErr,
    },
    /// A statement outside the steps failed.
    #[error("{0}")]
    Database(#[from] DbErr),
    /// A statement outside the steps failed.
    #[error("{0}")]
    Sql(#[from] sqlx::Error),
}

/// Opens a pool of one connection, and says why if it cannot.
///
/// A pool by itself would try again until its time is up and then know no cause.
pub async fn connect(options: PgConnectOptions) -> Result<DatabaseConnection, MigrateError> {
    let probe = open(&options).await?;
    // Politeness only: the answer that mattered was the connection itself.
    probe.close().await.ok();
    let pool = PgPoolOptions::new()
        .max_connections(1)
        .acquire_timeout(CONNECT_TIMEOUT)
        .idle_timeout(None)
        .max_lifetime(None)
        .connect_lazy_with(options);
    Ok(sea_orm_migration::sea_orm::SqlxPostgresConnector::from_sqlx_postgres_pool(pool))
}

/// Takes every missing step and returns their names. Programs that try at the same time wait for
/// the first, and then find nothing left to do.
///
/// `schema` is made if it does not exist; the search path of `db` must begin with it. A database
/// that is newer than this program is left alone, unless steps are missing too.
pub async fn up(db: &DatabaseConnection, schema: &str) -> Result<Vec<String>, MigrateError> {
    let mut lock = Lock::acquire(db).await?;
    lock.make_schema(schema).await?;
    check_schema(db, schema).await?;
    Migrator::install(db).await?;
    let status = status(db).await?;
    if !status.pending.is_empty() {
        status.refuse_unknown()?;
    }
    for name in &status.pending {
        lock.check().await?;
        Migrator::up(db, Some(1)).await.map_err(in_step(name))?;
        info!(migration = name, "applied");
    }
    lock.release().await;
    Ok(status.pending)
}

/// How far back [`down`] goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Down {
    /// This many steps.
    Steps(usize),
    /// Everything after this step, which stays. The start of its name will do.
    To(String),
}

/// Takes steps back, newest first, and returns their names. The data they hold is lost.
pub async fn down(
    db: &DatabaseConnection,
    schema: &str,
    how_far: &Down,
) -> Result<Vec<String>, MigrateError> {
    let mut lock = Lock::acquire(db).await?;
    check_schema(db, schema).await?;
    let status = status(db).await?;
    status.refuse_unknown()?;
    let mut names: Vec<String> = status.applied.into_iter().map(|step| step.name).collect();
    let keep = match how_far {
        Down::Steps(steps) => names.len().saturating_sub(*steps),
        Down::To(name) => {
            let name = find(name)?;
            let place = names.iter().position(|applied| *applied == name);
            place.ok_or(MigrateError::NoSuchMigration(name))? + 1
        }
    };
    let mut undone = names.split_off(keep);
    undone.reverse();
    for name in &undone {
        lock.check().await?;
        Migrator::down(db, Some(1)).await.map_err(in_step(name))?;
        info!(migration = name, "taken back");
    }
    lock.release().await;
    Ok(undone)
}

/// Notes that the schema stands after `name`, without running anything: for a schema that was
/// brought there by other means. Returns the whole name.
pub async fn stamp(
    db: &DatabaseConnection,
    schema: &str,
    name: &str,
) -> Result<String, MigrateError> {
    let name = find(name)?;
    let mut lock = Lock::acquire(db).await?;
    lock.make_schema(schema).await?;
    check_schema(db, schema).await?;
    Migrator::install(db).await?;
    let before: Vec<String> = known()
        .into_iter()
        .take_while(|step| *step <= name)
        .collect();
    let statement = Statement::from_sql_and_values(
        DbBackend::Postgres,
        "WITH gone AS (DELETE FROM seaql_migrations WHERE version <> ALL ($1))
         INSERT INTO seaql_migrations (version, applied_at)
         SELECT step, extract(epoch FROM now())::bigint FROM unnest($1) AS step
         ON CONFLICT (version) DO NOTHING",
        [before.into()],
    );
    db.execute_raw(statement).await?;
    lock.release().await;
    Ok(name)
}

/// A step that the database has taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    /// Its name.
    pub name: String,
    /// When, in UTC, as `2026-11-21 03:40:46`.
    pub at: String,
}

/// Where a database stands in the history.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// Steps taken, oldest first.
    pub applied: Vec<Applied>,
    /// Steps missing, in the order in which they would be taken.
    pub pending: Vec<String>,
    /// Steps taken that this program does not know: the database is newer.
    pub unknown: Vec<Applied>,
}

impl Status {
    fn refuse_unknown(&self) -> Result<(), MigrateError> {
        if self.unknown.is_empty() {
            return Ok(());
        }
        let names = self.unknown.iter().map(|step| step.name.clone()).collect();
        Err(MigrateError::Newer(names))
    }
}

/// Where the database stands. Only reads, so the API's role may ask.
pub async fn status(db: &impl ConnectionTrait) -> Result<Status, MigrateError> {
    let exists = Statement::from_string(
        DbBackend::Postgres,
        "SELECT to_regclass('seaql_migrations') IS NOT NULL AS yes",
    );
    let row = db.query_one_raw(exists).await?;
    let mut taken = Vec::new();
    if row.is_some_and(|row| row.try_get("", "yes").unwrap_or(false)) {
        let rows = Statement::from_string(
            DbBackend::Postgres,
            "SELECT version, to_char(to_timestamp(applied_at) AT TIME ZONE 'UTC',
                'YYYY-MM-DD HH24:MI:SS') AS at FROM seaql_migrations ORDER BY version",
        );
        for row in db.query_all_raw(rows).await? {
            taken.push(Applied {
                name: row.try_get("", "version")?,
                at: row.try_get("", "at")?,
            });
        }
    }
    let known = known();
    let pending = known
        .iter()
        .filter(|name| taken.iter().all(|step| step.name != **name))
        .cloned()
        .collect();
    let (applied, unknown) = taken
        .into_iter()
        .partition(|step| known.contains(&step.name));
    Ok(Status {
        applied,
        pending,
        unknown,
    })
}

/// The steps that are missing: none in a database this program can work with. Only reads.
pub async fn pending(db: &impl ConnectionTrait) -> Result<Vec<String>, MigrateError> {
    Ok(status(db).await?.pending)
}

/// The newest step that this program knows.
pub fn expected_version() -> String {
    known().pop().unwrap_or_default()
}

/// The names of all steps that this program knows, oldest first.
pub fn known() -> Vec<String> {
    Migrator::migrations()
        .iter()
        .map(|step| step.name().to_owned())
        .collect()
}

fn in_step(name: &str) -> impl FnOnce(DbErr) -> MigrateError {
    let name = name.to_owned();
    move |source| MigrateError::Step { name, source }
}

fn find(name: &str) -> Result<String, MigrateError> {
    let mut found = known().into_iter().filter(|step| step.starts_with(name));
    match (found.next(), found.next()) {
        (Some(step), None) if !name.is_empty() => Ok(step),
        _ => Err(MigrateError::NoSuchMigration(name.to_owned())),
    }
}

async fn check_schema(db: &DatabaseConnection, expected: &str) -> Result<(), MigrateError> {
    let found: Option<String> = sqlx::query_scalar("SELECT current_schema()::text")
        .fetch_one(db.get_postgres_connection_pool())
        .await?;
    if found.as_deref() == Some(expected) {
        return Ok(());
    }
    Err(MigrateError::OtherSchema {
        found: found.unwrap_or_default(),
        expected: expected.to_owned(),
    })
}

async fn open(options: &PgConnectOptions) -> Result<PgConnection, MigrateError> {
    match timeout(CONNECT_TIMEOUT, PgConnection::connect_with(options)).await {
        Ok(connection) => connection.map_err(MigrateError::Connect),
        Err(_) => Err(MigrateError::Connect(sqlx::Error::Io(
            std::io::ErrorKind::TimedOut.into(),
        ))),
    }
}

/// The right to change the schema. It ends with its connection, so a killed program frees it.
struct Lock {
    connection: PgConnection,
}

impl Lock {
    async fn acquire(db: &DatabaseConnection) -> Result<Self, MigrateError> {
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

    async fn make_schema(&mut self, schema: &str) -> Result<(), MigrateError> {
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

    async fn release(self) {
        // Closing frees the lock; if that fails the server frees it when it sees the end.
        self.connection.close().await.ok();
    }
}
