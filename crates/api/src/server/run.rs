//! Serving, and stopping in order.

use std::{sync::atomic::Ordering, time::Duration};

use actix_web::{HttpServer, web::Data};
use tokio::signal::unix::{SignalKind, signal};

use super::{background, metrics, start::Started};
use crate::app;

/// A connection without a request is closed after this time.
const KEEP_ALIVE: Duration = Duration::from_secs(75);
/// The head of a request arrives within this time.
const HEAD_LIMIT: Duration = Duration::from_secs(5);
/// Balancers learn that no traffic should come any more before it is refused.
const NOTICE: Duration = Duration::from_secs(1);

/// Serves until the process is told to stop, or until `broken` resolves: then
/// readiness turns off, requests are brought to their end, and the pools close.
///
/// # Errors
///
/// A port is taken, or what `broken` says.
pub async fn run(
    started: Started,
    announce: impl FnOnce(),
    broken: impl Future<Output = anyhow::Error>,
) -> anyhow::Result<()> {
    let state = Data::clone(&started.state);
    let config = &state.config.http;
    let metrics = metrics::serve(&config.host, config.metrics_port)?;
    let metrics_handle = metrics.handle();
    tokio::spawn(metrics);
    let shared = Data::clone(&state);
    let server = HttpServer::new(move || app::build(Data::clone(&shared)))
        .keep_alive(KEEP_ALIVE)
        .client_request_timeout(HEAD_LIMIT)
        .shutdown_timeout(config.shutdown_timeout.as_secs())
        .disable_signals()
        .bind((config.host.as_str(), config.port))
        .map_err(|error| {
            anyhow::anyhow!(
                "APP_PORT {} on {} cannot be used: {error}",
                config.port,
                config.host
            )
        })?
        .run();
    let handle = server.handle();
    let background = background::spawn(started);
    let mut serving = tokio::spawn(server);
    announce();
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let result = tokio::select! {
        _ = interrupt.recv() => Ok(false),
        _ = terminate.recv() => Ok(true),
        error = broken => Err(error),
        ended = &mut serving => Err(anyhow::anyhow!("the server ended by itself: {ended:?}")),
    };
    state.stopping.store(true, Ordering::SeqCst);
    tracing::info!("stopping");
    if matches!(result, Ok(true)) {
        tokio::time::sleep(NOTICE).await;
    }
    handle.stop(true).await;
    metrics_handle.stop(false).await;
    background.stop(&state).await;
    state.db.clone().close().await;
    tracing::info!("stopped");
    result.map(drop)
}
