//! `gatepost db setup`: a database, the role that owns and migrates it, and the role of the API,
//! which can change rows and nothing else.
//!
//! What is there is left as it is, so it may be run again, also after it was killed: passwords
//! are on disk before any role has them. The administrator needs to be no superuser.

mod apply;
mod model;
pub(crate) mod scram;
pub(crate) mod sql;

use std::{fs, io, path::Path};

use secrecy::{ExposeSecret, SecretString};

pub use self::{
    apply::{Report, apply},
    model::{Names, SetupError},
};
use self::{model::FileFault, sql::Verifiers};
use super::url::DatabaseUrl;
use crate::files;

/// The file with the URL of the API's role, for `DATABASE_URL_FILE`.
pub const API_FILE: &str = "database_url";
/// The file with the URL of the owner, for `MIGRATION_DATABASE_URL_FILE`.
pub const OWNER_FILE: &str = "migration_database_url";

/// One role's URL, in the file that keeps it.
struct Login {
    role: String,
    file: std::path::PathBuf,
    url: DatabaseUrl,
    /// Whether the file holds it already.
    kept: bool,
}

impl Login {
    /// Takes the password from the file, or makes one.
    fn prepare(
        admin: &DatabaseUrl,
        names: &Names,
        role: &str,
        file: &Path,
        rotate: bool,
    ) -> Result<Self, SetupError> {
        let found = read(file)?;
        let kept = match found {
            Some(url) if url.user() == role && url.database() == names.database => Some(url),
            Some(_) => return Err(SetupError::file(file, FileFault::Other)),
            None => None,
        };
        let login = |url, kept| Self {
            role: role.to_owned(),
            file: file.to_owned(),
            url,
            kept,
        };
        if let Some(url) = kept
            && !rotate
        {
            return Ok(login(url, true));
        }
        let url = admin.for_role(role, scram::random_password(), &names.database);
        Ok(login(url, false))
    }

    fn verifier(&self) -> String {
        let none = SecretString::default();
        scram::verifier(self.url.password().unwrap_or(&none))
    }

    fn write(&self, to: &Path) -> Result<(), SetupError> {
        let text = format!("{}\n", self.url.to_secret_text().expose_secret());
        files::replace_private(to, text.as_bytes())
            .map_err(|error| SetupError::file(to, FileFault::Io(error)))
    }
}

fn read(file: &Path) -> Result<Option<DatabaseUrl>, SetupError> {
    let text = match fs::read_to_string(file) {
        Ok(text) => SecretString::from(text),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(SetupError::file(file, FileFault::Io(error))),
    };
    match DatabaseUrl::parse(text.expose_secret().trim()) {
        Ok(url) if url.password().is_some() => Ok(Some(url)),
        Ok(_) => Err(SetupError::file(file, FileFault::NoPassword)),
        Err(fault) => Err(SetupError::file(file, FileFault::Url(fault))),
    }
}

/// Writes the URLs' files and returns the script that makes what they speak of. Nothing is asked
/// of the server.
///
/// # Errors
///
/// A file that cannot be read or written, or that speaks of another database or role.
pub fn script(
    server: &DatabaseUrl,
    names: &Names,
    folder: &Path,
    rotate: bool,
) -> Result<(String, Vec<std::path::PathBuf>), SetupError> {
    let [owner, api] = prepare(server, names, folder, rotate)?;
    let mut written = Vec::new();
    for login in [&owner, &api] {
        if !login.kept {
            login.write(&login.file)?;
            written.push(login.file.clone());
        }
    }
    let steps = sql::steps(names, &verifiers(&owner, &api), rotate);
    Ok((sql::script(names, &steps), written))
}

fn prepare(
    server: &DatabaseUrl,
    names: &Names,
    folder: &Path,
    rotate: bool,
) -> Result<[Login; 2], SetupError> {
    files::private_folder(folder)
        .map_err(|error| SetupError::file(folder, FileFault::Io(error)))?;
    let of = |role: &str, name| Login::prepare(server, names, role, &folder.join(name), rotate);
    Ok([of(&names.owner, OWNER_FILE)?, of(&names.api, API_FILE)?])
}

fn verifiers(owner: &Login, api: &Login) -> Verifiers {
    Verifiers {
        owner: owner.verifier(),
        api: api.verifier(),
    }
}
