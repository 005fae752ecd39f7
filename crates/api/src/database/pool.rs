//! The pool that requests share.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::Context;
use sqlx::{
    Connection,
    postgres::{PgConnectOptions, PgPool, PgPoolOptions},
};
use tokio::time::timeout;

use super::{
    connector::{Chosen, Connector, Unreachable, watch},
    db::{Db, Limits},
    held::is_useless,
    url::DatabaseUrl,
};
use crate::config::DatabaseConfig;

/// A connection that rested for longer has to show that it lives before it is used.
const RESTED: Duration = Duration::from_secs(5);
/// A sign of life that takes longer is none: the driver itself would wait for ever.
const PATIENCE: Duration = Duration::from_secs(1);

/// Opens the pool, and waits until the database answers.
///
/// From the moment that `stopping` says so, every connection has to show that it lives: those that a
/// server's thread has opened end with it.
///
/// # Errors
///
/// Why the database did not answer within `startup_timeout`.
pub async fn open(
    config: &DatabaseConfig,
    url: &DatabaseUrl,
    stopping: &Arc<AtomicBool>,
) -> anyhow::Result<Db> {
    let connector = Connector::new(config, url);
    let first = first_answer(config, &connector).await?;
    let pool = options(config.acquire_timeout, &connector, stopping)
        .min_connections(config.min_size)
        .max_connections(config.max_size)
        .max_lifetime(config.max_lifetime)
        .idle_timeout(config.idle_timeout)
        .connect_lazy_with(first.options.clone());
    let limits = Limits {
        request: config.request_statement_timeout(),
        other: config.statement_timeout,
        begin: config.acquire_timeout,
    };
    let watch = tokio::spawn(watch(Arc::clone(&connector), pool.clone(), first));
    Ok(Db::new(pool, connector, limits, watch))
}

fn options(
    acquire_timeout: Duration,
    connector: &Arc<Connector>,
    stopping: &Arc<AtomicBool>,
) -> PgPoolOptions {
    let (stopping, before, after) = (
        Arc::clone(stopping),
        Arc::clone(connector),
        Arc::clone(connector),
    );
    PgPoolOptions::new()
        .acquire_timeout(acquire_timeout)
        .test_before_acquire(false)
        .after_connect(move |connection, _| {
            let connector = Arc::clone(&after);
            Box::pin(async move { connector.inspect(connection).await })
        })
        .before_acquire(move |connection, metadata| {
            let is_retired = before.is_retired(metadata.age);
            let is_fresh = metadata.idle_for < RESTED && !stopping.load(Ordering::SeqCst);
            Box::pin(async move {
                if is_retired {
                    return Ok(is_useless());
                }
                let is_alive =
                    is_fresh || matches!(timeout(PATIENCE, connection.ping()).await, Ok(Ok(())));
                Ok(is_alive || is_useless())
            })
        })
}

/// How a task comes by a connection that it keeps to itself.
#[derive(Clone)]
pub struct Single {
    acquire_timeout: Duration,
    connector: Arc<Connector>,
}

impl Single {
    /// Beside those of `db`, at the same servers by the addresses of `url`.
    pub fn new(config: &DatabaseConfig, url: &DatabaseUrl, db: &Db) -> Self {
        Self {
            acquire_timeout: config.acquire_timeout,
            connector: db.connector().beside(config, url),
        }
    }

    /// A pool of one, at the server that will do now. Each time another, because a connection whose
    /// peer vanished never finds its way back.
    ///
    /// # Errors
    ///
    /// None will do.
    pub async fn pool(&self) -> Result<PgPool, Unreachable> {
        let chosen = self.connector.choose().await?;
        let options = options(self.acquire_timeout, &self.connector, &Arc::default());
        Ok(options
            .max_connections(1)
            .connect_lazy_with(chosen.part().await))
    }
}

/// The options of the server that takes writes, for one who connects without the pool.
///
/// # Errors
///
/// None will do.
pub(super) async fn primary(
    config: &DatabaseConfig,
    url: &DatabaseUrl,
) -> Result<PgConnectOptions, Unreachable> {
    let connector = Connector::new(config, url);
    let chosen = connector.choose().await?;
    let options = connector.options_of(&chosen);
    chosen.part().await;
    Ok(options)
}

/// The options of the first server, for who connects without the pool.
pub(super) fn connect_options(config: &DatabaseConfig, url: &DatabaseUrl) -> PgConnectOptions {
    in_schema(url.to_connect_options(config.echo), &config.schema)
}

/// Looks for tables in `schema`, and nowhere else.
pub(super) fn in_schema(options: PgConnectOptions, schema: &str) -> PgConnectOptions {
    if schema == "public" {
        options
    } else {
        options.options([("search_path", schema)])
    }
}

/// Asks directly, because a pool hides why it got no connection.
async fn first_answer(
    config: &DatabaseConfig,
    connector: &Arc<Connector>,
) -> anyhow::Result<Chosen> {
    let started = tokio::time::Instant::now();
    loop {
        let unreachable = match connector.choose().await {
            Ok(chosen) => return Ok(chosen),
            Err(unreachable) => unreachable,
        };
        if started.elapsed() > config.startup_timeout || !unreachable.may_pass() {
            return Err(unreachable).context("the database cannot be reached");
        }
        tracing::warn!(error = %unreachable, "waiting for the database");
        tokio::time::sleep(PATIENCE).await;
    }
}
