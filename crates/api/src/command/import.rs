//! `gatepost import`: what other systems know.

use std::{io::Write, path::PathBuf, process::ExitCode};

use anyhow::Context;
use clap::Args;

use crate::{
    clock::Clock,
    config::Config,
    database::pool,
    import::{
        read::Syntax,
        service::{self, OnConflict, Source},
    },
};

/// The exit status for a file that is not acceptable (`EX_DATAERR`); nothing was written then.
pub const UNACCEPTABLE: u8 = 65;

/// What to import.
#[derive(Args, Debug)]
pub struct Users {
    /// The file; docs/guides/importing-users.md has its fields.
    pub file: PathBuf,
    /// Check the file and tell what would be done, and do nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// What happens to a line whose e-mail address is a user's already.
    #[arg(long, value_enum, default_value = "skip")]
    pub on_conflict: OnConflict,
    /// How the file is written; by default the end of its name says so.
    #[arg(long, value_enum)]
    pub syntax: Option<Syntax>,
}

/// Checks the whole file, then writes it. Status 0: done; [`UNACCEPTABLE`]: each fault of the file
/// is named, and nothing was written.
///
/// # Errors
///
/// The settings', the file's or the database's.
pub async fn users(
    config: &Config,
    clock: &dyn Clock,
    what: &Users,
    out: &mut dyn Write,
) -> anyhow::Result<ExitCode> {
    let url = config
        .database
        .url
        .as_ref()
        .context("DATABASE_URL is not set")?;
    let db = pool::open(&config.database, url, &std::sync::Arc::default()).await?;
    let pending = migration::pending(&db).await?;
    anyhow::ensure!(
        pending.is_empty(),
        "{} migrations are pending: run `gatepost-migrate up` first",
        pending.len()
    );
    let source = Source {
        path: what.file.clone(),
        syntax: what.syntax.unwrap_or_else(|| Syntax::of(&what.file)),
        on_conflict: what.on_conflict,
        schema: config.accounts.metadata_schema.clone(),
    };
    let (counts, findings) = service::check(&db, clock, &source).await?;
    for finding in &findings.shown {
        writeln!(out, "{finding}")?;
    }
    let code = if findings.count > 0 {
        let more = findings.count - findings.shown.len();
        if more > 0 {
            writeln!(out, "and {more} more")?;
        }
        writeln!(out, "Faults: {}. Nothing was written.", findings.count)?;
        ExitCode::from(UNACCEPTABLE)
    } else if what.dry_run {
        writeln!(out, "Would be imported: {counts}. Nothing was written.")?;
        ExitCode::SUCCESS
    } else {
        let counts = service::write(&db, clock, &source).await?;
        writeln!(out, "Imported: {counts}.")?;
        ExitCode::SUCCESS
    };
    db.close().await;
    Ok(code)
}
