//! `gatepost serve`: on a PostgreSQL that someone else runs.

use std::{io::Write, sync::Arc};

use anyhow::Context;
use secrecy::ExposeSecret;

use crate::{
    clock::SystemClock,
    config::{self, Config},
    database::{migrate::migrate, url::DatabaseUrl},
    registration::break_glass::BreakGlass,
    server::{
        run,
        start::{Secrets, start},
    },
};

/// Serves until told to stop.
///
/// # Errors
///
/// What keeps it from serving, for the one who started it.
pub async fn serve(config: Config) -> anyhow::Result<()> {
    let url = config.database.url.clone().context(
        "DATABASE_URL is not set; set it, or use `gatepost dev` for a PostgreSQL of its own",
    )?;
    let (Some(key), Some(csrf)) = (&config.secrets.secret_key, &config.secrets.csrf) else {
        anyhow::bail!(
            "SECRET_KEY and CSRF_SECRET_KEY are not set; `gatepost init` makes them, \
             and `gatepost dev` keeps its own"
        );
    };
    let secrets = Secrets {
        key: key.clone(),
        previous: config.secrets.previous.clone(),
        csrf: csrf.clone(),
    };
    if config.database.auto_migrate {
        migrate_first(&config, &url).await?;
    }
    let started = start(config, &url, &secrets, Arc::new(SystemClock)).await?;
    if let Some(admin) = &started.break_glass {
        announce_admin(admin)?;
    }
    let address = started.state.public_url.to_string();
    let announce = move || tracing::info!(address, "serving");
    run::run(started, announce, std::future::pending()).await
}

/// Migrates as `AUTO_MIGRATE` says.
///
/// # Errors
///
/// See [`migrate`].
pub async fn migrate_first(config: &Config, url: &DatabaseUrl) -> anyhow::Result<()> {
    let owner = config.database.migration_url.as_ref().unwrap_or(url);
    let applied = migrate(&config.database, owner, url.user()).await?;
    tracing::info!(steps = applied.len(), "the schema is up to date");
    Ok(())
}

/// Tells of the administrator that this start made; a password that was made here is told
/// here and never again.
///
/// # Errors
///
/// Standard output cannot be written to.
pub fn announce_admin(admin: &BreakGlass) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "BREAK-GLASS ADMIN  {}", admin.email)?;
    match &admin.made {
        Some(password) => writeln!(
            out,
            "         password  {}  (shown once; has to be changed at the first login)",
            password.expose_secret()
        )?,
        None => writeln!(out, "         password  as in ADMIN_PASSWORD_FILE")?,
    }
    out.flush()?;
    Ok(())
}

/// Reads the settings, or prints all faults and ends with status 78 (`EX_CONFIG`).
pub fn settings_or_exit() -> Config {
    settings_or_exit_with(&[])
}

/// The same for a command that does not serve: see [`config::read_environment_with`].
pub fn settings_or_exit_with(stand_ins: &[(&str, &str)]) -> Config {
    match config::read_environment_with(stand_ins) {
        Ok(reading) => {
            super::logging::start(&reading.config.log);
            for warning in &reading.warnings {
                tracing::warn!(variable = warning.variable, "{warning}");
            }
            reading.config
        }
        Err(report) => {
            eprint!("{report}");
            std::process::exit(config::EXIT_STATUS.into());
        }
    }
}
