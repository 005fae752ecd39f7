//! The log: one line of JSON for each event, or of text on a terminal.

use tracing_subscriber::{EnvFilter, fmt};

use crate::config::{LogConfig, LogFormat};

/// Libraries that say at `info` what we say ourselves; `LOG_LEVEL` can name them to hear more.
const QUIET: &str = "actix_server=warn,sea_orm_migration=warn,sqlx=warn";

/// Starts the log, on standard error so that answers of commands stay readable.
pub fn start(config: &LogConfig) {
    let filter = EnvFilter::try_new(format!("{QUIET},{}", config.level))
        .unwrap_or_else(|_| EnvFilter::new("info"));
    let log = fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match config.format {
        LogFormat::Json => log
            .json()
            .flatten_event(true)
            .with_current_span(true)
            .with_span_list(false)
            .init(),
        LogFormat::Pretty => log.compact().init(),
    }
}
