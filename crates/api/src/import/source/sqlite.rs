//! A SQLite database in a file. It is opened for reading only.

use std::path::Path;

use rusqlite::{Connection, ErrorCode, OpenFlags, types::ValueRef};
use serde_json::{Map, Number, Value};

use super::{Column, Raw, SourceError, Wanted, quoted, select_list, unreadable};
use crate::import::report::{Fault, Place};

/// The columns of a table, after a look whether the file is whole.
pub(super) fn columns(path: &Path, table: &str) -> Result<Vec<Column>, SourceError> {
    let database = open(path)?;
    let judged: String = database
        .query_row("PRAGMA quick_check(1)", [], |row| row.get(0))
        .map_err(|error| failed(path, &error))?;
    if judged != "ok" {
        return Err(SourceError::Unfit(format!(
            "{} is damaged, or was copied while it was written: {judged}; copy it again with \
             sqlite3 {} \".backup copy.db\"",
            path.display(),
            path.display()
        )));
    }
    let found = described(&database, table).map_err(|error| failed(path, &error))?;
    if found.is_empty() {
        return Err(SourceError::NoTable {
            place: path.display().to_string(),
            table: table.to_owned(),
            there: tables(&database).map_err(|error| failed(path, &error))?,
        });
    }
    Ok(found)
}

fn described(database: &Connection, table: &str) -> rusqlite::Result<Vec<Column>> {
    let mut query = database.prepare("SELECT name, type FROM pragma_table_info(?1)")?;
    let rows = query.query_map([table], |row| {
        let kind: String = row.get(1)?;
        let kind = kind.to_uppercase();
        let numbers = ["INT", "REAL", "FLOA", "DOUB", "NUM", "DEC"];
        Ok(Column {
            name: row.get(0)?,
            is_number: numbers.iter().any(|part| kind.contains(part)),
        })
    })?;
    rows.collect()
}

fn tables(database: &Connection) -> rusqlite::Result<Vec<String>> {
    let sql = "SELECT name FROM sqlite_master WHERE type IN ('table', 'view')
        AND name NOT LIKE 'sqlite%' ORDER BY name";
    let mut query = database.prepare(sql)?;
    let rows = query.query_map([], |row| row.get(0))?;
    rows.collect()
}

pub(super) fn size(path: &Path, wanted: &Wanted) -> Result<u64, SourceError> {
    let sql = format!("SELECT count(*) FROM {}", quoted(&wanted.table));
    let count: i64 = open(path)?
        .query_row(&sql, [], |row| row.get(0))
        .map_err(|error| failed(path, &error))?;
    Ok(count.unsigned_abs())
}

pub(super) fn read(
    path: &Path,
    wanted: &Wanted,
    each: &mut dyn FnMut(Raw) -> bool,
) -> Result<(), SourceError> {
    let database = open(path)?;
    rows(&database, wanted, each).map_err(|error| failed(path, &error))
}

fn rows(
    database: &Connection,
    wanted: &Wanted,
    each: &mut dyn FnMut(Raw) -> bool,
) -> rusqlite::Result<()> {
    let order = match &wanted.key {
        Some(key) => format!(" ORDER BY {}", quoted(key)),
        None => String::new(),
    };
    let sql = format!(
        "SELECT {} FROM {}{order}",
        select_list(&wanted.columns),
        quoted(&wanted.table)
    );
    let mut query = database.prepare(&sql)?;
    let mut rows = query.query([])?;
    let mut number = 0;
    while let Some(row) = rows.next()? {
        number += 1;
        let mut fields = Ok(Map::new());
        let mut key = String::new();
        for (index, name) in wanted.columns.iter().enumerate() {
            let value = json(row.get_ref(index)?);
            if let (Ok(value), Some(_)) = (&value, wanted.key.as_ref().filter(|key| *key == name)) {
                key = value
                    .as_str()
                    .map_or_else(|| value.to_string(), ToOwned::to_owned);
            }
            fields = fields.and_then(|mut fields| {
                let value = value.map_err(|(code, why)| (code, format!("{name}: {why}")))?;
                fields.insert(name.clone(), value);
                Ok(fields)
            });
        }
        let raw = Raw {
            place: Place {
                number,
                key: Some(key),
            },
            row: fields,
            position: number,
            is_open_end: false,
        };
        if !each(raw) {
            break;
        }
    }
    Ok(())
}

/// 16 bytes are a UUID: that is how some libraries store them.
fn json(value: ValueRef<'_>) -> Result<Value, Fault> {
    match value {
        ValueRef::Null => Ok(Value::Null),
        ValueRef::Integer(number) => Ok(number.into()),
        ValueRef::Real(number) => Ok(Number::from_f64(number).map_or(Value::Null, Value::Number)),
        ValueRef::Text(bytes) => text(bytes),
        ValueRef::Blob(bytes) => match uuid::Uuid::from_slice(bytes) {
            Ok(id) => Ok(id.to_string().into()),
            Err(_) => text(bytes),
        },
    }
}

fn text(bytes: &[u8]) -> Result<Value, Fault> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Ok(text.into()),
        Err(_) => Err(("invalid_utf8", "is not UTF-8 text".to_owned())),
    }
}

fn open(path: &Path) -> Result<Connection, SourceError> {
    // SQLite's own words for a file that is not there are "unable to open database file".
    std::fs::File::open(path).map_err(|error| unreadable(path, error))?;
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    Connection::open_with_flags(path, flags).map_err(|error| failed(path, &error))
}

fn failed(path: &Path, error: &rusqlite::Error) -> SourceError {
    let name = path.display();
    let why = match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) => format!("{name} is not a SQLite database"),
        Some(ErrorCode::DatabaseCorrupt) => {
            format!("{name} is damaged, or was copied while it was written: {error}")
        }
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            format!("{name} is being written by another program: stop that one first")
        }
        Some(ErrorCode::CannotOpen) => format!(
            "{name} cannot be opened: a database in WAL mode needs its folder to be writable, or \
             its -wal and -shm files; copy it with sqlite3 {name} \".backup copy.db\" ({error})"
        ),
        _ => format!("{name}: {error}"),
    };
    SourceError::Unfit(why)
}
