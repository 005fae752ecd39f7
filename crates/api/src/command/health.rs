//! `gatepost healthcheck`: for containers, which have no other program to ask with.

use std::{process::ExitCode, time::Duration};

use crate::config;

const PATIENCE: Duration = Duration::from_secs(3);

/// Asks the instance of `APP_PORT` on this machine; success means that it may get traffic.
///
/// # Errors
///
/// No client can be made.
pub async fn check() -> anyhow::Result<ExitCode> {
    let Ok(reading) = config::read_environment() else {
        return Ok(ExitCode::from(config::EXIT_STATUS));
    };
    let http = &reading.config.http;
    let host = match http.host.as_str() {
        "0.0.0.0" => "127.0.0.1".to_owned(),
        "::" => "[::1]".to_owned(),
        host if host.contains(':') => format!("[{host}]"),
        host => host.to_owned(),
    };
    let url = format!("http://{host}:{}/api/health/ready", http.port);
    let client = reqwest::Client::builder()
        .timeout(PATIENCE)
        .no_proxy()
        .build()?;
    let is_ready = match client.get(&url).send().await {
        Ok(response) => response.status().is_success(),
        Err(_) => false,
    };
    println!("{}", if is_ready { "ready" } else { "not ready" });
    Ok(if is_ready {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
