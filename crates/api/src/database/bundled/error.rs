//! What can keep the private PostgreSQL from running, each with what to do.

use std::{
    io,
    path::{Path, PathBuf},
};

/// Why the private PostgreSQL does not run. The text is meant for the person at the terminal.
#[derive(Debug, thiserror::Error)]
pub enum BundledError {
    /// No folder with `postgres`, `initdb` and `pg_ctl` in it.
    #[error(
        "no PostgreSQL server programs found (looked in {searched}). Install them (`scripts/setup`, \
         `apt-get install postgresql`, `brew install postgresql`), or set DATABASE_URL to a server that runs"
    )]
    ProgramsMissing {
        /// The places that were searched.
        searched: String,
    },

    /// The caller is root and there is nobody else to be.
    #[error(
        "PostgreSQL refuses to run as root, and this machine has no user `postgres` to run it as. \
         Make one (`useradd --system postgres`), or start gatepost as an ordinary user"
    )]
    NoServerUser,

    /// The caller is root and cannot become someone else.
    #[error(
        "PostgreSQL refuses to run as root, and neither `setpriv` nor `runuser` (package util-linux) \
         is there to run it as user {user}"
    )]
    CannotSwitchUser {
        /// The user that would have been taken.
        user: String,
    },

    /// The lock of the data folder is held.
    #[error("another gatepost uses the database in {}. Stop it, or choose another data folder", path.display())]
    InUse {
        /// The data folder.
        path: PathBuf,
    },

    /// The data folder was made by a PostgreSQL that is not installed.
    #[error(
        "the database in {} was made by PostgreSQL {found}, but this machine has PostgreSQL {installed}. \
         Install PostgreSQL {found}, or move the folder away to start with an empty database; \
         pg_dump of PostgreSQL {found} carries the content over", path.display()
    )]
    WrongVersion {
        /// The folder.
        path: PathBuf,
        /// The major version in its `PG_VERSION`.
        found: String,
        /// The major versions of the programs that were found.
        installed: String,
    },

    /// An ordinary user meets a folder that somebody else's run has made.
    #[error(
        "the database in {} belongs to another user (uid {owner}), who started gatepost here before. \
         Start it as that user (or root), or choose another data folder", path.display()
    )]
    OtherOwner {
        /// The folder.
        path: PathBuf,
        /// Its owner's number.
        owner: u32,
    },

    /// The folder exists, and the user that PostgreSQL runs as cannot get to it.
    #[error(
        "PostgreSQL runs as user {user}, who cannot reach {}. Allow it (`chmod o+x` on the folders above), \
         or choose another data folder", path.display()
    )]
    Unreachable {
        /// The folder.
        path: PathBuf,
        /// The user.
        user: String,
    },

    /// No room left.
    #[error("the disk that holds {} is full. Free some space and start again", path.display())]
    DiskFull {
        /// The folder that was written to.
        path: PathBuf,
    },

    /// A file or folder could not be used.
    #[error("cannot {action} {}: {source}", path.display())]
    Storage {
        /// What was tried.
        action: &'static str,
        /// With which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },

    /// A program of PostgreSQL's or the system's failed.
    #[error("{program} failed: {output}")]
    Program {
        /// Which one.
        program: String,
        /// What it printed, or why it could not be started.
        output: String,
    },

    /// Every port that was tried is taken.
    #[error("no free port for PostgreSQL on 127.0.0.1 (tried from {first})")]
    NoPort {
        /// The first one.
        first: u16,
    },

    /// The server ended, or did not become ready.
    #[error("PostgreSQL did not start: {reason}. Its log ({}) ends with:\n{tail}", log.display())]
    NotStarted {
        /// How it ended.
        reason: String,
        /// The log file.
        log: PathBuf,
        /// What it wrote during this start.
        tail: String,
    },

    /// The server did not stop in the time it was given.
    #[error("PostgreSQL (process {pid}) does not stop; it may be waiting for the disk")]
    NotStopped {
        /// The server's process.
        pid: u32,
    },
}

/// Names the action and the file in the errors of `io`.
pub(super) trait Storing<T> {
    /// Tells a full disk from other trouble.
    fn storing(self, action: &'static str, path: &Path) -> Result<T, BundledError>;
}

impl<T> Storing<T> for io::Result<T> {
    fn storing(self, action: &'static str, path: &Path) -> Result<T, BundledError> {
        self.map_err(|source| {
            let path = path.to_owned();
            match source.kind() {
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                    BundledError::DiskFull { path }
                }
                _ => BundledError::Storage {
                    action,
                    path,
                    source,
                },
            }
        })
    }
}

/// Whether PostgreSQL complains of a full disk: the system's words, or its own for a half-written block.
pub(super) fn tells_of_full_disk(text: &str) -> bool {
    ["No space left on device", "Check free disk space"]
        .iter()
        .any(|words| text.contains(words))
}
