//! What is set up, and what can keep it from being.

use std::{
    io,
    path::{Path, PathBuf},
};

use crate::database::url::UrlFault;

/// The names of what is made. All are plain (see [`Names::name`]), so that they need no escapes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names {
    /// The database.
    pub database: String,
    /// Where in it the tables stand; `public`, or a schema of its own.
    pub schema: String,
    /// The role that owns and migrates.
    pub owner: String,
    /// The role of the API.
    pub api: String,
}

impl Names {
    /// Reads a name of letters, digits, `_` and `-`, 63 at most, that PostgreSQL does not keep for
    /// itself.
    ///
    /// # Errors
    ///
    /// What it has to be, for people.
    pub fn name(text: &str) -> Result<String, String> {
        let starts = text.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_');
        let fits = text.len() <= 63
            && text
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte));
        if starts && fits && !text.starts_with("pg_") {
            return Ok(text.to_owned());
        }
        Err(
            "has to be of a-z, A-Z, 0-9, _ and -, 63 at most, and start with a letter or _, but not with pg_"
                .to_owned(),
        )
    }
}

/// Why nothing, or not all, was set up. For the person at the terminal.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// No connection.
    #[error("cannot connect as {role} to {place}: {}", plain(source))]
    Connect {
        /// The role that tried.
        role: String,
        /// Where: host, port and database.
        place: String,
        /// What came back.
        source: sqlx::Error,
    },
    /// No answer within the time limit of the URL.
    #[error("cannot connect to {place}: no answer within {seconds} s")]
    Silent {
        /// Where: host, port and database.
        place: String,
        /// How long was waited.
        seconds: u64,
    },
    /// A server that Gatepost does not run on.
    #[error("the server is PostgreSQL {0}; 14 is the oldest that will do")]
    TooOld(String),
    /// A standby, or a role whose transactions only read.
    #[error(
        "this server takes no writes: it is a standby, or default_transaction_read_only is on. Name the primary"
    )]
    ReadOnly,
    /// The administrator may not make what is missing.
    #[error(
        "role {role} may not make {what}: it has no {attribute}. Take a role that has it, or let \
         someone run what --print-sql prints"
    )]
    NotAllowed {
        /// The administrator.
        role: String,
        /// What is to be made.
        what: String,
        /// The attribute of the role that would allow it.
        attribute: &'static str,
    },
    /// Both roles are one.
    #[error("the owner and the role of the API have to be two roles")]
    OneRole,
    /// A role is there, and nobody here knows its password.
    #[error(
        "role {role} exists, and {} does not: its password is not known here. Put the file back, \
         or set a new password with --rotate", file.display()
    )]
    PasswordUnknown {
        /// The role.
        role: String,
        /// The file that would hold it.
        file: PathBuf,
    },
    /// The role of the API would be held by nothing.
    #[error(
        "role {role} {attribute}: row-level security and grants would not hold it. Take that away, \
         or name another role with --api-role"
    )]
    TooPowerful {
        /// The role.
        role: String,
        /// What it has, as a verb.
        attribute: &'static str,
    },
    /// A file cannot be used.
    #[error("{}: {fault}", path.display())]
    File {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        fault: FileFault,
    },
    /// A statement failed.
    #[error("cannot make the {what}: {}", plain(source))]
    Statement {
        /// What it was to make.
        what: String,
        /// What the server said.
        source: sqlx::Error,
    },
    /// A question to the server failed.
    #[error("{}", plain(.0))]
    Database(#[from] sqlx::Error),
    /// All is made, and a role cannot log in with its URL.
    #[error(
        "everything is made, but role {role} cannot log in by {}: {source}. If pg_hba.conf lets it \
         in, its password is another one: --rotate sets new ones", file.display()
    )]
    Login {
        /// The role.
        role: String,
        /// The file with its URL.
        file: PathBuf,
        /// What came back.
        source: Box<SetupError>,
    },
}

/// What the server said, without the place in its source.
fn plain(error: &sqlx::Error) -> String {
    match error {
        sqlx::Error::Database(error) => error.message().to_owned(),
        other => other.to_string(),
    }
}

impl SetupError {
    pub(super) fn file(path: &Path, fault: FileFault) -> Self {
        Self::File {
            path: path.to_owned(),
            fault,
        }
    }
}

/// What is wrong with a file.
#[derive(Debug, thiserror::Error)]
pub enum FileFault {
    /// The system's error.
    #[error("{0}")]
    Io(io::Error),
    /// Not a URL.
    #[error("it {0}")]
    Url(UrlFault),
    /// A URL without a password.
    #[error("its URL has no password")]
    NoPassword,
    /// The URL of something else.
    #[error("its URL is that of another role or database; choose another folder with --out")]
    Other,
}
