//! `gatepost admin`: what administrators do, from a shell.
//!
//! Each command is one call into the services that HTTP calls, on the authority of the command
//! line ([`Shell`]), and stands in the audit log as done by the program. Tables for people,
//! `--json` for programs. Exit status: 0 done, 1 failed, 2 called wrongly, 3 no such user or
//! role, 4 refused, 78 the settings cannot be used.

mod output;
mod recover;
mod users;

use std::{process::ExitCode, sync::Arc};

use anyhow::Context;
use chrono::TimeDelta;
use clap::{Args, Subcommand};

use self::output::Out;
use super::{serve, shell::Shell};
use crate::{
    admin::{model::AdminError, people, roles},
    clock::SystemClock,
    config::{self, Config, SecretKey},
    dormancy,
    http::text::Reason,
    problem::Problem,
    server::start,
    state::AppState,
};

/// No such user, role or assignment.
const NOT_FOUND: u8 = 3;
/// The state of things does not allow it.
const REFUSED: u8 = 4;
/// Called wrongly; clap answers with the same.
const USAGE: u8 = 2;

/// What administrators do, from a shell. Needs `DATABASE_URL` and `SECRET_KEY`.
#[derive(Args)]
pub struct Admin {
    #[command(subcommand)]
    what: What,
    /// Answer in JSON, for programs.
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Subcommand)]
enum What {
    /// Find, make, change and erase users.
    #[command(subcommand)]
    Users(users::Users),
    /// Give a user a role on the system.
    Assign {
        /// Id, address or username.
        user: String,
        /// Key of the role, such as `admin` or `auditor`.
        role: String,
        /// How long it holds, such as 8h or 30d; for good if left out.
        #[arg(long = "for", value_name = "TIME", value_parser = long_time)]
        lasting: Option<TimeDelta>,
        /// Why; for those who review it later.
        #[arg(long, value_parser = reason)]
        reason: Option<Reason>,
    },
    /// Take a role on the system away from a user.
    Remove {
        /// Id, address or username.
        user: String,
        /// Key of the role.
        role: String,
    },
    /// Accounts that nobody uses, and what `DORMANT_AFTER_DAYS` will do with them.
    Dormant {
        /// Lines at most.
        #[arg(long, default_value_t = 1000)]
        limit: u64,
    },
    /// Let an administrator in when everybody is locked out: prints a password that is good for
    /// one login, and gives the role `admin` for a while.
    Recover {
        /// Who is let in: id, address or username. Without it, an account is made.
        #[arg(long, conflicts_with = "email")]
        user: Option<String>,
        /// Address of the account that is made.
        #[arg(long)]
        email: Option<String>,
        /// How long the role holds, from 1m to 24h.
        #[arg(long = "for", value_name = "TIME", default_value = "1h", value_parser = short_time)]
        lasting: TimeDelta,
    },
}

fn long_time(text: &str) -> Result<TimeDelta, String> {
    config::time(text, 60..=100 * 365 * 86_400)
}

fn short_time(text: &str) -> Result<TimeDelta, String> {
    config::time(text, 60..=86_400)
}

fn reason(text: &str) -> Result<Reason, String> {
    Reason::try_from(text.to_owned())
}

/// Runs one command.
///
/// # Errors
///
/// What keeps it from working at all; what is refused is told here, and is the exit status.
pub async fn run(admin: Admin) -> anyhow::Result<ExitCode> {
    let state = open(&admin.what).await?;
    let out = Out { json: admin.json };
    let result = act(&state, admin.what, out).await;
    state.db.clone().close().await;
    match result {
        Ok(code) => Ok(code),
        Err(error) => refused(error),
    }
}

/// Tells an error that the caller can do something about, as HTTP would.
fn refused(error: anyhow::Error) -> anyhow::Result<ExitCode> {
    let problem = Problem::from(error.downcast::<AdminError>()?);
    let status = problem.code().status().as_u16();
    if !(400..500).contains(&status) {
        anyhow::bail!("{problem:?}");
    }
    eprintln!("gatepost: {}", problem.detail());
    Ok(ExitCode::from(if status == 404 {
        NOT_FOUND
    } else {
        REFUSED
    }))
}

/// Reads the settings and connects.
async fn open(what: &What) -> anyhow::Result<AppState> {
    // Commands serve nobody, so what only a server needs may be missing. Links in mails need the
    // address, which recovering does not.
    let csrf = SecretKey::generate()?.to_text();
    let mut stand_ins = vec![("CSRF_SECRET_KEY", csrf.as_str())];
    if matches!(what, What::Recover { .. }) {
        stand_ins.push(("PUBLIC_URL", "https://gatepost.invalid"));
    }
    let config = serve::settings_or_exit_with(&stand_ins);
    let (url, key) = needed(&config)?;
    let state = start::for_command(config, &url, &key, Arc::new(SystemClock)).await?;
    Ok(state)
}

fn needed(config: &Config) -> anyhow::Result<(crate::database::url::DatabaseUrl, SecretKey)> {
    let url = config.database.url.clone();
    let key = config.secrets.secret_key.clone();
    Ok((
        url.context("DATABASE_URL is not set")?,
        key.context("SECRET_KEY is not set; it has to be the one that the service has")?,
    ))
}

async fn act(state: &AppState, what: What, out: Out) -> anyhow::Result<ExitCode> {
    match what {
        What::Users(users) => return users::act(state, users, out).await,
        What::Assign {
            user,
            role,
            lasting,
            reason,
        } => {
            let user = people::find(state, &user).await?;
            let until = lasting.map(|lasting| state.clock.now() + lasting);
            let shell = Shell::of("admin assign");
            let reason = reason.map(String::from);
            roles::assign(state, &shell, &user, &role, until, reason).await?;
            out.done(&format!("{} holds {role} on the system", user.email))?;
        }
        What::Remove { user, role } => {
            let user = people::find(state, &user).await?;
            roles::remove(state, &Shell::of("admin remove"), &user, &role).await?;
            out.done(&format!(
                "{} does not hold {role} on the system",
                user.email
            ))?;
        }
        What::Dormant { limit } => {
            if state.config.accounts.dormancy.is_none() {
                eprintln!("DORMANT_AFTER_DAYS is not set: no account is closed for want of use");
            }
            out.dormant(&dormancy::service::report(state, limit).await?)?;
        }
        What::Recover {
            user,
            email,
            lasting,
        } => recover::recover(state, user, email, lasting, out).await?,
    }
    Ok(ExitCode::SUCCESS)
}
