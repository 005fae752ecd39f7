//! `gatepost config check`, `gatepost config show` and `gatepost init`.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::registry::Variable;
use super::{Reading, Report, SecretKey, template};
use crate::files::write_private;

/// Tells whether the configuration can be used. The caller prints the report and exits with
/// [`EXIT_STATUS`](super::EXIT_STATUS).
///
/// # Errors
///
/// `out` cannot be written to.
pub fn check(reading: &Result<Reading, Report>, out: &mut dyn Write) -> io::Result<()> {
    match reading {
        Ok(reading) => {
            print_warnings(reading, out)?;
            writeln!(out, "The configuration is usable.")
        }
        Err(report) => write!(out, "{report}"),
    }
}

/// Prints each value in effect, with secrets hidden, and where it came from.
///
/// # Errors
///
/// `out` cannot be written to.
pub fn show(reading: &Reading, out: &mut dyn Write) -> io::Result<()> {
    let width = reading
        .values
        .iter()
        .map(|value| value.name.len())
        .max()
        .unwrap_or(0);
    for value in &reading.values {
        writeln!(
            out,
            "{:width$} = {}  ({})",
            value.name, value.shown, value.source
        )?;
    }
    print_warnings(reading, out)
}

fn print_warnings(reading: &Reading, out: &mut dyn Write) -> io::Result<()> {
    for warning in &reading.warnings {
        writeln!(out, "warning: {warning}")?;
    }
    Ok(())
}

/// Why no file was written.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    /// There is one already, and its secrets would be lost.
    #[error("{} exists; --force replaces it, and its secrets with it", .0.display())]
    Exists(PathBuf),
    /// The system said no.
    #[error("cannot write {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Writes the template to `path` with fresh secrets, readable for the owner only, either whole or
/// not at all.
///
/// # Errors
///
/// The file exists and `force` is false, or it cannot be written.
pub fn init(path: &Path, force: bool) -> Result<(), InitError> {
    let failed = |source| InitError::Io {
        path: path.to_owned(),
        source,
    };
    let secret_key = SecretKey::generate().map_err(failed)?.to_text();
    let csrf = SecretKey::generate().map_err(failed)?.to_text();
    let value = |variable: &Variable| match variable.name {
        "SECRET_KEY" => secret_key.to_string(),
        "CSRF_SECRET_KEY" => csrf.to_string(),
        _ => template::blank(variable),
    };
    let text = zeroize::Zeroizing::new(template::template(value));
    let mut draft = path.as_os_str().to_owned();
    draft.push(format!(".{}", uuid::Uuid::now_v7()));
    let draft = PathBuf::from(draft);
    write_private(&draft, text.as_bytes()).map_err(failed)?;
    let written = if force {
        fs::rename(&draft, path)
    } else {
        // Unlike a rename, a link never replaces a file that came to be in the meantime.
        let linked = fs::hard_link(&draft, path);
        fs::remove_file(&draft).and(linked)
    };
    written.map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => InitError::Exists(path.to_owned()),
        _ => failed(error),
    })
}
