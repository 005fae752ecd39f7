//! `gatepost db`: the database, for those who run it.

mod check;
mod stats;

use std::{io::Write, process::ExitCode};

use clap::Subcommand;

/// The database: set up, look after.
#[derive(Subcommand)]
pub enum Db {
    #[expect(missing_docs, reason = "the arguments say what it does")]
    Check(check::Check),
    #[expect(missing_docs, reason = "the arguments say what it does")]
    Stats(stats::Show),
}

/// Runs one of them.
///
/// # Errors
///
/// What keeps it from working at all; what it found is told, and is the exit status.
pub async fn run(what: Db, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    match what {
        Db::Stats(what) => stats::run(&what, &crate::clock::SystemClock, out).await,
        Db::Check(what) => check::run(&what, &crate::clock::SystemClock, out).await,
    }
}
