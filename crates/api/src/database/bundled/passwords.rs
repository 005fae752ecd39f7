//! The passwords of the private PostgreSQL's roles.

use std::{
    fs::{self, OpenOptions},
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use secrecy::{ExposeSecret, SecretString};

use super::{
    API_ROLE, OWNER_ROLE, SUPERUSER,
    error::{BundledError, Storing},
};
use crate::database::setup::scram;

/// One for each role, 256 bits from the system's generator, in characters that
/// need no quoting in SQL or in a URL.
#[derive(Debug)]
pub(super) struct Passwords {
    pub(super) superuser: SecretString,
    pub(super) owner: SecretString,
    pub(super) api: SecretString,
}

impl Passwords {
    pub(super) fn generate() -> Self {
        let [superuser, owner, api] = [(); 3].map(|()| scram::random_password());
        Self {
            superuser,
            owner,
            api,
        }
    }

    /// Each with its role, the superuser first.
    pub(super) fn all(&self) -> [(&'static str, &SecretString); 3] {
        [
            (SUPERUSER, &self.superuser),
            (OWNER_ROLE, &self.owner),
            (API_ROLE, &self.api),
        ]
    }

    /// What [`Self::write`] wrote; None when the file is missing or is not such a file.
    pub(super) fn read(path: &Path) -> Option<Self> {
        let text = SecretString::from(fs::read_to_string(path).ok()?);
        let mut lines = text.expose_secret().lines().map(|line| {
            let fits = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
            (line.len() == 43 && line.chars().all(fits)).then(|| SecretString::from(line))
        });
        let mut next = || lines.next().flatten();
        Some(Self {
            superuser: next()?,
            owner: next()?,
            api: next()?,
        })
    }

    /// Writes the file, readable for us only; all of it or nothing.
    pub(super) fn write(&self, path: &Path) -> Result<(), BundledError> {
        let lines = self.all().map(|(_, password)| password.expose_secret());
        write_private(&path.with_extension("new"), &lines.join("\n"))?;
        fs::rename(path.with_extension("new"), path).storing("write", path)
    }
}

/// Writes a file that nobody else may read. One that is there is replaced, never followed.
pub(super) fn write_private(path: &Path, text: &str) -> Result<(), BundledError> {
    let _ = fs::remove_file(path);
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .storing("write", path)?;
    file.write_all(text.as_bytes()).storing("write", path)?;
    file.sync_all().storing("write", path)
}
