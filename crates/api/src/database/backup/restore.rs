//! Restoring: one transaction, at the end of which all is there and what was handed out before is void.

use std::{fmt::Write as _, io::Read, path::Path, process::Stdio};

use sqlx::{Connection, PgConnection};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    process::{Child, ChildStdin},
};

use super::{
    archive::Archive,
    make::{open, refuse_foreign, tables},
    model::{BackupError, FORMAT, Manifest},
    programs::{Programs, complaints},
};
use crate::{config::DatabaseConfig, database::url::DatabaseUrl};

/// More changes to who may do what than there can have been since the backup, so that no revision is
/// used twice.
const REVISIONS: i64 = 1_000_000;

/// What the operator accepts.
#[derive(Clone, Copy, Debug, Default)]
pub struct Consent {
    /// What is in the database may go.
    pub replace: bool,
    /// What is sealed may stay closed.
    pub other_key: bool,
}

/// What was restored.
#[derive(Debug)]
pub struct Restored {
    /// What the backup says of itself.
    pub manifest: Manifest,
    /// Whether the API's role has its rights; otherwise migrations are missing that bring them.
    pub granted: bool,
}

/// Puts a backup into the database that `url`'s role owns, and gives `api_role` its rights.
///
/// # Errors
///
/// See [`BackupError`]. The database is as it was before.
pub async fn restore(
    config: &DatabaseConfig,
    url: &DatabaseUrl,
    api_role: Option<&str>,
    keys_here: &[String],
    path: &Path,
    consent: Consent,
) -> Result<Restored, BackupError> {
    let archive = Archive::open(path)?;
    let manifest = &archive.manifest;
    check_manifest(manifest, config, keys_here, path, consent)?;
    let mut connection = open(config, url).await?;
    let major = check_database(&mut connection, config, url, consent).await?;
    let programs = Programs::find(major).await?;
    let granted = manifest.migrations == migration::known();
    let role = api_role.filter(|role| granted && *role != url.user());
    let before = before(&mut connection, &config.schema).await?;
    let after = after(manifest, role);
    connection.close().await.ok();
    let list = contents(&programs, url, &archive).await?;
    run(&programs, url, &archive, &list, &before, &after).await?;
    Ok(Restored {
        manifest: archive.manifest,
        granted,
    })
}

fn check_manifest(
    manifest: &Manifest,
    config: &DatabaseConfig,
    keys_here: &[String],
    path: &Path,
    consent: Consent,
) -> Result<(), BackupError> {
    if manifest.format != FORMAT {
        let why = format!("its layout is version {}, not {FORMAT}", manifest.format);
        return Err(BackupError::damaged(path, why));
    }
    if manifest.schema != config.schema {
        return Err(BackupError::OtherSchema {
            found: manifest.schema.clone(),
            expected: config.schema.clone(),
        });
    }
    let known = migration::known();
    if !manifest.migrations.iter().all(|step| known.contains(step)) {
        return Err(BackupError::Newer(manifest.gatepost.clone()));
    }
    let opens = manifest.secret_keys.is_empty()
        || manifest
            .secret_keys
            .iter()
            .any(|key| keys_here.contains(key));
    match keys_here.first() {
        Some(here) if !opens && !consent.other_key => Err(BackupError::OtherKey {
            sealed: manifest.secret_keys.clone(),
            here: here.clone(),
        }),
        _ => Ok(()),
    }
}

async fn check_database(
    connection: &mut PgConnection,
    config: &DatabaseConfig,
    url: &DatabaseUrl,
    consent: Consent,
) -> Result<u32, BackupError> {
    let (read_only, number): (bool, i32) = sqlx::query_as(
        "SELECT pg_is_in_recovery() OR current_setting('transaction_read_only') = 'on',
            current_setting('server_version_num')::int",
    )
    .fetch_one(&mut *connection)
    .await?;
    if read_only {
        return Err(BackupError::ReadOnly);
    }
    refuse_foreign(connection, &config.schema).await?;
    let there = tables(connection).await?;
    if !there.is_empty() && !consent.replace {
        let count = format!("{} tables", there.len());
        return Err(BackupError::NotEmpty(count, url.place()));
    }
    Ok(u32::try_from(number / 10_000).unwrap_or_default())
}

fn add(text: &mut String, more: std::fmt::Arguments<'_>) {
    text.write_fmt(more)
        .expect("a String takes all that is written");
}

/// What runs before the content comes: ours goes, the schema itself and its grants stay.
async fn before(connection: &mut PgConnection, schema: &str) -> Result<String, BackupError> {
    let exists: bool = sqlx::query_scalar("SELECT to_regnamespace($1) IS NOT NULL")
        .bind(format!("\"{schema}\""))
        .fetch_one(&mut *connection)
        .await?;
    let mut text =
        "BEGIN;\nSET LOCAL lock_timeout = '10s';\nSET LOCAL client_min_messages = warning;\n"
            .to_owned();
    if !exists {
        add(&mut text, format_args!("CREATE SCHEMA \"{schema}\";\n"));
        return Ok(text);
    }
    for table in tables(connection).await? {
        add(
            &mut text,
            format_args!("DROP TABLE \"{schema}\".\"{table}\" CASCADE;\n"),
        );
    }
    let functions: Vec<String> = sqlx::query_scalar(
        "SELECT format('%I.%I(%s)', nspname, proname, pg_get_function_identity_arguments(p.oid))
         FROM pg_proc p JOIN pg_namespace n ON n.oid = pronamespace
         WHERE nspname = $1 AND proname LIKE 'gatepost\\_%'",
    )
    .bind(schema)
    .fetch_all(connection)
    .await?;
    for function in functions {
        add(
            &mut text,
            format_args!("DROP FUNCTION {function} CASCADE;\n"),
        );
    }
    Ok(text)
}

/// What runs after it: nobody is logged in, no link and no waiting mail of then is good, and no
/// revision comes twice. The number of rows shows that all came.
fn after(manifest: &Manifest, api_role: Option<&str>) -> String {
    let schema = &manifest.schema;
    let mut text = format!(
        "SET LOCAL search_path = \"{schema}\", pg_temp;\nSET LOCAL row_security = on;\n\
         SET LOCAL app.scope = 'system';\n"
    );
    for (table, rows) in &manifest.rows {
        add(
            &mut text,
            format_args!(
                "DO $$ BEGIN IF (SELECT count(*) FROM \"{table}\") <> {rows} THEN \
             RAISE EXCEPTION 'not all rows of {table} came'; END IF; END $$;\n"
            ),
        );
    }
    add(
        &mut text,
        format_args!(
            "UPDATE sessions SET revoked_at = now(), revoke_reason = 'restored' WHERE revoked_at IS NULL;\n\
         UPDATE device_fingerprints SET trusted_until = NULL WHERE trusted_until IS NOT NULL;\n\
         UPDATE one_time_tokens SET consumed_at = now() WHERE consumed_at IS NULL;\n\
         DELETE FROM mfa_verifications;\nDELETE FROM webauthn_challenges;\n\
         DELETE FROM idempotency_keys;\nDELETE FROM outbox WHERE sent_at IS NULL;\n\
         UPDATE authz_state SET revision = revision + {REVISIONS};\n\
         DO $$ BEGIN IF to_regprocedure('gatepost_bump_epoch(text)') IS NOT NULL THEN \
         PERFORM gatepost_bump_epoch('restored from a backup'); END IF; END $$;\n\
         INSERT INTO audit_log (id, at, actor_type, action, target_type, outcome, details)\n\
         VALUES (gen_random_uuid(), clock_timestamp(), 'program', 'database.restored', 'system', \
         'success', jsonb_build_object('backup_of', '{}', 'audit_seq', {}));\n",
            manifest.made_at.to_rfc3339(),
            manifest.audit.seq
        ),
    );
    if let Some(role) = api_role {
        text.push_str(&migration::grant_statements(schema, role));
    }
    text.push_str("\nCOMMIT;\n");
    text
}

/// The table of contents without the schema itself, which is there.
async fn contents(
    programs: &Programs,
    url: &DatabaseUrl,
    archive: &Archive,
) -> Result<String, BackupError> {
    let mut child = start(programs, "pg_restore", url, &["--list"])?;
    let complaints = complaints(child.stderr.take());
    let feeding = feed(archive, child.stdin.take())?;
    let mut list = String::new();
    if let Some(mut stream) = child.stdout.take() {
        stream
            .read_to_string(&mut list)
            .await
            .map_err(|error| failed("pg_restore", error))?;
    }
    feeding.abort();
    ended("pg_restore", child, complaints).await?;
    let kept = list.lines().filter(|line| {
        let mut words = line.split_whitespace().skip(3);
        let kind = words.next();
        let of_schema = words.next() == Some("-") && words.next() == Some("SCHEMA");
        !(kind == Some("SCHEMA") || kind == Some("COMMENT") && of_schema)
    });
    Ok(kept.collect::<Vec<_>>().join("\n"))
}

async fn run(
    programs: &Programs,
    url: &DatabaseUrl,
    archive: &Archive,
    list: &str,
    before: &str,
    after: &str,
) -> Result<(), BackupError> {
    let list_file = std::env::temp_dir().join(format!("gatepost-{}", uuid::Uuid::now_v7()));
    crate::files::write_private(&list_file, list.as_bytes())
        .map_err(super::model::doing("write", &list_file))?;
    let result = transfer(programs, url, archive, &list_file, before, after).await;
    // It holds nothing secret, and the temporary folder is emptied by others.
    let _ = std::fs::remove_file(&list_file);
    result
}

async fn transfer(
    programs: &Programs,
    url: &DatabaseUrl,
    archive: &Archive,
    list_file: &Path,
    before: &str,
    after: &str,
) -> Result<(), BackupError> {
    let quiet = [
        "--no-psqlrc",
        "--quiet",
        "--no-password",
        "--set=ON_ERROR_STOP=1",
    ];
    let mut psql = start(programs, "psql", url, &quiet)?;
    let psql_says = complaints(psql.stderr.take());
    let silence = psql.stdout.take();
    let silence = tokio::spawn(async move {
        if let Some(mut silence) = silence {
            // Results of SELECT, which nobody reads.
            let _ = tokio::io::copy(&mut silence, &mut tokio::io::sink()).await;
        }
    });
    let mut statements = psql
        .stdin
        .take()
        .ok_or_else(|| failed("psql", "it has no input"))?;
    let list_argument = format!("--use-list={}", list_file.display());
    let options = ["--file=-", "--no-owner", "--no-privileges", &list_argument];
    let mut reader = start(programs, "pg_restore", url, &options)?;
    let reader_says = complaints(reader.stderr.take());
    let feeding = feed(archive, reader.stdin.take())?;
    // A psql that has stopped at an error takes no more; its complaint says why.
    let mut copied = statements.write_all(before.as_bytes()).await;
    if let (Ok(()), Some(mut stream)) = (&copied, reader.stdout.take()) {
        copied = tokio::io::copy(&mut stream, &mut statements)
            .await
            .map(drop);
    }
    if copied.is_err() {
        drop(statements);
        feeding.abort();
        reader.kill().await.ok();
        silence.await.ok();
        ended("psql", psql, psql_says).await?;
        return Err(failed("psql", "it ended too early"));
    }
    feeding.await.ok();
    // Without COMMIT, nothing has happened.
    ended("pg_restore", reader, reader_says).await?;
    // If it has stopped meanwhile, its complaint says why.
    let _ = statements.write_all(after.as_bytes()).await;
    drop(statements);
    silence.await.ok();
    ended("psql", psql, psql_says).await
}

fn start(
    programs: &Programs,
    name: &'static str,
    url: &DatabaseUrl,
    arguments: &[&str],
) -> Result<Child, BackupError> {
    let mut command = programs.command(name, url);
    if name == "pg_restore" {
        // It only reads the file; the one that connects is psql.
        command.env_remove("PGPASSWORD");
    }
    command
        .args(arguments)
        .stdin(Stdio::piped())
        .spawn()
        .map_err(|error| failed(name, error))
}

fn feed(
    archive: &Archive,
    input: Option<ChildStdin>,
) -> Result<tokio::task::JoinHandle<()>, BackupError> {
    let mut dump = archive.dump()?;
    Ok(tokio::spawn(async move {
        let Some(mut input) = input else { return };
        let mut buffer = vec![0; 1 << 16];
        while let Ok(read @ 1..) = dump.read(&mut buffer) {
            // A program that has read enough closes its input.
            if input.write_all(&buffer[..read]).await.is_err() {
                break;
            }
        }
    }))
}

fn failed(program: &'static str, why: impl std::fmt::Display) -> BackupError {
    BackupError::Program {
        program,
        output: why.to_string(),
    }
}

async fn ended(
    program: &'static str,
    mut child: Child,
    complaints: tokio::task::JoinHandle<String>,
) -> Result<(), BackupError> {
    let status = child.wait().await.map_err(|error| failed(program, error))?;
    let said = complaints.await.unwrap_or_default();
    if status.success() {
        return Ok(());
    }
    Err(failed(program, format!("{said} ({status})")))
}
