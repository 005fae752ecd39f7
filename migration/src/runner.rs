//! Taking the steps of the history, one program at a time.

use std::{sync::Arc, time::Duration};

use sea_orm_migration::{
    prelude::*,
    sea_orm::{DatabaseConnection, DbBackend, RuntimeErr, Statement},
};
use sqlx::{
    Connection, PgConnection,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use tokio::time::{Instant, sleep, timeout};
use tracing::{info, warn};

use crate::{
    Migrator,
    plan::{self, Loss},
};

/// What the lock is called in `pg_locks`: any number, as long as it never changes.
pub const LOCK_KEY: i64 = 0x67_61_74_65_70_6f_73_74;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const LOCK_TIMEOUT: Duration = Duration::from_mins(15);
/// Between two tries of a step that did not get its locks: the first pause, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));
/// How often those who hold the locks are asked for.
const LOOK: Duration = Duration::from_millis(250);

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

#[derive(Clone, Copy)]
enum Way {
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
    let code = error.as_database_error().and_then(|error| error.code());
    matches!(code.as_deref(), Some("55P03" | "40P01"))
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

    /// Takes one step, again and again while others hold what it has to lock.
    async fn take(
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
