//! Where rows come from. Everything here blocks: it runs on a thread of its own.

mod csv;
mod jsonl;
mod lines;
mod postgres;
#[cfg(feature = "sqlite")]
mod sqlite;

use std::{
    fmt,
    fs::File,
    io::{self, BufReader, Read},
    path::{Path, PathBuf},
};

use serde_json::{Map, Value};

use super::report::{Fault, Place};
use crate::database::url::DatabaseUrl;

/// Bytes that a line, or a record of comma-separated values, may have.
const MAX_LINE: usize = 256 * 1024;

/// Where rows come from.
#[derive(Clone, Debug)]
pub enum Source {
    /// A file with a JSON object in each line.
    Jsonl(PathBuf),
    /// A file with the names of the fields in its first line (RFC 4180).
    Csv(PathBuf),
    /// A database in a file; it is only read.
    #[cfg(feature = "sqlite")]
    Sqlite(PathBuf),
    /// A database; it is only read.
    Postgres(Box<DatabaseUrl>),
}

/// What is asked of a table. Files have no tables and give all they have.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// Its name, with that of its schema before a dot if need be.
    pub table: String,
    /// The columns, in any order.
    pub columns: Vec<String>,
    /// The column that rows are ordered and named by, if there is one.
    pub key: Option<String>,
}

/// A column of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Whether it is declared to hold numbers.
    pub is_number: bool,
}

/// One row, before anything is made of it.
pub struct Raw {
    /// Where it stands.
    pub place: Place,
    /// Its fields, or why it cannot be read.
    pub row: Result<Map<String, Value>, Fault>,
    /// How much of the source's size lies before the next one.
    pub position: u64,
    /// Whether the source ends with it in a way that could be an accident.
    pub is_open_end: bool,
}

/// Why a source gives no rows, or no more of them.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// A file that cannot be opened or read.
    #[error("{} cannot be read", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It can be read and is not what it should be.
    #[error("{0}")]
    Unfit(String),
    /// A table that is not there.
    #[error("{place} has no table {table:?}; it has: {}", there.join(", "))]
    NoTable {
        /// What was looked into.
        place: String,
        /// What was looked for.
        table: String,
        /// What is there.
        there: Vec<String>,
    },
    /// The other database's own words.
    #[error("the database to import from failed")]
    Postgres(#[from] sqlx::Error),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Jsonl(path) | Self::Csv(path) => path.display().fmt(f),
            #[cfg(feature = "sqlite")]
            Self::Sqlite(path) => path.display().fmt(f),
            Self::Postgres(url) => url.fmt(f),
        }
    }
}

impl Source {
    /// Whether it has tables with columns, and not lines.
    #[must_use]
    pub const fn has_tables(&self) -> bool {
        !matches!(self, Self::Jsonl(_) | Self::Csv(_))
    }

    /// The columns of a table, or the names in the first line; `None` if each line has its own.
    ///
    /// # Errors
    ///
    /// It cannot be read, or has no such table.
    pub fn columns(&self, table: &str) -> Result<Option<Vec<Column>>, SourceError> {
        match self {
            Self::Jsonl(path) => open(path).map(|_| None),
            Self::Csv(path) => csv::columns(path).map(Some),
            #[cfg(feature = "sqlite")]
            Self::Sqlite(path) => sqlite::columns(path, table).map(Some),
            Self::Postgres(url) => postgres::columns(url, table).map(Some),
        }
    }

    /// How much there is to read: bytes of a file, rows of a table.
    ///
    /// # Errors
    ///
    /// It cannot be read.
    pub fn size(&self, wanted: &Wanted) -> Result<u64, SourceError> {
        match self {
            Self::Jsonl(path) | Self::Csv(path) => Ok(std::fs::metadata(path)
                .map_err(|source| unreadable(path, source))?
                .len()),
            #[cfg(feature = "sqlite")]
            Self::Sqlite(path) => sqlite::size(path, wanted),
            Self::Postgres(url) => postgres::size(url, wanted),
        }
    }

    /// Gives every row to `each`, until that returns `false`.
    ///
    /// # Errors
    ///
    /// It cannot be read, or no further.
    pub fn read(
        &self,
        wanted: &Wanted,
        each: &mut dyn FnMut(Raw) -> bool,
    ) -> Result<(), SourceError> {
        match self {
            Self::Jsonl(path) => jsonl::read(path, each),
            Self::Csv(path) => csv::read(path, each),
            #[cfg(feature = "sqlite")]
            Self::Sqlite(path) => sqlite::read(path, wanted, each),
            Self::Postgres(url) => postgres::read(url, wanted, each),
        }
    }
}

fn unreadable(path: &Path, source: io::Error) -> SourceError {
    SourceError::File {
        path: path.to_owned(),
        source,
    }
}

/// A file after its byte order mark, and how long that was.
fn open(path: &Path) -> Result<(BufReader<File>, u64), SourceError> {
    let mut file = File::open(path).map_err(|error| unreadable(path, error))?;
    let about = file.metadata().map_err(|error| unreadable(path, error))?;
    if !about.is_file() {
        return Err(SourceError::Unfit(format!(
            "{} is a directory, a pipe or the like, and is read more than once: write it to a \
             file first",
            path.display()
        )));
    }
    let mut head = Vec::with_capacity(3);
    let first = file.by_ref().take(3).read_to_end(&mut head);
    first.map_err(|error| unreadable(path, error))?;
    if head.starts_with(&[0xFF, 0xFE]) || head.starts_with(&[0xFE, 0xFF]) {
        return Err(SourceError::Unfit(format!(
            "{} is UTF-16 text: convert it to UTF-8 first, such as with iconv -f UTF-16 -t UTF-8",
            path.display()
        )));
    }
    let mark = if head == [0xEF, 0xBB, 0xBF] { 3 } else { 0 };
    io::Seek::seek(&mut file, io::SeekFrom::Start(mark))
        .map_err(|error| unreadable(path, error))?;
    Ok((BufReader::with_capacity(1 << 18, file), mark))
}

/// A name as SQL writes it.
fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// What stands behind `SELECT`.
fn select_list(columns: &[String]) -> String {
    let names: Vec<_> = columns.iter().map(|name| quoted(name)).collect();
    names.join(", ")
}
