//! `gatepost-migrate`: brings a database to the schema of this version, or back.
//!
//! Exit status: 0 done, 1 refused or failed, 69 no connection, 78 wrong settings.

mod settings;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use migration::{Down, MigrateError, Status};
use settings::Settings;

const EX_UNAVAILABLE: u8 = 69;
const EX_CONFIG: u8 = 78;

/// Changes Gatepost's schema, step by step. Safe to start several times at once.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// The database, by its owner [default: `MIGRATION_DATABASE_URL`, else `DATABASE_URL`; each may
    /// end in _FILE and name a file]
    #[arg(long, global = true, value_name = "URL")]
    database_url: Option<String>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Takes all missing steps, and gives `DATABASE_API_ROLE` its rights
    Up,
    /// Shows which steps are taken, since when, and which are missing
    Status,
    /// Lists the steps that this program knows, newest first
    History,
    /// Takes steps back, with the data they hold
    Down {
        /// How many
        #[arg(short = 'n', default_value_t = 1, value_name = "N")]
        steps: usize,
        /// Everything after this step, or the start of its name
        #[arg(long, value_name = "NAME", conflicts_with = "steps")]
        to: Option<String>,
    },
    /// Notes that the schema stands after a step, without running anything
    Stamp {
        /// The step, or the start of its name
        name: String,
        /// Do it and not only tell
        #[arg(long)]
        yes: bool,
    },
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    tracing_subscriber::fmt()
        .with_max_level(tracing::Level::WARN)
        .with_writer(std::io::stderr)
        .without_time()
        .with_target(false)
        .init();
    let settings = match settings::read_environment(arguments.database_url.as_deref()) {
        Ok(settings) => settings,
        Err(fault) => {
            eprintln!("gatepost-migrate: {fault}");
            return ExitCode::from(EX_CONFIG);
        }
    };
    match run(arguments.command, settings).await {
        Ok(status) => status,
        Err(error) => {
            eprintln!("gatepost-migrate: {error}");
            ExitCode::from(exit_status(&error))
        }
    }
}

async fn run(command: Command, settings: Settings) -> Result<ExitCode, MigrateError> {
    let Settings {
        options,
        schema,
        api_role,
    } = settings;
    let db = migration::connect_any(options).await?;
    match command {
        Command::Up => match migration::up(&db, &schema).await {
            Ok(applied) => {
                for name in &applied {
                    println!("applied  {name}");
                }
                if let Some(role) = api_role {
                    migration::grant_api_role(&db, &role).await?;
                    println!("granted  rights to role {role}");
                }
                print_summary(&migration::status(&db).await?);
            }
            // A deployment in a second region runs the same steps; there is nothing to do in it.
            Err(error @ MigrateError::Standby) => println!("Nothing done: {error}."),
            Err(error) => return Err(error),
        },
        Command::Status => print_status(&migration::status(&db).await?),
        Command::History => print_history(&migration::status(&db).await?),
        Command::Down { steps, to } => {
            let how_far = to.map_or(Down::Steps(steps), Down::To);
            for name in migration::down(&db, &schema, &how_far).await? {
                println!("undone   {name}");
            }
            print_summary(&migration::status(&db).await?);
        }
        Command::Stamp { name, yes: true } => {
            let name = migration::stamp(&db, &schema, &name).await?;
            println!("stamped  {name}");
            print_summary(&migration::status(&db).await?);
        }
        Command::Stamp { name, yes: false } => {
            println!(
                "Nothing done. With --yes the database is noted as standing after {name}, \
                 whatever its tables are."
            );
            return Ok(ExitCode::FAILURE);
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn print_status(status: &Status) {
    for step in &status.applied {
        println!("applied  {}  {}", step.at, step.name);
    }
    for name in &status.pending {
        println!("pending  {:19}  {name}", "-");
    }
    for step in &status.unknown {
        println!("unknown  {}  {}", step.at, step.name);
    }
    print_summary(status);
}

fn print_history(status: &Status) {
    let current = status.applied.last().map(|step| step.name.as_str());
    for name in migration::known().iter().rev() {
        let mark = if Some(name.as_str()) == current {
            "  (current)"
        } else {
            ""
        };
        println!("{name}{mark}");
    }
}

fn print_summary(status: &Status) {
    if !status.unknown.is_empty() {
        println!(
            "The database is newer than this program: it has taken {} that are not known here.",
            count(status.unknown.len())
        );
    }
    if status.pending.is_empty() {
        println!("The schema is up to date.");
    } else {
        println!("Missing: {}.", count(status.pending.len()));
    }
}

fn count(steps: usize) -> String {
    match steps {
        1 => "1 step".to_owned(),
        steps => format!("{steps} steps"),
    }
}

fn exit_status(error: &MigrateError) -> u8 {
    match error {
        MigrateError::Connect(sqlx::Error::Database(error)) => match error.code().as_deref() {
            // Wrong password, role or pg_hba.conf entry; no such database.
            Some("28P01" | "28000" | "3D000") => EX_CONFIG,
            _ => EX_UNAVAILABLE,
        },
        MigrateError::Connect(sqlx::Error::Configuration(_) | sqlx::Error::Tls(_))
        | MigrateError::OtherSchema { .. }
        | MigrateError::Role(_) => EX_CONFIG,
        MigrateError::Connect(_) | MigrateError::ReadOnly => EX_UNAVAILABLE,
        _ => 1,
    }
}
