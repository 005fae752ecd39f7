//! The pool that requests share.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use sea_orm::{DatabaseConnection, SqlxPostgresConnector};
use sqlx::{
    Connection,
    postgres::{PgConnectOptions, PgPool, PgPoolOptions},
};
use tokio::time::timeout;

use super::url::DatabaseUrl;
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
) -> anyhow::Result<DatabaseConnection> {
    let stopping = Arc::clone(stopping);
    let options = connect_options(config, url);
    first_answer(config, &options).await?;
    let pool = PgPoolOptions::new()
        .min_connections(config.min_size)
        .max_connections(config.max_size)
        .acquire_timeout(config.acquire_timeout)
        .max_lifetime(config.max_lifetime)
        .idle_timeout(config.idle_timeout)
        .test_before_acquire(false)
        .before_acquire(move |connection, metadata| {
            let is_fresh = metadata.idle_for < RESTED && !stopping.load(Ordering::SeqCst);
            Box::pin(async move {
                if is_fresh {
                    return Ok(true);
                }
                Ok(matches!(
                    timeout(PATIENCE, connection.ping()).await,
                    Ok(Ok(()))
                ))
            })
        })
        .connect_lazy_with(options);
    Ok(SqlxPostgresConnector::from_sqlx_postgres_pool(pool))
}

/// A pool of one connection, for a task that keeps it to itself.
pub fn single(config: &DatabaseConfig, url: &DatabaseUrl) -> PgPool {
    PgPoolOptions::new()
        .max_connections(1)
        .acquire_timeout(config.acquire_timeout)
        .connect_lazy_with(connect_options(config, url))
}

pub(super) fn connect_options(config: &DatabaseConfig, url: &DatabaseUrl) -> PgConnectOptions {
    let options = url.to_connect_options(config.echo);
    if config.schema == "public" {
        options
    } else {
        options.options([("search_path", config.schema.as_str())])
    }
}

/// Asks directly, because a pool hides why it got no connection.
async fn first_answer(config: &DatabaseConfig, options: &PgConnectOptions) -> anyhow::Result<()> {
    let started = tokio::time::Instant::now();
    loop {
        let attempt = timeout(
            config.acquire_timeout,
            sqlx::PgConnection::connect_with(options),
        )
        .await;
        let error = match attempt {
            Ok(Ok(connection)) => {
                connection.close().await?;
                return Ok(());
            }
            Ok(Err(error)) => anyhow::Error::from(error),
            Err(_) => anyhow::anyhow!("no answer within {:?}", config.acquire_timeout),
        };
        if started.elapsed() > config.startup_timeout || !may_pass(&error) {
            return Err(error.context("the database cannot be reached"));
        }
        tracing::warn!(error = format!("{error:#}"), "waiting for the database");
        tokio::time::sleep(PATIENCE).await;
    }
}

/// Whether waiting may help: not with a wrong password or a database that does not exist.
fn may_pass(error: &anyhow::Error) -> bool {
    match error.downcast_ref::<sqlx::Error>() {
        Some(sqlx::Error::Database(database)) => database
            .code()
            .is_some_and(|code| code.starts_with("57") || code.starts_with("53")),
        Some(sqlx::Error::Io(_)) | None => true,
        Some(_) => false,
    }
}
