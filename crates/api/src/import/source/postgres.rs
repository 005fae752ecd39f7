//! A PostgreSQL database, read in one snapshot, with rows as JSON.

use std::{future::Future, time::Duration};

use futures_util::TryStreamExt;
use serde_json::{Map, Value};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};
use tokio::time::timeout;

use super::{Column, Raw, SourceError, Wanted, quoted, select_list};
use crate::{database::url::DatabaseUrl, import::report::Place};

/// A column that only tables of this program's own have.
const OURS: &str = "email_normalized";

/// How long the other server may think, such as to sort a table, before it is given up.
const PATIENCE: Duration = Duration::from_mins(5);

/// A connection has a runtime of its own, because the caller's thread is one that blocks.
fn blocking<T>(work: impl Future<Output = Result<T, SourceError>>) -> Result<T, SourceError> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| SourceError::Postgres(error.into()))?
        .block_on(work)
}

async fn open(url: &DatabaseUrl) -> Result<PgConnection, SourceError> {
    let options = url.to_connect_options(false);
    let connection = timely(url.connect_timeout(), PgConnection::connect_with(&options));
    let mut connection = connection.await?;
    connection
        .execute(
            "SET TIME ZONE 'UTC'; SET DateStyle = 'ISO'; SET statement_timeout = 0;
             BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
        )
        .await?;
    Ok(connection)
}

/// A server that vanished would be waited for for ever.
async fn timely<T>(
    patience: Duration,
    work: impl Future<Output = sqlx::Result<T>>,
) -> sqlx::Result<T> {
    timeout(patience, work).await.unwrap_or_else(|_| {
        let text = format!("no answer within {} s", patience.as_secs());
        let error = std::io::Error::new(std::io::ErrorKind::TimedOut, text);
        Err(sqlx::Error::Io(error))
    })
}

/// A name, or a schema's and a name.
fn table_name(table: &str) -> String {
    let parts: Vec<_> = table.split('.').map(quoted).collect();
    parts.join(".")
}

pub(super) fn columns(url: &DatabaseUrl, table: &str) -> Result<Vec<Column>, SourceError> {
    blocking(async {
        let mut db = open(url).await?;
        let sql = "SELECT attname::text, atttypid::regtype::text IN
                ('smallint', 'integer', 'bigint', 'numeric', 'real', 'double precision')
            FROM pg_attribute WHERE attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped
            ORDER BY attnum";
        let query = sqlx::query_as(sql).bind(table_name(table));
        let found: Vec<(String, bool)> = timely(PATIENCE, query.fetch_all(&mut db)).await?;
        if found.is_empty() {
            let sql = "SELECT CASE WHEN pg_table_is_visible(c.oid) THEN c.relname
                    ELSE n.nspname || '.' || c.relname END
                FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                WHERE c.relkind IN ('r', 'v', 'm', 'p', 'f') AND NOT c.relispartition
                  AND n.nspname NOT IN ('pg_catalog', 'information_schema')
                  AND has_schema_privilege(n.oid, 'USAGE') ORDER BY 1";
            return Err(SourceError::NoTable {
                place: url.to_string(),
                table: table.to_owned(),
                there: timely(PATIENCE, sqlx::query_scalar(sql).fetch_all(&mut db)).await?,
            });
        }
        if found.iter().any(|(name, _)| name == OURS) {
            return Err(SourceError::Unfit(format!(
                "the table {table} of {url} is Gatepost's own: name the schema of the other one, \
                 such as --table public.{table}"
            )));
        }
        let column = |(name, is_number)| Column { name, is_number };
        Ok(found.into_iter().map(column).collect())
    })
}

pub(super) fn size(url: &DatabaseUrl, wanted: &Wanted) -> Result<u64, SourceError> {
    blocking(async {
        let sql = format!("SELECT count(*) FROM {}", table_name(&wanted.table));
        let mut db = open(url).await?;
        let query = sqlx::query_scalar(AssertSqlSafe(sql));
        let count: i64 = timely(PATIENCE, query.fetch_one(&mut db)).await?;
        Ok(count.unsigned_abs())
    })
}

pub(super) fn read(
    url: &DatabaseUrl,
    wanted: &Wanted,
    each: &mut dyn FnMut(Raw) -> bool,
) -> Result<(), SourceError> {
    let order = match &wanted.key {
        Some(key) => format!(" ORDER BY {}", quoted(key)),
        None => String::new(),
    };
    let sql = format!(
        "SELECT row_to_json(chosen)::text FROM (SELECT {} FROM {}{order}) AS chosen",
        select_list(&wanted.columns),
        table_name(&wanted.table),
    );
    blocking(async {
        let mut db = open(url).await?;
        let mut rows = sqlx::query_scalar::<_, String>(AssertSqlSafe(sql)).fetch(&mut db);
        let mut number = 0;
        while let Some(text) = timely(PATIENCE, rows.try_next()).await? {
            number += 1;
            let row: Result<Map<String, Value>, _> = serde_json::from_str(&text);
            let row = row.map_err(|error| ("invalid_json", error.to_string()));
            let key = match (&row, &wanted.key) {
                (Ok(row), Some(key)) => match row.get(key) {
                    Some(Value::String(text)) => text.clone(),
                    Some(value) => value.to_string(),
                    None => String::new(),
                },
                _ => String::new(),
            };
            let raw = Raw {
                place: Place {
                    number,
                    key: Some(key),
                },
                row,
                position: number,
                is_open_end: false,
            };
            if !each(raw) {
                break;
            }
        }
        Ok(())
    })
}
