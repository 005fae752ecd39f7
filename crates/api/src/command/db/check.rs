//! `gatepost db check`.

use std::{io::Write, process::ExitCode, time::Duration};

use clap::Args;

use super::given_url;
use crate::{
    clock::Clock,
    config::{self, DatabaseConfig},
    database::{
        check::{self, Pool, Report, Target},
        url::DatabaseUrl,
    },
};

/// Tell what keeps Gatepost from working on a database, and what to do about it. Exit status 0:
/// nothing; 2: the URL or a setting; 3: the network; 4: TLS; 5: the login; 6: the database or a
/// privilege; 7: the schema; 8: what the server is doing just now.
#[derive(Args)]
pub struct Check {
    /// The database; else the one of `DATABASE_URL` and its relatives. `-` reads it from standard
    /// input: what stands on a command line is seen by all on this machine.
    url: Option<String>,
    /// Print one JSON document.
    #[arg(long)]
    json: bool,
    /// How long each step may take, in seconds [default: the URL's `connect_timeout`, else 5].
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=600))]
    timeout: Option<u64>,
}

/// The settings of a pool that nobody has set.
const POOL: Pool = Pool {
    size: 15,
    idle_timeout: Duration::from_mins(10),
};

/// Checks, and prints what it found.
///
/// # Errors
///
/// It cannot be printed.
pub async fn run(what: &Check, clock: &dyn Clock, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let settings = config::read_database();
    let report = match (&what.url, settings) {
        (Some(text), settings) => match given_url(text)? {
            Ok(url) => Box::pin(report(what, &url, settings.ok().as_ref(), clock)).await,
            Err(fault) => check::unreadable(&fault),
        },
        (None, Ok(settings)) => match &settings.url {
            Some(url) => Box::pin(report(what, url, Some(&settings), clock)).await,
            None => check::unusable_settings("DATABASE_URL is not set, and no URL was given"),
        },
        (None, Err(faults)) => {
            eprint!("{faults}");
            check::unusable_settings("the settings cannot be used")
        }
    };
    if what.json {
        serde_json::to_writer_pretty(&mut *out, &report)?;
        writeln!(out)?;
    } else {
        write!(out, "{report}")?;
    }
    Ok(ExitCode::from(report.exit_status()))
}

async fn report(
    what: &Check,
    url: &DatabaseUrl,
    settings: Option<&DatabaseConfig>,
    clock: &dyn Clock,
) -> Report {
    let patience = what
        .timeout
        .map_or_else(|| url.connect_timeout(), Duration::from_secs);
    check::check(&target(url, settings, patience, clock)).await
}

/// What to check, with the settings where there are some.
pub(super) fn target<'a>(
    url: &'a DatabaseUrl,
    settings: Option<&'a DatabaseConfig>,
    patience: Duration,
    clock: &'a dyn Clock,
) -> Target<'a> {
    Target {
        url,
        schema: settings.map_or("public", |settings| &settings.schema),
        patience,
        pool: settings.map_or(POOL, |settings| Pool {
            size: settings.max_size,
            idle_timeout: settings.idle_timeout,
        }),
        addresses: None,
        clock,
    }
}
