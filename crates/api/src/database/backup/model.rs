//! What a backup says of itself, and what can keep one from being made or used.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
};

use aws_lc_rs::digest;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::{audit::verify::Anchor, config::SecretKey, crypto::seal::Sealer};

/// The version of the layout.
pub(super) const FORMAT: u32 = 1;

/// `manifest.json`.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Manifest {
    /// The version of the layout.
    pub format: u32,
    /// The moment whose content it is.
    pub made_at: DateTime<Utc>,
    /// The program's version.
    pub gatepost: String,
    /// The server's version.
    pub server: String,
    /// The database's name.
    pub database: String,
    /// The schema in it.
    pub schema: String,
    /// The migrations that it has taken.
    pub migrations: Vec<String>,
    /// How many rows each table has.
    pub rows: BTreeMap<String, i64>,
    /// The end of the audit chain.
    pub audit: Anchor,
    /// Fingerprints of `SECRET_KEY` and, during a rotation, `SECRET_KEY_PREVIOUS`: without these
    /// keys what is sealed does not open. Empty if the key was not known where it was made.
    pub secret_keys: Vec<String>,
}

/// What names a key and tells nothing of it.
pub fn fingerprint(key: &SecretKey) -> String {
    let derived = Sealer::new(key.expose(), None).derive("fingerprint");
    hex(&digest::digest(&digest::SHA256, derived.as_slice()).as_ref()[..8])
}

pub(super) fn hex(bytes: &[u8]) -> String {
    let pairs: Vec<_> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    pairs.concat()
}

/// Why there is no backup, or nothing was restored. For the person at the terminal.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// `pg_dump` and its kin are missing, or too old.
    #[error(
        "no pg_dump, pg_restore and psql of PostgreSQL {wanted} or newer here (found {found}). \
         Install them (`apt-get install postgresql-client`), or run this where they are"
    )]
    Programs {
        /// The server's major version.
        wanted: u32,
        /// What was found instead.
        found: String,
    },
    /// A program of PostgreSQL's failed.
    #[error("{program} failed: {output}")]
    Program {
        /// Which.
        program: &'static str,
        /// What it said.
        output: String,
    },
    /// No room left.
    #[error("the disk that holds {} is full; nothing was left there", .0.display())]
    DiskFull(PathBuf),
    /// A file cannot be used.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// With which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file of this name is there.
    #[error("{} exists, and backups do not replace each other", .0.display())]
    Exists(PathBuf),
    /// Not a backup, or a damaged one.
    #[error("{} is not a whole backup: {why}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// Tables of others stand between ours.
    #[error(
        "schema {schema} also holds tables that are not Gatepost's ({tables}). Give Gatepost a schema \
         of its own, or use pg_dump"
    )]
    Foreign {
        /// The schema.
        schema: String,
        /// The first of them.
        tables: String,
    },
    /// There is something that would be overwritten.
    #[error(
        "the database holds a Gatepost already ({} in {}). --replace puts the backup in its place",
        .0, .1
    )]
    NotEmpty(String, String),
    /// The backup was made in another schema.
    #[error("the backup is of schema {found}; DATABASE_SCHEMA says {expected}")]
    OtherSchema {
        /// The backup's.
        found: String,
        /// The settings'.
        expected: String,
    },
    /// The backup knows steps that this program does not.
    #[error("the backup was made by a newer program, gatepost {0}; restore it with that one")]
    Newer(String),
    /// What is sealed would not open.
    #[error(
        "the backup is sealed with the SECRET_KEY {}, and this SECRET_KEY is {here}: signing keys, \
         second factors and waiting mails would not open. Use that key (or set it as \
         SECRET_KEY_PREVIOUS), or accept that with --other-secret-key", .sealed.join(" or ")
    )]
    OtherKey {
        /// The fingerprints in the manifest.
        sealed: Vec<String>,
        /// The fingerprint of the key here.
        here: String,
    },
    /// A standby, or read-only.
    #[error("this server takes no writes: it is a standby, or default_transaction_read_only is on")]
    ReadOnly,
    /// There is nothing to back up.
    #[error("there is no Gatepost in schema {0}: no migration was ever taken")]
    Empty(String),
    /// Stopped by the operator.
    #[error("stopped; nothing was left behind")]
    Interrupted,
    /// No connection.
    #[error("cannot connect to {place}: {why}")]
    Connect {
        /// Where.
        place: String,
        /// Why.
        why: String,
    },
    /// A question to the server failed.
    #[error("the database did not answer: {0}")]
    Database(#[from] sqlx::Error),
}

impl BackupError {
    pub(super) fn damaged(path: &Path, why: impl Into<String>) -> Self {
        Self::Damaged {
            path: path.to_owned(),
            why: why.into(),
        }
    }
}

/// Names the action and the file in the errors of `io`.
pub(super) fn doing(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> BackupError {
    let path = path.to_owned();
    move |source| match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => BackupError::DiskFull(path),
        io::ErrorKind::AlreadyExists => BackupError::Exists(path),
        _ => BackupError::Io {
            action,
            path,
            source,
        },
    }
}
