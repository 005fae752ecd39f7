//! `pg_dump`, `pg_restore` and `psql`: which, and how they are started.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
};

use secrecy::ExposeSecret;
use tokio::{io::AsyncReadExt, process::Command, task::JoinHandle};

use super::model::BackupError;
use crate::database::{
    bundled::programs::{candidates, major},
    url::{DatabaseUrl, Host, SslMode},
};

/// What is kept of a program's complaints.
const LONGEST: usize = 4000;

/// A folder with all three.
pub(super) struct Programs(PathBuf);

impl Programs {
    /// Those of the server's version, else the oldest of a newer one: an old `pg_dump` refuses a
    /// new server.
    pub(super) async fn find(server: u32) -> Result<Self, BackupError> {
        let mut found: Vec<(u32, PathBuf)> = Vec::new();
        let mut folders = candidates().await;
        folders.push(PathBuf::from("/usr/bin"));
        for folder in folders {
            let complete = ["pg_dump", "pg_restore", "psql"]
                .iter()
                .all(|name| folder.join(name).is_file());
            if complete && let Some(version) = version(&folder).await {
                found.push((version, folder));
            }
        }
        found.sort();
        let fit = found.iter().find(|(version, _)| *version >= server);
        fit.map(|(_, folder)| Self(folder.clone()))
            .ok_or_else(|| BackupError::Programs {
                wanted: server,
                found: match found.last() {
                    Some((newest, _)) => newest.to_string(),
                    None => "none".to_owned(),
                },
            })
    }

    /// One of them, with nothing of our environment but the way to the database. The password is
    /// in its environment, which only this user can read, and never among its arguments.
    pub(super) fn command(&self, name: &str, url: &DatabaseUrl) -> Command {
        let mut command = Command::new(self.0.join(name));
        command
            .env_clear()
            .env("LC_ALL", "C")
            .env("PGAPPNAME", "gatepost-backup")
            // Row-level security holds for the owner too.
            .env("PGOPTIONS", "-c app.scope=system -c statement_timeout=0")
            .envs(environment(url))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    }
}

async fn version(folder: &Path) -> Option<u32> {
    let mut command = Command::new(folder.join("pg_dump"));
    let output = command.arg("--version").output().await.ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    major(text.split_whitespace().nth(2)?)?.parse().ok()
}

fn environment(url: &DatabaseUrl) -> Vec<(&'static str, String)> {
    let host = match url.host() {
        Host::Name(name) => name.clone(),
        Host::Socket(folder) => folder.display().to_string(),
    };
    let seconds = url.connect_timeout().as_secs();
    let mut variables = vec![
        ("PGHOST", host),
        ("PGPORT", url.port().to_string()),
        ("PGUSER", url.user().to_owned()),
        ("PGDATABASE", url.database().to_owned()),
        ("PGCONNECT_TIMEOUT", seconds.to_string()),
    ];
    if let Some(password) = url.password() {
        variables.push(("PGPASSWORD", password.expose_secret().to_owned()));
    }
    let ssl = url.ssl();
    let mode = ssl.mode.map(SslMode::as_str);
    variables.extend(mode.map(|mode| ("PGSSLMODE", mode.to_owned())));
    for (name, path) in [
        ("PGSSLROOTCERT", &ssl.root_cert),
        ("PGSSLCERT", &ssl.cert),
        ("PGSSLKEY", &ssl.key),
    ] {
        variables.extend(path.as_ref().map(|path| (name, path.display().to_string())));
    }
    variables
}

/// Collects what a program complains of while it runs.
pub(super) fn complaints(stream: Option<tokio::process::ChildStderr>) -> JoinHandle<String> {
    tokio::spawn(async move {
        let mut bytes = Vec::new();
        if let Some(mut stream) = stream {
            // What was read until then is all there is to tell.
            let _ = stream.read_to_end(&mut bytes).await;
        }
        let text = String::from_utf8_lossy(&bytes);
        let text = text.trim();
        let from = text.ceil_char_boundary(text.len().saturating_sub(LONGEST));
        text[from..].to_owned()
    })
}
