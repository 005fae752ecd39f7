//! Making a backup.

use std::{collections::BTreeMap, fs, path::Path, time::Duration};

use chrono::{DateTime, Utc};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};
use tokio::{io::AsyncReadExt, time::timeout};

use super::{
    archive::Writer,
    model::{BackupError, FORMAT, Manifest, doing},
    programs::{Programs, complaints},
};
use crate::{
    audit::{chain::GENESIS, verify::Anchor},
    config::DatabaseConfig,
    database::{pool, url::DatabaseUrl},
    files,
};

/// The name of a backup that got none.
pub fn default_name(url: &DatabaseUrl, now: DateTime<Utc>) -> String {
    let plain: String = url
        .database()
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || c == '_' {
                c
            } else {
                '-'
            }
        })
        .collect();
    format!("{plain}-{}.backup", now.format("%Y%m%dT%H%M%SZ"))
}

/// Writes a backup of the schema to a new file.
///
/// # Errors
///
/// See [`BackupError`]. The file is there only when all of it is.
pub async fn make(
    config: &DatabaseConfig,
    url: &DatabaseUrl,
    secret_keys: Vec<String>,
    path: &Path,
    now: DateTime<Utc>,
) -> Result<Manifest, BackupError> {
    if path.exists() {
        return Err(BackupError::Exists(path.to_owned()));
    }
    let mut connection = open(config, url).await?;
    let (major, snapshot, mut manifest) = look(&mut connection, config, url).await?;
    manifest.secret_keys = secret_keys;
    manifest.made_at = now;
    let programs = Programs::find(major).await?;
    let draft = files::draft(path);
    let file = files::create_private(&draft).map_err(doing("write", &draft))?;
    let work = async {
        let mut writer = Writer::new(file, &draft)?;
        dump(&programs, config, url, &snapshot, &mut writer).await?;
        writer.finish(&manifest)
    };
    let done = tokio::select! {
        done = work => done,
        () = stopped() => Err(BackupError::Interrupted),
    };
    // A link never replaces a file that came to be meanwhile, as a rename would.
    let done = done.and_then(|()| fs::hard_link(&draft, path).map_err(doing("write", path)));
    let removed = fs::remove_file(&draft).map_err(doing("remove", &draft));
    done.and(removed)?;
    files::sync_folder(path).map_err(doing("write", path))?;
    // Politeness only: all that mattered was read.
    connection.close().await.ok();
    Ok(manifest)
}

/// Resolves when the operator wants it to end.
async fn stopped() {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut terminate), Ok(mut interrupt)) = (
        signal(SignalKind::terminate()),
        signal(SignalKind::interrupt()),
    ) else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = terminate.recv() => {},
        _ = interrupt.recv() => {},
    }
}

/// A connection of its own, without a pool.
pub(super) async fn open(
    config: &DatabaseConfig,
    url: &DatabaseUrl,
) -> Result<PgConnection, BackupError> {
    let options = pool::connect_options(config, url);
    let limit = url.connect_timeout();
    let why = match timeout(limit, PgConnection::connect_with(&options)).await {
        Ok(Ok(connection)) => return Ok(connection),
        Ok(Err(sqlx::Error::Database(error))) => error.message().to_owned(),
        Ok(Err(error)) => error.to_string(),
        Err(_) => format!("no answer within {} s", Duration::as_secs(&limit)),
    };
    Err(BackupError::Connect {
        place: url.place(),
        why,
    })
}

/// Reads what the manifest says in the snapshot that `pg_dump` will use, and keeps it open.
async fn look(
    connection: &mut PgConnection,
    config: &DatabaseConfig,
    url: &DatabaseUrl,
) -> Result<(u32, String, Manifest), BackupError> {
    connection
        .execute(
            "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL app.scope = 'system'; \
             SET LOCAL statement_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0",
        )
        .await?;
    let (number, server, snapshot): (i32, String, String) = sqlx::query_as(
        "SELECT current_setting('server_version_num')::int, current_setting('server_version'),
            pg_export_snapshot()",
    )
    .fetch_one(&mut *connection)
    .await?;
    refuse_foreign(connection, &config.schema).await?;
    let ours = tables(connection).await?;
    if !ours.contains(&"seaql_migrations".to_owned()) {
        return Err(BackupError::Empty(config.schema.clone()));
    }
    let mut rows = BTreeMap::new();
    for table in ours {
        let sql = AssertSqlSafe(format!("SELECT count(*) FROM {table}"));
        let count: i64 = sqlx::query_scalar(sql).fetch_one(&mut *connection).await?;
        rows.insert(table, count);
    }
    let migrations: Vec<String> =
        sqlx::query_scalar("SELECT version FROM seaql_migrations ORDER BY version")
            .fetch_all(&mut *connection)
            .await?;
    let manifest = Manifest {
        format: FORMAT,
        made_at: DateTime::UNIX_EPOCH,
        gatepost: env!("CARGO_PKG_VERSION").to_owned(),
        server,
        database: url.database().to_owned(),
        schema: config.schema.clone(),
        migrations,
        rows,
        audit: audit(connection).await?,
        secret_keys: Vec::new(),
    };
    let major = u32::try_from(number / 10_000).unwrap_or_default();
    Ok((major, snapshot, manifest))
}

/// The tables of the schema that are ours.
pub(super) async fn tables(connection: &mut PgConnection) -> Result<Vec<String>, BackupError> {
    let known: Vec<String> = migration::tables().map(str::to_owned).collect();
    Ok(sqlx::query_scalar(
        "SELECT relname::text FROM pg_class WHERE relnamespace = current_schema()::regnamespace
             AND relkind IN ('r', 'p') AND relname = ANY ($1) ORDER BY 1",
    )
    .bind(known)
    .fetch_all(connection)
    .await?)
}

/// A dump of the whole schema must hold nothing of others, and a restore must drop nothing of theirs.
pub(super) async fn refuse_foreign(
    connection: &mut PgConnection,
    schema: &str,
) -> Result<(), BackupError> {
    let known: Vec<String> = migration::tables().map(str::to_owned).collect();
    let foreign: Vec<String> = sqlx::query_scalar(
        "SELECT relname::text FROM pg_class WHERE relnamespace = to_regnamespace($2)
             AND relkind IN ('r', 'p', 'v', 'm', 'f') AND NOT relispartition
             AND relname <> ALL ($1) ORDER BY 1 LIMIT 5",
    )
    .bind(known)
    .bind(schema)
    .fetch_all(connection)
    .await?;
    if foreign.is_empty() {
        return Ok(());
    }
    Err(BackupError::Foreign {
        schema: schema.to_owned(),
        tables: foreign.join(", "),
    })
}

async fn audit(connection: &mut PgConnection) -> Result<Anchor, BackupError> {
    let last: Option<(i64, Vec<u8>, DateTime<Utc>)> =
        sqlx::query_as("SELECT seq, hash, sealed_at FROM audit_seals ORDER BY seq DESC LIMIT 1")
            .fetch_optional(connection)
            .await?;
    let start = Anchor {
        seq: 0,
        hash: GENESIS,
        at: None,
    };
    Ok(last.map_or(start, |(seq, hash, at)| Anchor {
        seq,
        hash: crate::audit::chain::Hash::try_from(hash.as_slice()).unwrap_or(GENESIS),
        at: Some(at),
    }))
}

async fn dump(
    programs: &Programs,
    config: &DatabaseConfig,
    url: &DatabaseUrl,
    snapshot: &str,
    writer: &mut Writer,
) -> Result<(), BackupError> {
    let failed = |output: String| BackupError::Program {
        program: "pg_dump",
        output,
    };
    let mut child = programs
        .command("pg_dump", url)
        .args([
            "--format=custom",
            "--no-owner",
            "--no-privileges",
            "--no-password",
        ])
        .args(["--enable-row-security", "--lock-wait-timeout=30s"])
        .arg(format!("--schema=\"{}\"", config.schema))
        .arg(format!("--snapshot={snapshot}"))
        .stdin(std::process::Stdio::null())
        .spawn()
        .map_err(|error| failed(error.to_string()))?;
    let complaints = complaints(child.stderr.take());
    let mut stream = child
        .stdout
        .take()
        .ok_or_else(|| failed("it has no output".to_owned()))?;
    let mut buffer = vec![0; 1 << 16];
    loop {
        let read = stream
            .read(&mut buffer)
            .await
            .map_err(|error| failed(error.to_string()))?;
        if read == 0 {
            break;
        }
        writer.add(&buffer[..read])?;
    }
    let status = child
        .wait()
        .await
        .map_err(|error| failed(error.to_string()))?;
    let said = complaints.await.unwrap_or_default();
    if status.success() {
        return Ok(());
    }
    Err(failed(format!("{said} ({status})")))
}
