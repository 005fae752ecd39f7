//! A connection out of the pool, on which nothing waits for longer than its time limit.
//!
//! The driver itself waits for ever: it sets no TCP keep-alive, and a peer that vanished never
//! answers. So each statement has a limit here, and so has the way back into the pool, where the
//! driver asks for a sign of life.

use std::{cell::Cell, io, sync::Arc, time::Duration};

use sea_orm::{DbErr, RuntimeErr, Statement, error::ConnAcquireErr};
use sea_query_sqlx::SqlxValues;
use sqlx::{
    AssertSqlSafe, Executor, PgConnection, Postgres,
    pool::PoolConnection,
    postgres::{PgPool, PgQueryResult, PgRow},
    query::Query,
};
use tokio::{
    runtime::Handle,
    time::{error::Elapsed, timeout},
};

use super::connector::Connector;

/// A connection that is given back shows within this time that it can be used again.
const PATIENCE: Duration = Duration::from_secs(2);

tokio::task_local! {
    /// Set while a connection is taken from the pool, if it turns out not to be one to use.
    static IS_USELESS: Cell<bool>;
}

/// What the pool does with an idle connection that is not to be used any more: it is handed out, and
/// dropped by [`Held::acquire`]. The driver would say farewell first, and over TLS wait for an answer.
pub(super) fn is_useless() -> bool {
    // Who takes connections in another way has none that grow old.
    IS_USELESS.try_with(|flag| flag.set(true)).is_ok()
}

/// Gives the connection back when dropped, and rolls back what was not committed.
pub(super) struct Held {
    /// Nothing once the peer did not answer in time.
    connection: Option<PoolConnection<Postgres>>,
    in_transaction: bool,
    connector: Arc<Connector>,
}

impl Held {
    /// Waits for a connection, as long as the pool allows.
    pub(super) async fn acquire(pool: &PgPool, connector: &Arc<Connector>) -> Result<Self, DbErr> {
        loop {
            let acquire = async {
                let acquired = pool.acquire().await;
                (acquired, IS_USELESS.with(Cell::get))
            };
            match IS_USELESS.scope(Cell::new(false), acquire).await {
                (Ok(connection), true) => drop(connection.detach()),
                (Ok(connection), false) => {
                    return Ok(Self {
                        connection: Some(connection),
                        in_transaction: false,
                        connector: Arc::clone(connector),
                    });
                }
                (Err(error), _) => {
                    connector.nudge();
                    return Err(match error {
                        sqlx::Error::PoolTimedOut => {
                            DbErr::ConnectionAcquire(ConnAcquireErr::Timeout)
                        }
                        other => DbErr::Conn(RuntimeErr::SqlxError(other.into())),
                    });
                }
            }
        }
    }

    /// Begins a transaction by `sql`, which starts with `BEGIN`.
    pub(super) async fn begin(&mut self, sql: &str, limit: Duration) -> Result<(), sqlx::Error> {
        self.in_transaction = true;
        self.simple(sql, limit).await.map(drop)
    }

    /// Commits. An error leaves open whether it happened, if the connection was lost.
    pub(super) async fn commit(&mut self, limit: Duration) -> Result<(), sqlx::Error> {
        self.simple("COMMIT", limit).await?;
        self.in_transaction = false;
        Ok(())
    }

    /// Rolls back.
    pub(super) async fn rollback(&mut self, limit: Duration) -> Result<(), sqlx::Error> {
        self.simple("ROLLBACK", limit).await?;
        self.in_transaction = false;
        Ok(())
    }

    /// Sends SQL without values, which may be several statements.
    pub(super) async fn simple(
        &mut self,
        sql: &str,
        limit: Duration,
    ) -> Result<PgQueryResult, sqlx::Error> {
        let sql = sqlx::raw_sql(AssertSqlSafe(sql.to_owned()));
        let answer = timeout(limit, sql.execute(self.connection()?)).await;
        self.judge(answer, limit)
    }

    pub(super) async fn execute(
        &mut self,
        statement: &Statement,
        limit: Duration,
    ) -> Result<PgQueryResult, sqlx::Error> {
        let query = self.query(statement);
        let answer = timeout(limit, query.execute(self.connection()?)).await;
        self.judge(answer, limit)
    }

    pub(super) async fn fetch_all(
        &mut self,
        statement: &Statement,
        limit: Duration,
    ) -> Result<Vec<PgRow>, sqlx::Error> {
        let query = self.query(statement);
        let answer = timeout(limit, query.fetch_all(self.connection()?)).await;
        self.judge(answer, limit)
    }

    pub(super) async fn fetch_optional(
        &mut self,
        statement: &Statement,
        limit: Duration,
    ) -> Result<Option<PgRow>, sqlx::Error> {
        let query = self.query(statement);
        let answer = timeout(limit, query.fetch_optional(self.connection()?)).await;
        self.judge(answer, limit)
    }

    /// Behind a pooler the next statement may reach another server connection, which knows nothing
    /// of what was prepared on this one.
    fn query<'q>(&self, statement: &'q Statement) -> Query<'q, Postgres, SqlxValues> {
        let values = statement.values.clone();
        let values = SqlxValues(values.unwrap_or_else(|| sea_orm::Values(Vec::new())));
        sqlx::query_with(AssertSqlSafe(statement.sql.as_str()), values)
            .persistent(!self.connector.is_pooled())
    }

    fn connection(&mut self) -> Result<&mut PgConnection, sqlx::Error> {
        match &mut self.connection {
            Some(connection) => Ok(&mut **connection),
            None => Err(silence("the connection was given up")),
        }
    }

    fn judge<T>(
        &mut self,
        answer: Result<Result<T, sqlx::Error>, Elapsed>,
        limit: Duration,
    ) -> Result<T, sqlx::Error> {
        answer.unwrap_or_else(|_| {
            // Closed by being dropped: a farewell could take as long.
            drop(self.connection.take().map(PoolConnection::detach));
            self.connector.suspect();
            Err(silence(format!(
                "the database did not answer within {limit:?}"
            )))
        })
    }
}

fn silence(what: impl Into<String>) -> sqlx::Error {
    sqlx::Error::Io(io::Error::new(io::ErrorKind::TimedOut, what.into()))
}

impl Drop for Held {
    fn drop(&mut self) {
        let Some(connection) = self.connection.take() else {
            return;
        };
        match Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn(give_back(connection, self.in_transaction))),
            Err(_) => drop(connection.detach()),
        }
    }
}

async fn give_back(mut connection: PoolConnection<Postgres>, in_transaction: bool) {
    if in_transaction {
        let answer = timeout(PATIENCE, connection.execute("ROLLBACK")).await;
        if !matches!(answer, Ok(Ok(_))) {
            drop(connection.detach());
            return;
        }
    }
    // Given up when it takes too long, and with it the connection and its place in the pool.
    timeout(PATIENCE, connection.return_to_pool()).await.ok();
}
