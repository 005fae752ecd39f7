//! `gatepost db`: the database, for those who run it.

mod setup;

use std::{io::Write, process::ExitCode};

use clap::Subcommand;

/// The database: set up, look after.
#[derive(Subcommand)]
pub enum Db {
    #[expect(missing_docs, reason = "the command's own are shown")]
    Setup(setup::Setup),
}

/// Runs one of them.
///
/// # Errors
///
/// What keeps it from working at all; what it found is told, and is the exit status.
pub async fn run(what: Db, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    match what {
        Db::Setup(what) => setup::run(what, out).await,
    }
}
