//! The database as the program uses it: every call has a time limit of its own.

use std::{sync::Arc, time::Duration};

use sea_orm::{ConnectionTrait, DbBackend, DbErr, ExecResult, QueryResult, RuntimeErr, Statement};
use sqlx::postgres::PgPool;
use tokio::{sync::Mutex, task::JoinHandle, time::timeout};

use super::{connector::Connector, held::Held};
use crate::http::request_id;

/// The server's own limit comes first and says more; this much later an answer is not waited for.
const GRACE: Duration = Duration::from_secs(1);
/// How long connections may take to part when the program ends.
const FAREWELL: Duration = Duration::from_secs(5);

/// How long statements may run.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Those of a request.
    pub(super) request: Duration,
    /// All others.
    pub(super) other: Duration,
    /// Until a transaction has begun.
    pub(super) begin: Duration,
}

impl Limits {
    fn now(self) -> Duration {
        if request_id::is_in_request() {
            self.request
        } else {
            self.other
        }
    }
}

/// As sea-orm tells it.
fn exec_error(error: sqlx::Error) -> DbErr {
    DbErr::Exec(RuntimeErr::SqlxError(error.into()))
}

fn query_error(error: sqlx::Error) -> DbErr {
    DbErr::Query(RuntimeErr::SqlxError(error.into()))
}

/// The pool. A statement that gets no answer ends with a connection fault about a second after its
/// limit, the connection with it.
#[derive(Clone)]
pub struct Db {
    pool: PgPool,
    connector: Arc<Connector>,
    limits: Limits,
    /// Ends with the last clone.
    _watch: Arc<Watch>,
}

/// A task that ends when this is dropped.
struct Watch(JoinHandle<()>);

impl Drop for Watch {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Db {
    pub(super) fn new(
        pool: PgPool,
        connector: Arc<Connector>,
        limits: Limits,
        watch: JoinHandle<()>,
    ) -> Self {
        Self {
            pool,
            connector,
            limits,
            _watch: Arc::new(Watch(watch)),
        }
    }

    /// What decides which server the pool is connected to.
    pub fn connector(&self) -> &Arc<Connector> {
        &self.connector
    }

    /// Begins a transaction. Dropping it rolls back.
    ///
    /// # Errors
    ///
    /// No connection, or no answer.
    pub async fn begin(&self) -> Result<DbTx, DbErr> {
        self.begin_with("").await
    }

    /// The same, for statements that may take as long as `limit`.
    ///
    /// # Errors
    ///
    /// No connection, or no answer.
    pub async fn begin_within(&self, limit: Duration) -> Result<DbTx, DbErr> {
        self.begin_as("", limit).await
    }

    /// The same, with SQL that is sent along with `BEGIN`.
    ///
    /// # Errors
    ///
    /// No connection, no answer, or what `settings` brings.
    pub(super) async fn begin_with(&self, settings: &str) -> Result<DbTx, DbErr> {
        self.begin_as(settings, self.limits.now()).await
    }

    async fn begin_as(&self, settings: &str, limit: Duration) -> Result<DbTx, DbErr> {
        let mut held = Held::acquire(&self.pool, &self.connector).await?;
        let sql = self.begin_sql(limit) + settings;
        held.begin(&sql, self.limits.begin)
            .await
            .map_err(exec_error)?;
        Ok(DbTx {
            held: Mutex::new(held),
            limit: limit + GRACE,
        })
    }

    /// Closes the connections, at the latest after five seconds.
    pub async fn close(self) {
        timeout(FAREWELL, self.pool.close()).await.ok();
    }

    fn begin_sql(&self, limit: Duration) -> String {
        let milliseconds = limit.as_millis();
        let schema = self.connector.local_schema();
        format!("BEGIN; SET LOCAL statement_timeout = {milliseconds};{schema}")
    }

    /// A connection for one statement, and whether that has a transaction of its own: sessions have
    /// the limit of requests, and behind a pooler there are none.
    async fn single(&self) -> Result<(Held, Duration, bool), DbErr> {
        let limit = self.limits.now();
        let mut held = Held::acquire(&self.pool, &self.connector).await?;
        let wrapped = self.connector.is_pooled() || limit != self.limits.request;
        if wrapped {
            held.begin(&self.begin_sql(limit), self.limits.begin)
                .await
                .map_err(exec_error)?;
        }
        Ok((held, limit + GRACE, wrapped))
    }
}

async fn finish<T>(
    mut held: Held,
    limit: Duration,
    wrapped: bool,
    answer: Result<T, sqlx::Error>,
) -> Result<T, sqlx::Error> {
    let answer = answer?;
    if wrapped {
        held.commit(limit).await?;
    }
    Ok(answer)
}

#[async_trait::async_trait]
impl ConnectionTrait for Db {
    fn get_database_backend(&self) -> DbBackend {
        DbBackend::Postgres
    }

    async fn execute_raw(&self, statement: Statement) -> Result<ExecResult, DbErr> {
        let (mut held, limit, wrapped) = self.single().await?;
        let answer = held.execute(&statement, limit).await;
        let answer = finish(held, limit, wrapped, answer).await;
        answer.map(Into::into).map_err(exec_error)
    }

    async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
        let (mut held, limit, wrapped) = self.single().await?;
        let answer = held.simple(sql, limit).await;
        let answer = finish(held, limit, wrapped, answer).await;
        answer.map(Into::into).map_err(exec_error)
    }

    async fn query_one_raw(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        let (mut held, limit, wrapped) = self.single().await?;
        let answer = held.fetch_optional(&statement, limit).await;
        let answer = finish(held, limit, wrapped, answer).await;
        let row = answer.map_err(query_error)?;
        Ok(row.map(Into::into))
    }

    async fn query_all_raw(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        let (mut held, limit, wrapped) = self.single().await?;
        let answer = held.fetch_all(&statement, limit).await;
        let answer = finish(held, limit, wrapped, answer).await;
        let rows = answer.map_err(query_error)?;
        Ok(rows.into_iter().map(Into::into).collect())
    }
}

/// A transaction of [`Db`]. Dropping it rolls back.
pub struct DbTx {
    held: Mutex<Held>,
    limit: Duration,
}

impl DbTx {
    /// Commits.
    ///
    /// # Errors
    ///
    /// Also when the answer was lost: then nobody knows whether it happened.
    pub async fn commit(self) -> Result<(), DbErr> {
        let mut held = self.held.into_inner();
        held.commit(self.limit).await.map_err(exec_error)
    }

    /// Rolls back, and waits until that is done; dropping does it without waiting.
    ///
    /// # Errors
    ///
    /// The connection's; nothing is committed then either.
    pub async fn rollback(self) -> Result<(), DbErr> {
        let mut held = self.held.into_inner();
        held.rollback(self.limit).await.map_err(exec_error)
    }
}

#[async_trait::async_trait]
impl ConnectionTrait for DbTx {
    fn get_database_backend(&self) -> DbBackend {
        DbBackend::Postgres
    }

    async fn execute_raw(&self, statement: Statement) -> Result<ExecResult, DbErr> {
        let answer = self.held.lock().await.execute(&statement, self.limit).await;
        answer.map(Into::into).map_err(exec_error)
    }

    async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
        let answer = self.held.lock().await.simple(sql, self.limit).await;
        answer.map(Into::into).map_err(exec_error)
    }

    async fn query_one_raw(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        let mut held = self.held.lock().await;
        let answer = held.fetch_optional(&statement, self.limit).await;
        let row = answer.map_err(query_error)?;
        Ok(row.map(Into::into))
    }

    async fn query_all_raw(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        let mut held = self.held.lock().await;
        let answer = held.fetch_all(&statement, self.limit).await;
        let rows = answer.map_err(query_error)?;
        Ok(rows.into_iter().map(Into::into).collect())
    }
}
