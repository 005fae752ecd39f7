//! `gatepost import`: what other systems know.

use std::{
    io::{Read, Write},
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
};

use anyhow::Context;
use clap::{Args, Subcommand};

use crate::{
    clock::Clock,
    config::Config,
    database::{pool, url::DatabaseUrl},
    import::{
        mapping::{Mapping, Ready},
        report::Report,
        service::{Import, ImportError, OnConflict, Options},
        source::Source,
    },
};

/// Done, but for the rows that are named.
pub const PARTLY: u8 = 3;
/// Nothing was written, because of the rows that are named (`EX_DATAERR`).
pub const UNACCEPTABLE: u8 = 65;
/// The source, or the mapping, cannot be read or does not fit (`EX_NOINPUT`).
pub const NO_INPUT: u8 = 66;

/// Where it comes from.
#[derive(Subcommand, Debug)]
pub enum What {
    /// Users from a file with the names of the fields in its first line.
    Csv(FromFile),
    /// Users from a file with a JSON object in each line.
    Jsonl(FromFile),
    /// A SQLite database, which is only read.
    #[cfg(feature = "sqlite")]
    Sqlite(FromDatabase),
    /// A PostgreSQL database, which is only read.
    Postgres(FromServer),
    /// Print a mapping that comes along, to begin one of your own with.
    Mapping {
        /// Which.
        #[arg(value_enum)]
        name: Ready,
    },
}

/// A file of users.
#[derive(Args, Debug)]
pub struct FromFile {
    /// The file; docs/guides/importing-users.md has its fields.
    pub file: PathBuf,
    /// What becomes what, if the fields are not called as here (TOML, or JSON if it ends in .json).
    #[arg(long)]
    pub mapping: Option<PathBuf>,
    #[command(flatten)]
    how: How,
}

/// A database in a file.
#[derive(Args, Debug)]
pub struct FromDatabase {
    /// The file.
    pub file: PathBuf,
    #[command(flatten)]
    tables: Tables,
    #[command(flatten)]
    how: How,
}

/// A database on a server.
#[derive(Args, Debug)]
pub struct FromServer {
    /// Its URL; "-" reads it from standard input, where no list of processes shows it.
    pub url: String,
    #[command(flatten)]
    tables: Tables,
    #[command(flatten)]
    how: How,
}

/// What becomes what.
#[derive(Args, Debug)]
struct Tables {
    /// A mapping of your own (TOML, or JSON if it ends in .json).
    #[arg(long, conflicts_with = "from")]
    mapping: Option<PathBuf>,
    /// A mapping that comes along.
    #[arg(long, value_enum, default_value = "table")]
    from: Ready,
    /// The table of users, with that of its schema before a dot if need be.
    #[arg(long)]
    table: Option<String>,
}

/// How it is done.
#[derive(Args, Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a flag of the command line"
)]
struct How {
    /// Read and compare everything, tell what would be done, and do nothing.
    #[arg(long)]
    dry_run: bool,
    /// Write nothing unless every row is acceptable.
    #[arg(long)]
    strict: bool,
    /// What happens to a row whose e-mail address is a user's already.
    #[arg(long, value_enum, default_value = "skip")]
    on_conflict: OnConflict,
    /// Let users who are administrators there, and roles that are held there on the system, be so
    /// here.
    #[arg(long)]
    administrators: bool,
    /// Import users whose hash cannot be verified without one: they choose a new password.
    #[arg(long)]
    drop_hashes: bool,
    /// What the source is called, if several of one kind are imported.
    #[arg(long, value_name = "NAME")]
    source: Option<String>,
    /// Write every finding into this file, a JSON object in each line.
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
}

/// Imports. Status 0: all; [`PARTLY`]: all but the rows that are named; [`UNACCEPTABLE`]: nothing,
/// because of the rows that are named; [`NO_INPUT`]: the source or the mapping is not usable, or not
/// to its end.
///
/// # Errors
///
/// The settings' or the database's.
pub async fn run(
    config: impl FnOnce() -> Config,
    clock: &dyn Clock,
    what: What,
    out: &mut dyn Write,
) -> anyhow::Result<ExitCode> {
    if let What::Mapping { name } = &what {
        write!(out, "{}", name.text())?;
        return Ok(ExitCode::SUCCESS);
    }
    let config = config();
    match Box::pin(import(&config, clock, what, out)).await {
        Err(error) => match error.downcast_ref::<ImportError>() {
            Some(ImportError::Source(_) | ImportError::Mapping(_)) => {
                eprintln!("gatepost: {error:#}");
                Ok(ExitCode::from(NO_INPUT))
            }
            _ => Err(error),
        },
        done => done,
    }
}

async fn import(
    config: &Config,
    clock: &dyn Clock,
    what: What,
    out: &mut dyn Write,
) -> anyhow::Result<ExitCode> {
    let (source, mut mapping, how) = opened(what)?;
    if let Some(name) = &how.source {
        mapping.name.clone_from(name);
    }
    let url = config
        .database
        .url
        .as_ref()
        .context("DATABASE_URL is not set")?;
    let db = pool::open(&config.database, url, &Arc::default()).await?;
    let pending = migration::pending(&db).await?;
    anyhow::ensure!(
        pending.is_empty(),
        "{} migrations are pending: run `gatepost-migrate up` first",
        pending.len()
    );
    let options = Options {
        on_conflict: how.on_conflict,
        administrators: how.administrators,
        drop_hashes: how.drop_hashes,
    };
    let start = async |report: Option<&Path>, writes: bool| -> Result<Report, ImportError> {
        let schema = config.accounts.metadata_schema.clone();
        let both = (source.clone(), mapping.clone());
        let report = Report::with_file(report)?;
        let import = Import::new(&db, clock, both, schema, options, report).await?;
        Box::pin(import.run(writes)).await
    };
    let path = how.report.as_deref();
    let mut report = Report::default();
    let checks_first = how.dry_run || how.strict;
    if checks_first {
        report = start(path, false).await?;
    }
    let writes = !how.dry_run && report.faults.count == 0;
    if writes {
        report = start(path, true).await?;
    }
    db.close().await;
    told(&report, &how, writes, out)
}

fn told(report: &Report, how: &How, writes: bool, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    // Who runs an import again knows who is there.
    if how.dry_run || how.strict || report.faults.count > 0 {
        write!(out, "{}", report.notices)?;
    }
    write!(out, "{}{report}", report.faults)?;
    let faults = report.faults.count;
    let bad = match faults {
        1 => "1 row that is not acceptable".to_owned(),
        more => format!("{more} rows that are not acceptable"),
    };
    let (text, code) = match (writes, faults) {
        (true, 0) => ("Imported.".to_owned(), 0),
        (true, _) => (format!("Imported, but for {bad}."), PARTLY),
        (false, 0) => ("Nothing was written: this was a dry run.".to_owned(), 0),
        (false, _) => (
            format!("Nothing was written, because of {bad}."),
            UNACCEPTABLE,
        ),
    };
    writeln!(out, "{text}")?;
    Ok(ExitCode::from(code))
}

fn opened(what: What) -> anyhow::Result<(Source, Mapping, How)> {
    let of_tables = |tables: Tables| -> Result<Mapping, ImportError> {
        let mut mapping = match &tables.mapping {
            Some(path) => Mapping::read(path)?,
            None => tables.from.mapping()?,
        };
        if let Some(table) = tables.table {
            mapping.set_table(table);
        }
        Ok(mapping)
    };
    let of_file = |path: Option<PathBuf>| -> Result<Mapping, ImportError> {
        Ok(match path {
            Some(path) => Mapping::read(&path)?,
            None => Mapping::of_names(),
        })
    };
    Ok(match what {
        What::Csv(what) => (Source::Csv(what.file), of_file(what.mapping)?, what.how),
        What::Jsonl(what) => (Source::Jsonl(what.file), of_file(what.mapping)?, what.how),
        #[cfg(feature = "sqlite")]
        What::Sqlite(what) => (Source::Sqlite(what.file), of_tables(what.tables)?, what.how),
        What::Postgres(what) => {
            let url = DatabaseUrl::parse(&url_of(&what.url)?)
                .map_err(|fault| anyhow::anyhow!("the URL to import from {fault}"))?;
            let source = Source::Postgres(Box::new(url));
            (source, of_tables(what.tables)?, what.how)
        }
        What::Mapping { .. } => anyhow::bail!("a mapping is printed, not imported"),
    })
}

fn url_of(argument: &str) -> anyhow::Result<String> {
    if argument != "-" {
        return Ok(argument.to_owned());
    }
    let mut text = String::new();
    std::io::stdin()
        .take(64 * 1024)
        .read_to_string(&mut text)
        .context("the URL cannot be read from standard input")?;
    Ok(text.trim().to_owned())
}
