//! Taking the steps of the history, one program at a time.

use std::time::Duration;

use sea_orm_migration::{
    prelude::*,
    sea_orm::{DatabaseConnection, DbBackend, Statement},
};
use sqlx::{
    Connection, PgConnection,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use tokio::time::timeout;
use tracing::info;

use crate::{
    Migrator,
    lock::{Lock, Way},
    plan::{self, Loss},
};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

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
    /// A step did not get its locks for as long as it was to try.
    #[error(
        "{name}: a lock that it needs was not free in {tries} tries, so nothing was done. {holders} \
         Run it again when they have finished, or end them with SELECT pg_terminate_backend(…)"
    )]
    Blocked {
        /// The step.
        name: String,
        /// How often it tried.
        tries: u32,
        /// Who holds it, in words.
        holders: String,
    },
    /// Steps back would throw data away.
    #[error(
        "going back would delete what came after:\n{}\nNothing was done. Make a backup \
         (gatepost db backup), or accept the loss with --lose-data", list(.0)
    )]
    WouldLose(Vec<Loss>),
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

/// The same with the first of several servers that is no standby, or with what the last one says.
///
/// # Errors
///
/// See [`MigrateError::Connect`] and [`MigrateError::Standby`].
pub async fn connect_any(
    servers: Vec<PgConnectOptions>,
) -> Result<DatabaseConnection, MigrateError> {
    let mut fault = MigrateError::Standby;
    let is_alone = servers.len() == 1;
    for options in servers {
        if is_alone {
            return connect(options).await;
        }
        match is_primary(&options).await {
            Ok(true) => return connect(options).await,
            Ok(false) => {}
            Err(error) => fault = error,
        }
    }
    Err(fault)
}

async fn is_primary(options: &PgConnectOptions) -> Result<bool, MigrateError> {
    let mut connection = open(options).await?;
    let is_primary = sqlx::query_scalar("SELECT NOT pg_is_in_recovery()");
    let is_primary = timeout(CONNECT_TIMEOUT, is_primary.fetch_one(&mut connection)).await;
    connection.close().await.ok();
    Ok(is_primary.is_ok_and(|answer| answer.unwrap_or(false)))
}

fn list(losses: &[Loss]) -> String {
    let lines = losses.iter().map(|loss| {
        let Loss { step, what, rows } = loss;
        format!(
            "  {step}: {what} ({rows} {})",
            if *rows == 1 { "row" } else { "rows" }
        )
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// How steps are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct How {
    /// How long a step that does not get its locks is tried again. Each try waits 2 s at most, so
    /// that requests do not queue behind it for longer.
    pub patience: Duration,
    /// Whether steps back may throw data away.
    pub lose_data: bool,
}

impl Default for How {
    /// Five minutes, and no data is lost.
    fn default() -> Self {
        Self {
            patience: Duration::from_mins(5),
            lose_data: false,
        }
    }
}

/// Takes every missing step and returns their names. Programs that try at the same time wait for
/// the first, and then find nothing left to do.
///
/// `schema` is made if it does not exist; the search path of `db` must begin with it. A database
/// that is newer than this program is left alone, unless steps are missing too.
pub async fn up(db: &DatabaseConnection, schema: &str) -> Result<Vec<String>, MigrateError> {
    up_as(db, schema, How::default()).await
}

/// The same, with another patience.
pub async fn up_as(
    db: &DatabaseConnection,
    schema: &str,
    how: How,
) -> Result<Vec<String>, MigrateError> {
    let mut lock = Lock::acquire(db).await?;
    lock.make_schema(schema).await?;
    check_schema(db, schema).await?;
    Migrator::install(db).await?;
    let status = status(db).await?;
    if !status.pending.is_empty() {
        status.refuse_unknown()?;
    }
    for name in &status.pending {
        lock.take(db, name, Way::Up, how.patience).await?;
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

/// The steps that would be taken back, newest first. Only reads.
///
/// # Errors
///
/// The database's; also if it knows steps that this program does not.
pub async fn going_back(
    db: &DatabaseConnection,
    how_far: &Down,
) -> Result<Vec<String>, MigrateError> {
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
    Ok(undone)
}

/// Takes steps back, newest first, and returns their names. Refuses to throw data away unless
/// `how` says that it may be lost.
pub async fn down(
    db: &DatabaseConnection,
    schema: &str,
    how_far: &Down,
    how: How,
) -> Result<Vec<String>, MigrateError> {
    let mut lock = Lock::acquire(db).await?;
    check_schema(db, schema).await?;
    let undone = going_back(db, how_far).await?;
    if !how.lose_data {
        let losses = plan::losses(db, &undone).await?;
        if !losses.is_empty() {
            return Err(MigrateError::WouldLose(losses));
        }
    }
    for name in &undone {
        lock.take(db, name, Way::Down, how.patience).await?;
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

pub(crate) async fn open(options: &PgConnectOptions) -> Result<PgConnection, MigrateError> {
    match timeout(CONNECT_TIMEOUT, PgConnection::connect_with(options)).await {
        Ok(connection) => connection.map_err(MigrateError::Connect),
        Err(_) => Err(MigrateError::Connect(sqlx::Error::Io(
            std::io::ErrorKind::TimedOut.into(),
        ))),
    }
}
