//! `gatepost-migrate`: brings a database to the schema of this version, or back.
//!
//! Exit status: 0 done, 1 refused or failed, 69 no connection, 75 others are in the way, 78 wrong
//! settings.

mod output;
mod settings;

use std::{process::ExitCode, time::Duration};

use clap::{Parser, Subcommand};
use migration::{Down, How, MigrateError};
use settings::Settings;

const EX_UNAVAILABLE: u8 = 69;
const EX_TEMPFAIL: u8 = 75;
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
    /// Takes all missing steps, and gives the API's role its rights: `DATABASE_API_ROLE`, else the
    /// user of `DATABASE_URL` if that is not the owner's
    Up(Waiting),
    /// Tells what taking the missing steps would do: the locks of each, whom they keep waiting, and
    /// how many rows the server believes the tables to have. Changes nothing
    Plan {
        /// For programs
        #[arg(long)]
        json: bool,
        /// The SQL of the missing steps, for those who want to read it
        #[arg(long, conflicts_with = "json")]
        sql: bool,
    },
    /// Shows which steps are taken, since when, and which are missing
    Status,
    /// Lists the steps that this program knows, newest first
    History,
    /// Takes steps back. Refused if that would throw data away
    Down {
        /// How many
        #[arg(short = 'n', default_value_t = 1, value_name = "N")]
        steps: usize,
        /// Everything after this step, or the start of its name
        #[arg(long, value_name = "NAME", conflicts_with = "steps")]
        to: Option<String>,
        /// Go back although data is lost
        #[arg(long)]
        lose_data: bool,
        #[command(flatten)]
        waiting: Waiting,
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

#[derive(clap::Args, Clone, Copy)]
struct Waiting {
    /// How long a step that does not get its locks is tried again, in seconds. Each try gives up
    /// after 2 s, so that nobody waits behind it for longer
    #[arg(long, default_value_t = 300, value_name = "SECONDS")]
    wait_for_locks: u64,
}

impl Waiting {
    fn how(self, lose_data: bool) -> How {
        How {
            patience: Duration::from_secs(self.wait_for_locks),
            lose_data,
        }
    }
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
        Command::Up(waiting) => match migration::up_as(&db, &schema, waiting.how(false)).await {
            Ok(applied) => {
                for name in &applied {
                    println!("applied  {name}");
                }
                if let Some(role) = api_role {
                    migration::grant_api_role(&db, &role).await?;
                    println!("granted  rights to role {role}");
                }
                output::print_summary(&migration::status(&db).await?);
            }
            // A deployment in a second region runs the same steps; there is nothing to do in it.
            Err(error @ MigrateError::Standby) => println!("Nothing done: {error}."),
            Err(error) => return Err(error),
        },
        Command::Status => output::print_status(&migration::status(&db).await?),
        Command::History => output::print_history(&migration::status(&db).await?),
        Command::Plan { json, sql } => {
            let planned = migration::plan(&db).await?;
            if sql {
                output::print_sql(&planned, &schema);
            } else if json {
                output::print_plan_json(&planned, &schema);
            } else {
                output::print_plan(&planned);
            }
        }
        Command::Down {
            steps,
            to,
            lose_data,
            waiting,
        } => {
            let how_far = to.map_or(Down::Steps(steps), Down::To);
            let how = waiting.how(lose_data);
            for name in migration::down(&db, &schema, &how_far, how).await? {
                println!("undone   {name}");
            }
            output::print_summary(&migration::status(&db).await?);
        }
        Command::Stamp { name, yes: true } => {
            let name = migration::stamp(&db, &schema, &name).await?;
            println!("stamped  {name}");
            output::print_summary(&migration::status(&db).await?);
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
        MigrateError::Blocked { .. } | MigrateError::Locked { .. } => EX_TEMPFAIL,
        _ => 1,
    }
}
