//! `gatepost db`: the database, for those who run it.

mod backup;
mod check;
mod setup;
mod stats;
mod tls;

use std::{
    io::{Read, Write},
    process::ExitCode,
};

use anyhow::Context;
use clap::Subcommand;
use secrecy::{ExposeSecret, SecretString};

use crate::database::url::{DatabaseUrl, UrlFault};

/// The database: set up, look after.
#[derive(Subcommand)]
pub enum Db {
    #[expect(missing_docs, reason = "the command's own are shown")]
    Check(check::Check),
    #[expect(missing_docs, reason = "the command's own are shown")]
    Setup(setup::Setup),
    #[expect(missing_docs, reason = "the command's own are shown")]
    Stats(stats::Show),
    #[expect(missing_docs, reason = "the command's own are shown")]
    Backup(backup::Backup),
    #[expect(missing_docs, reason = "the command's own are shown")]
    Restore(backup::Restore),
    #[expect(missing_docs, reason = "the command's own are shown")]
    Verify(backup::Verify),
    /// Certificates for a PostgreSQL of your own: a private authority, and a server certificate by it.
    #[command(subcommand)]
    Tls(tls::Tls),
}

/// Runs one of them.
///
/// # Errors
///
/// What keeps it from working at all; what it found is told, and is the exit status.
pub async fn run(what: Db, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    match what {
        Db::Check(what) => check::run(&what, &crate::clock::SystemClock, out).await,
        Db::Stats(what) => stats::run(&what, &crate::clock::SystemClock, out).await,
        Db::Setup(what) => setup::run(what, out).await,
        Db::Backup(what) => backup::backup(what, out).await,
        Db::Restore(what) => backup::restore(what, out).await,
        Db::Verify(what) => backup::verify(what, out).await,
        Db::Tls(what) => tls::run(what, out).await,
    }
}

/// A URL of the command line; `-` reads it from standard input, where no other process sees it.
fn given_url(text: &str) -> anyhow::Result<Result<DatabaseUrl, UrlFault>> {
    if text != "-" {
        return Ok(DatabaseUrl::parse(text));
    }
    let mut text = String::new();
    std::io::stdin()
        .take(64 * 1024)
        .read_to_string(&mut text)
        .context("cannot read the URL from standard input")?;
    let text = SecretString::from(text);
    Ok(DatabaseUrl::parse(text.expose_secret().trim()))
}
