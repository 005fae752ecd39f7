//! `gatepost db setup`: database, owner and the role of the API.

use std::{io::Write, path::PathBuf, process::ExitCode};

use crate::database::{
    bundled::{API_ROLE, DATABASE, OWNER_ROLE},
    setup::{self, API_FILE, Names, OWNER_FILE, Report, SetupError},
};
use clap::Args;

/// Refused because of what is there.
const REFUSED: u8 = 4;
/// The server cannot be reached.
const UNAVAILABLE: u8 = 69;
/// The settings cannot be used.
const CONFIG: u8 = 78;

/// Make the database, its owner and the role of the API, and write the URLs of both. It may be run
/// again: what is there stays. Exit status 0: all is there; 1: failed; 4: refused, because of what
/// is there; 69: no connection; 78: the URL cannot be used.
#[derive(Args)]
pub struct Setup {
    /// The server, by a superuser or by a role with CREATEDB and CREATEROLE; `-` reads it from
    /// standard input, where no other process sees its password.
    #[arg(default_value = "postgres://postgres@localhost/postgres")]
    admin_url: String,
    /// The database.
    #[arg(long, default_value = DATABASE, value_parser = Names::name)]
    database: String,
    /// Where in the database the tables stand [default: `DATABASE_SCHEMA`, else public].
    #[arg(long, value_parser = crate::config::schema)]
    schema: Option<String>,
    /// The role that owns and migrates.
    #[arg(long, default_value = OWNER_ROLE, value_parser = Names::name)]
    owner: String,
    /// The role of the API.
    #[arg(long, default_value = API_ROLE, value_parser = Names::name)]
    api_role: String,
    /// The folder for the files `database_url` and `migration_database_url`.
    #[arg(long, default_value = "secrets")]
    out: PathBuf,
    /// Give both roles new passwords.
    #[arg(long)]
    rotate: bool,
    /// Change nothing on the server: print what psql has to run instead. The files are written.
    #[arg(long)]
    print_sql: bool,
}

/// Sets up, or prints how.
///
/// # Errors
///
/// Standard input or output cannot be used.
pub(super) async fn run(what: Setup, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let url = match super::given_url(&what.admin_url)? {
        Ok(url) => url,
        Err(fault) => {
            eprintln!("gatepost: the administrator's URL {fault}");
            return Ok(ExitCode::from(CONFIG));
        }
    };
    let schema = match what
        .schema
        .clone()
        .map_or_else(crate::config::schema_of_environment, Ok)
    {
        Ok(schema) => schema,
        Err(fault) => {
            eprintln!("gatepost: DATABASE_SCHEMA {fault}");
            return Ok(ExitCode::from(CONFIG));
        }
    };
    let names = Names {
        database: what.database.clone(),
        schema,
        owner: what.owner.clone(),
        api: what.api_role.clone(),
    };
    let done = if what.print_sql {
        setup::script(&url, &names, &what.out, what.rotate).map(|(script, written)| {
            let report = Report {
                written,
                ..Report::default()
            };
            (Some(script), report)
        })
    } else {
        let report = setup::apply(&url, &names, &what.out, what.rotate).await;
        report.map(|report| (None, report))
    };
    match done {
        Ok((Some(script), report)) => {
            out.write_all(script.as_bytes())?;
            tell(&what, &names, &report, &mut std::io::stderr())?;
        }
        Ok((None, report)) => tell(&what, &names, &report, out)?,
        Err(error) => {
            eprintln!("gatepost: {error}");
            return Ok(ExitCode::from(status(&error)));
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn tell(what: &Setup, names: &Names, report: &Report, out: &mut dyn Write) -> std::io::Result<()> {
    for made in &report.made {
        writeln!(out, "made     {made}")?;
    }
    for file in &report.written {
        writeln!(out, "wrote    {}", file.display())?;
    }
    for warning in &report.warnings {
        writeln!(out, "warning  {warning}")?;
    }
    if report.made.is_empty() && report.written.is_empty() {
        writeln!(out, "Nothing to do: all is there.")?;
    }
    let folder = what.out.canonicalize().unwrap_or_else(|_| what.out.clone());
    writeln!(out, "\nThe settings that use it:\n")?;
    let file = |name| folder.join(name).display().to_string();
    writeln!(out, "  DATABASE_URL_FILE={}", file(API_FILE))?;
    writeln!(out, "  MIGRATION_DATABASE_URL_FILE={}", file(OWNER_FILE))?;
    writeln!(out, "  DATABASE_API_ROLE={}", names.api)?;
    if names.schema != "public" {
        writeln!(out, "  DATABASE_SCHEMA={}", names.schema)?;
    }
    writeln!(out, "\nThen: gatepost-migrate up")
}

fn status(error: &SetupError) -> u8 {
    match error {
        SetupError::Connect { source, .. } => match source {
            sqlx::Error::Database(_) | sqlx::Error::Configuration(_) => CONFIG,
            _ => UNAVAILABLE,
        },
        SetupError::Silent { .. } | SetupError::ReadOnly => UNAVAILABLE,
        SetupError::TooOld(_)
        | SetupError::NotAllowed { .. }
        | SetupError::OneRole
        | SetupError::PasswordUnknown { .. }
        | SetupError::TooPowerful { .. } => REFUSED,
        SetupError::File { .. }
        | SetupError::Statement { .. }
        | SetupError::Database(_)
        | SetupError::Login { .. } => 1,
    }
}
