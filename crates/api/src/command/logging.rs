//! The log: one line of JSON for each event, or of text on a terminal. And, where the log is JSON,
//! the entries of the audit log.

use std::{fmt::Debug, io};

use tracing::{
    Event, Level, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    EnvFilter, Layer,
    filter::Targets,
    fmt::{self, FmtContext, FormatEvent, FormatFields, format::Writer},
    layer::SubscriberExt,
    registry::LookupSpan,
    util::SubscriberInitExt,
};

use crate::config::{LogConfig, LogFormat};

/// Libraries that say at `info` what we say ourselves; `LOG_LEVEL` can name them to hear more.
const QUIET: &str = "actix_server=warn,sea_orm_migration=warn,sqlx=warn";
/// Not among the other events: they have an output of their own.
const AUDIT: &str = "audit";

/// Starts the log, on standard error so that answers of commands stay readable. The entries of
/// the audit log go to standard output, each as it was sealed, unless the log is for people.
pub fn start(config: &LogConfig) {
    let filter = EnvFilter::try_new(format!("{QUIET},{},{AUDIT}=off", config.level))
        .unwrap_or_else(|_| EnvFilter::new("info"));
    let log = fmt::layer().with_writer(io::stderr);
    let registry = tracing_subscriber::registry();
    match config.format {
        LogFormat::Json => {
            let log = log
                .json()
                .flatten_event(true)
                .with_current_span(true)
                .with_span_list(false)
                .with_filter(filter);
            let audit = fmt::layer()
                .event_format(MessageOnly)
                .with_writer(io::stdout)
                .with_filter(Targets::new().with_target(AUDIT, Level::INFO));
            registry.with(log).with(audit).init();
        }
        LogFormat::Pretty => registry.with(log.compact().with_filter(filter)).init(),
    }
}

/// Writes the message as it is: it is JSON already.
struct MessageOnly;

impl<S, N> FormatEvent<S, N> for MessageOnly
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> std::fmt::Result {
        let mut message = Message(String::new());
        event.record(&mut message);
        writeln!(writer, "{}", message.0)
    }
}

struct Message(String);

impl Visit for Message {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if field.name() == "message" {
            self.0 = format!("{value:?}");
        }
    }
}
