//! `gatepost policy explain`: why someone may, or may not.

use std::{io::Write, process::ExitCode, sync::Arc};

use anyhow::Context;
use clap::Args;

use crate::{
    authzen::asked::{Asked, ask},
    clock::SystemClock,
    config::Config,
    server::start::for_command,
};

/// Ask whether someone may do something, and why, or what they lack. Exit status 1 for a no.
#[derive(Args, Debug)]
pub struct Explain {
    /// A user by id, e-mail address or username; or `service_account:<id>`.
    user: String,
    /// A permission such as `project:update`, or a verb such as `update`.
    action: String,
    /// `system`, or `<type>:<id>` such as `project:01a1…` or `document:42`.
    resource: String,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Asks, and prints the answer.
///
/// # Errors
///
/// The settings', the policy's or the database's; a name that cannot be read.
pub async fn run(config: &Config, what: &Explain, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let url = config.database.url.clone();
    let url = url.context("DATABASE_URL is not set")?;
    let key = config.secrets.secret_key.clone();
    let key = key.context("SECRET_KEY is not set")?;
    let state = for_command(config.clone(), &url, &key, Arc::new(SystemClock)).await?;
    let asked = ask(&state, &what.user, &what.action, &what.resource).await;
    state.db.clone().close().await;
    let asked = match asked {
        Ok(asked) => asked,
        Err(problem) => anyhow::bail!("{}", problem.detail()),
    };
    if what.json {
        writeln!(out, "{}", serde_json::to_string_pretty(&asked)?)?;
    } else {
        tell(&asked, out)?;
    }
    Ok(if asked.answer.decision {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn tell(asked: &Asked, out: &mut dyn Write) -> std::io::Result<()> {
    let (answer, context) = (&asked.answer, &asked.answer.context);
    writeln!(out, "{}", if answer.decision { "yes" } else { "no" })?;
    writeln!(out, "permission  {}", asked.permission)?;
    if !asked.path.is_empty() {
        writeln!(out, "path        {}", asked.path.join(" > "))?;
    }
    for reason in context.reasons.iter().flatten() {
        writeln!(out, "because     {}: {}", reason.code, reason.message)?;
    }
    for grant in context.grants.iter().flatten() {
        let by = grant
            .group
            .map_or_else(String::new, |group| format!(", by group {group}"));
        let until = grant
            .expires_at
            .map_or_else(String::new, |end| format!(", until {}", end.to_rfc3339()));
        writeln!(
            out,
            "holds       {} at {}{by}{until}  (assignment {})",
            grant.role, grant.at, grant.assignment
        )?;
    }
    for would in context.would_allow.iter().flatten() {
        writeln!(out, "would do    {} at {}", would.role, would.at)?;
    }
    if context.would_allow.as_ref().is_some_and(Vec::is_empty) {
        writeln!(out, "would do    no role")?;
    }
    Ok(())
}
