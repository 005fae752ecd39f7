//! `gatepost db backup`, `restore` and `verify`.

use std::{io::Write, path::PathBuf, process::ExitCode};

use anyhow::Context;
use clap::Args;

use crate::{
    clock::{Clock, SystemClock},
    command::serve,
    config::{Config, SecretKey},
    database::{
        backup::{self, BackupError, Consent, Manifest},
        pool,
        url::DatabaseUrl,
        verify,
    },
};

/// Something does not hold.
const FOUND: u8 = 3;
/// Refused because of what is there.
const REFUSED: u8 = 4;
/// What was read is no backup: `EX_DATAERR`.
const DATA: u8 = 65;
/// The server cannot be reached.
const UNAVAILABLE: u8 = 69;

/// Write a backup to a new file, with the URL of the owner (`MIGRATION_DATABASE_URL`). Needs `pg_dump`
/// of the server's version or newer. Exit status 0: it is whole; 1: failed, and there is no file;
/// 4: refused; 69: no connection.
#[derive(Args)]
pub struct Backup {
    /// The file [default: the database's name and the time, here].
    file: Option<PathBuf>,
    /// Answer with the manifest in JSON, for programs.
    #[arg(long)]
    json: bool,
}

/// Put a backup into the database of the owner (`MIGRATION_DATABASE_URL`), in one transaction. Stop
/// the instances first. All sessions, links, and mails that waited then are void afterwards. Exit
/// status 0: done; 1: failed, and nothing has changed; 4: refused; 65: the file is damaged; 69: no
/// connection.
#[derive(Args)]
pub struct Restore {
    /// The backup.
    file: PathBuf,
    /// Replace the Gatepost that is in the database.
    #[arg(long)]
    replace: bool,
    /// Restore although the backup is sealed with another `SECRET_KEY`.
    #[arg(long)]
    other_secret_key: bool,
}

/// Look for what should not be: orphans, cycles, organizations without an owner, links of the audit
/// chain that do not hold. Exit status 0: all holds; 3: it does not, with a list; 1: it could not be
/// checked.
#[derive(Args)]
pub struct Verify {
    /// Answer in JSON, for programs.
    #[arg(long)]
    json: bool,
}

/// The settings; what only a server needs may be missing.
fn settings() -> anyhow::Result<Config> {
    let csrf = SecretKey::generate()?.to_text();
    let stand_ins = [
        ("CSRF_SECRET_KEY", csrf.as_str()),
        ("PUBLIC_URL", "https://gatepost.invalid"),
    ];
    Ok(serve::settings_or_exit_with(&stand_ins))
}

fn owner(config: &Config) -> anyhow::Result<&DatabaseUrl> {
    let database = &config.database;
    let url = database.migration_url.as_ref().or(database.url.as_ref());
    url.context("neither MIGRATION_DATABASE_URL nor DATABASE_URL is set")
}

fn fingerprints(config: &Config) -> Vec<String> {
    let keys = [&config.secrets.secret_key, &config.secrets.previous];
    keys.into_iter()
        .flatten()
        .map(backup::fingerprint)
        .collect()
}

fn refused(error: &BackupError) -> ExitCode {
    eprintln!("gatepost: {error}");
    ExitCode::from(match error {
        BackupError::Exists(_)
        | BackupError::Foreign { .. }
        | BackupError::NotEmpty(..)
        | BackupError::OtherSchema { .. }
        | BackupError::Newer(_)
        | BackupError::OtherKey { .. }
        | BackupError::Empty(_) => REFUSED,
        BackupError::Damaged { .. } => DATA,
        BackupError::Connect { .. } | BackupError::ReadOnly => UNAVAILABLE,
        _ => 1,
    })
}

fn describe(manifest: &Manifest, out: &mut dyn Write) -> std::io::Result<()> {
    let rows: i64 = manifest.rows.values().sum();
    let count = |table| manifest.rows.get(table).copied().unwrap_or_default();
    writeln!(
        out,
        "of        {} (schema {}), at {}\nrows      {rows}; users {}, organizations {}, audit entries {}",
        manifest.database,
        manifest.schema,
        manifest.made_at.format("%Y-%m-%d %H:%M:%S UTC"),
        count("users"),
        count("organizations"),
        count("audit_log")
    )?;
    match manifest.secret_keys.as_slice() {
        [] => writeln!(out, "sealed    with a SECRET_KEY that was not known here"),
        keys => writeln!(out, "sealed    with the SECRET_KEY {}", keys.join(", ")),
    }
}

/// Makes a backup.
///
/// # Errors
///
/// Standard output cannot be used.
pub(super) async fn backup(what: Backup, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let config = settings()?;
    let url = owner(&config)?;
    let now = SystemClock.now();
    let keys = fingerprints(&config);
    if keys.is_empty() {
        eprintln!("SECRET_KEY is not set: the backup cannot say what it is sealed with");
    }
    let file = what
        .file
        .unwrap_or_else(|| backup::default_name(url, now).into());
    let made = Box::pin(backup::make(&config.database, url, keys, &file, now)).await;
    match made {
        Ok(manifest) if what.json => {
            let answer = serde_json::json!({"file": file, "manifest": manifest});
            writeln!(out, "{answer:#}")?;
        }
        Ok(manifest) => {
            writeln!(out, "wrote     {}", file.display())?;
            describe(&manifest, out)?;
            writeln!(
                out,
                "Keep SECRET_KEY elsewhere: without it, what is sealed does not open."
            )?;
        }
        Err(error) => return Ok(refused(&error)),
    }
    Ok(ExitCode::SUCCESS)
}

/// Restores one.
///
/// # Errors
///
/// Standard output cannot be used.
pub(super) async fn restore(what: Restore, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let config = settings()?;
    let url = owner(&config)?;
    let keys = fingerprints(&config);
    let api_role = config.database.url.as_ref().map(DatabaseUrl::user);
    let consent = Consent {
        replace: what.replace,
        other_key: what.other_secret_key,
    };
    let restored = backup::restore(&config.database, url, api_role, &keys, &what.file, consent);
    let restored = match Box::pin(restored).await {
        Ok(restored) => restored,
        Err(error) => return Ok(refused(&error)),
    };
    writeln!(out, "restored  {}", url.place())?;
    describe(&restored.manifest, out)?;
    if keys.is_empty() {
        writeln!(
            out,
            "SECRET_KEY is not set here; the service needs that one."
        )?;
    }
    if !restored.granted {
        writeln!(
            out,
            "Migrations are missing since then: run `gatepost-migrate up`."
        )?;
    }
    writeln!(
        out,
        "Everybody has to log in again. Passwords, factors, API keys and roles are those of then: what \
         was changed or revoked since has come back. Next: `gatepost db verify`."
    )?;
    Ok(ExitCode::SUCCESS)
}

/// Looks for what should not be.
///
/// # Errors
///
/// It could not be checked.
pub(super) async fn verify(what: Verify, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let config = settings()?;
    let database = &config.database;
    let url = database.url.as_ref().or(database.migration_url.as_ref());
    let url = url.context("DATABASE_URL is not set")?;
    let db = pool::open(database, url, &std::sync::Arc::default()).await?;
    let findings = Box::pin(verify::verify(&db)).await?;
    db.close().await;
    if what.json {
        let answer = serde_json::json!({"holds": findings.is_empty(), "findings": findings});
        writeln!(out, "{answer:#}")?;
    } else if findings.is_empty() {
        writeln!(
            out,
            "All holds: no orphans, no cycles, owners everywhere, the audit chain whole."
        )?;
    } else {
        for finding in &findings {
            writeln!(out, "{:13}  {}", finding.kind, finding.text)?;
        }
    }
    Ok(if findings.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(FOUND)
    })
}
