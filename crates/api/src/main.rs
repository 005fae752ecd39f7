//! The command line: each command is one call into a module.

use std::{io::Write, path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};
use gatepost::{
    clock::SystemClock,
    command::{admin, audit, db, dev, health, import, keys, policy, serve},
    config, openapi,
};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Authentication and role-based access control on the PostgreSQL that you already run.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve on the database of `DATABASE_URL`.
    Serve,
    /// Serve for trying out and developing: brings a PostgreSQL of its own if `DATABASE_URL` is
    /// not set, migrates, and makes its secrets itself.
    Dev {
        /// Forget everything at the end.
        #[arg(long)]
        ephemeral: bool,
        /// Where data and secrets are kept.
        #[arg(long, default_value = "data")]
        data: PathBuf,
    },
    /// The keys that sign access tokens.
    #[command(subcommand)]
    Keys(Keys),
    Admin(admin::Admin),
    #[command(subcommand)]
    Db(db::Db),
    /// The audit log.
    #[command(subcommand)]
    Audit(Audit),
    #[command(subcommand)]
    Policy(policy::Policy),
    /// What other systems know, to be known here.
    #[command(subcommand)]
    Import(import::What),
    /// The settings.
    #[command(subcommand)]
    Config(Settings),
    /// Write `.env.production` with every setting and fresh secrets.
    Init {
        /// Where to.
        #[arg(default_value = ".env.production")]
        path: PathBuf,
        /// Replace a file that is there, and its secrets with it.
        #[arg(long)]
        force: bool,
    },
    /// Ask a running instance on this machine whether it may get traffic; for containers.
    Healthcheck,
    /// Print the OpenAPI document.
    Openapi,
}

#[derive(Subcommand)]
enum Keys {
    /// Make the next key sign from now on.
    Rotate,
}

#[derive(Subcommand)]
enum Audit {
    /// Recompute the chain of hashes and name the first entry that does not hold. Exit status 0:
    /// all hold; 3: one does not; 1: it could not be checked.
    Verify(audit::Verify),
    /// Print the end of the chain, to be kept where this system cannot write.
    Anchor,
}

#[derive(Subcommand)]
enum Settings {
    /// Tell whether the settings can be used, and all that is wrong with them.
    Check,
    /// Print the values in effect, secrets hidden, and where each came from.
    Show,
}

#[actix_web::main]
async fn main() -> ExitCode {
    // Before anything opens a connection: one provider of cryptography for all.
    if rustls::crypto::aws_lc_rs::default_provider()
        .install_default()
        .is_err()
    {
        eprintln!("gatepost: another provider of cryptography is installed");
        return ExitCode::FAILURE;
    }
    match Box::pin(run(Arguments::parse().command)).await {
        Ok(code) => code,
        Err(error) => {
            eprintln!("gatepost: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(command: Command) -> anyhow::Result<ExitCode> {
    let mut out = std::io::stdout();
    match command {
        Command::Serve => Box::pin(serve::serve(serve::settings_or_exit())).await?,
        Command::Dev { ephemeral, data } => {
            Box::pin(dev::dev(
                serve::settings_or_exit(),
                dev::Dev { ephemeral, data },
            ))
            .await?;
        }
        Command::Keys(Keys::Rotate) => {
            keys::rotate(serve::settings_or_exit(), &SystemClock).await?;
        }
        Command::Db(what) => return Box::pin(db::run(what, &mut out)).await,
        Command::Admin(admin) => return Box::pin(admin::run(admin)).await,
        Command::Audit(Audit::Verify(what)) => {
            let config = serve::settings_or_exit();
            return audit::verify(&config, &SystemClock, &what, &mut out).await;
        }
        Command::Audit(Audit::Anchor) => {
            audit::anchor(&serve::settings_or_exit(), &mut out).await?;
        }
        Command::Policy(what) => {
            return Box::pin(policy::run(what, &SystemClock, &mut out)).await;
        }
        Command::Import(what) => {
            let config = serve::settings_or_exit;
            return Box::pin(import::run(config, &SystemClock, what, &mut out)).await;
        }
        Command::Config(Settings::Check) => {
            let reading = config::read_environment();
            config::command::check(&reading, &mut out)?;
            if reading.is_err() {
                return Ok(ExitCode::from(config::EXIT_STATUS));
            }
        }
        Command::Config(Settings::Show) => match config::read_environment() {
            Ok(reading) => config::command::show(&reading, &mut out)?,
            Err(report) => {
                eprint!("{report}");
                return Ok(ExitCode::from(config::EXIT_STATUS));
            }
        },
        Command::Init { path, force } => {
            config::command::init(&path, force)?;
            println!(
                "Wrote {}. Fill in what is empty, then run `gatepost config check`.",
                path.display()
            );
        }
        Command::Healthcheck => return health::check().await,
        Command::Openapi => writeln!(out, "{}", openapi::document().to_pretty_json()?)?,
    }
    Ok(ExitCode::SUCCESS)
}
