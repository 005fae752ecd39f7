//! Numbers for Prometheus, on a port of their own.

use std::time::Duration;

use actix_web::{App, HttpResponse, HttpServer, dev::Server, web};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

/// Seconds that the classes of durations end at.
const BUCKETS: [f64; 10] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0];
const UPKEEP: Duration = Duration::from_secs(5);

/// Starts counting in this process, and serves the numbers at `/metrics`.
///
/// # Errors
///
/// The port is taken, or something counts already.
pub fn serve(host: &str, port: u16) -> anyhow::Result<Server> {
    let handle = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &BUCKETS)?
        .install_recorder()?;
    metrics::gauge!("gatepost_build_info", "version" => env!("CARGO_PKG_VERSION")).set(1.0);
    let upkeep = handle.clone();
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(UPKEEP).await;
            upkeep.run_upkeep();
        }
    });
    let server = HttpServer::new(move || {
        App::new()
            .app_data(web::Data::new(handle.clone()))
            .route("/metrics", web::get().to(render))
    })
    .workers(1)
    .disable_signals()
    .bind((host, port))
    .map_err(|error| anyhow::anyhow!("METRICS_PORT {port} on {host} cannot be used: {error}"))?;
    Ok(server.run())
}

async fn render(handle: web::Data<PrometheusHandle>) -> HttpResponse {
    HttpResponse::Ok()
        .content_type("text/plain; version=0.0.4")
        .body(handle.render())
}
