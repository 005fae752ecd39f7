//! `gatepost db stats`.

use std::{io::Write, process::ExitCode, time::Duration};

use anyhow::Context;
use clap::Args;

use super::check::target;
use crate::{clock::Clock, config, database::check, database::stats::Stats};

/// Print what the database is doing: connections by application and state, encryption, sizes, use of
/// indexes, and slow queries where `pg_stat_statements` is there.
#[derive(Args)]
pub struct Show {
    /// Print one JSON document.
    #[arg(long)]
    json: bool,
}

/// Prints them. A database that cannot be reached is told as `db check` tells it, with the same exit
/// status.
///
/// # Errors
///
/// The settings', or what the database said.
pub async fn run(what: &Show, clock: &dyn Clock, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let settings = match config::read_database() {
        Ok(settings) => settings,
        Err(faults) => {
            eprint!("{faults}");
            return Ok(ExitCode::from(config::EXIT_STATUS));
        }
    };
    let url = settings.url.as_ref().context("DATABASE_URL is not set")?;
    // Sizes of large tables are counted file by file.
    let patience = url.connect_timeout().max(Duration::from_secs(30));
    let target = target(url, Some(&settings), patience, clock);
    let stats: Stats = match Box::pin(check::stats(&target)).await {
        Ok(stats) => stats,
        Err(report) => {
            eprint!("{report}");
            return Ok(ExitCode::from(report.exit_status()));
        }
    };
    if what.json {
        serde_json::to_writer_pretty(&mut *out, &stats)?;
        writeln!(out)?;
    } else {
        write!(out, "{stats}")?;
    }
    Ok(ExitCode::SUCCESS)
}
