//! The machine's PostgreSQL programs.

use std::{
    cmp::Reverse,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use super::{
    account::{ask_shell, run},
    error::BundledError,
};

/// Folders with one sub-folder for each version: what stands before and after the version.
const VERSIONED: [(&str, &str, &str); 4] = [
    ("/usr/lib/postgresql", "", "bin"),
    ("/usr", "pgsql-", "bin"),
    ("/opt/homebrew/opt", "postgresql@", "bin"),
    ("/usr/local/opt", "postgresql@", "bin"),
];

/// A folder that holds `postgres`, `initdb` and `pg_ctl`.
#[derive(Debug)]
pub(super) struct Programs {
    folder: PathBuf,
    /// The major version, as `PG_VERSION` in a data folder has it.
    pub(super) version: String,
}

impl Programs {
    /// The programs in `given`, else the machine's.
    ///
    /// `made_by` is the version that made the existing database in `data`:
    /// programs of that version go before all others, and no others will do.
    pub(super) async fn find(
        given: Option<&Path>,
        made_by: Option<&str>,
        data: &Path,
    ) -> Result<Self, BundledError> {
        let folders = match given {
            Some(folder) => vec![folder.to_owned()],
            None => candidates().await,
        };
        let mut others: Vec<String> = Vec::new();
        for folder in &folders {
            let Some(programs) = Self::in_folder(folder).await else {
                continue;
            };
            match made_by {
                Some(wanted) if wanted != programs.version => others.push(programs.version),
                _ => return Ok(programs),
            }
        }
        others.sort();
        others.dedup();
        match made_by {
            Some(found) if !others.is_empty() => Err(BundledError::WrongVersion {
                path: data.to_owned(),
                found: found.to_owned(),
                installed: others.join(", "),
            }),
            _ => Err(BundledError::ProgramsMissing {
                searched: searched(given, &folders),
            }),
        }
    }

    async fn in_folder(folder: &Path) -> Option<Self> {
        let complete = ["postgres", "initdb", "pg_ctl"]
            .iter()
            .all(|name| folder.join(name).is_file());
        if !complete {
            return None;
        }
        // Homebrew and /usr/bin hold links; initdb looks for its files beside the real program.
        let folder = folder
            .join("postgres")
            .canonicalize()
            .ok()?
            .parent()?
            .to_owned();
        let mut command = Command::new(folder.join("postgres"));
        command.arg("--version");
        let text = run(command, &folder).await.ok()?;
        let version = major(text.split_whitespace().nth(2)?)?.to_owned();
        Some(Self { folder, version })
    }

    /// The path of one of them.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }
}

fn searched(given: Option<&Path>, folders: &[PathBuf]) -> String {
    let folders: Vec<_> = folders.iter().map(|f| f.display().to_string()).collect();
    match given {
        Some(_) => folders.join(", "),
        None if folders.is_empty() => "PATH, /usr/lib/postgresql, Homebrew".to_owned(),
        None => format!("PATH, {}", folders.join(", ")),
    }
}

/// `15` of `15.18`, `19` of `19beta1`.
pub(in crate::database) fn major(version: &str) -> Option<&str> {
    let end = version.find(|c: char| !c.is_ascii_digit());
    let digits = &version[..end.unwrap_or(version.len())];
    (!digits.is_empty()).then_some(digits)
}

/// Folders that may hold programs of PostgreSQL, the best first.
pub(in crate::database) async fn candidates() -> Vec<PathBuf> {
    let mut folders = Vec::new();
    if let Some(path) = ask_shell("command -v postgres").await {
        folders.extend(Path::new(&path).parent().map(Path::to_owned));
    }
    if let Some(folder) = ask_shell("pg_config --bindir").await {
        folders.push(PathBuf::from(folder));
    }
    let mut versioned: Vec<(u32, PathBuf)> = Vec::new();
    for (parent, before, after) in VERSIONED {
        for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let number = name.to_str().and_then(|name| name.strip_prefix(before));
            if let Some(number) = number.and_then(major).and_then(|n| n.parse().ok()) {
                versioned.push((number, entry.path().join(after)));
            }
        }
    }
    versioned.sort_by_key(|(number, _)| Reverse(*number));
    folders.extend(versioned.into_iter().map(|(_, folder)| folder));
    folders.extend(
        [
            "/opt/homebrew/bin",
            "/usr/local/pgsql/bin",
            "/usr/local/bin",
        ]
        .map(PathBuf::from),
    );
    folders.retain(|folder| folder.is_dir());
    folders
}

#[cfg(test)]
mod tests {
    use super::major;

    #[test]
    fn the_major_version_is_what_stands_before_the_first_other_character() {
        assert_eq!(major("15.18"), Some("15"));
        assert_eq!(major("19beta1"), Some("19"));
        assert_eq!(major("17"), Some("17"));
        assert_eq!(major("devel"), None);
    }
}
