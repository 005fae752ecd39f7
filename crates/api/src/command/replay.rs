//! `gatepost policy replay`: what another policy would have changed.

use std::{io::Write, path::PathBuf, process::ExitCode, sync::Arc};

use anyhow::Context;
use clap::Args;

use crate::{
    clock::{Clock, SystemClock},
    config::Config,
    decisions::{
        model::Period,
        replay::{Change, Outcome, Replay as Run},
    },
    policy::{Bundle, try_policy},
    server::start::for_command,
};

/// Decisions between two words of progress.
const PROGRESS: u64 = 10_000;

/// Decide logged decisions again under another policy, and tell who gains and who loses.
#[derive(Args, Debug)]
pub struct Replay {
    /// How far back: a number and `m`, `h` or `d`.
    #[arg(long, default_value = "7d", value_parser = str::parse::<Period>)]
    since: Period,
    /// The folder of the other policy; else `POLICY_DIR`, else the copy in the program.
    #[arg(long)]
    policy: Option<PathBuf>,
    /// How many decisions at most, newest first.
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1..))]
    limit: u64,
}

/// Replays, and prints what would change.
///
/// # Errors
///
/// The settings', the policy's or the database's.
pub async fn run(
    config: &Config,
    clock: &dyn Clock,
    what: &Replay,
    out: &mut dyn Write,
) -> anyhow::Result<ExitCode> {
    let dir = what.policy.as_deref().or(config.policy.dir.as_deref());
    let bundle = Bundle::load(dir)?;
    try_policy(&bundle)?;
    let url = config
        .database
        .url
        .clone()
        .context("DATABASE_URL is not set")?;
    let key = config
        .secrets
        .secret_key
        .clone()
        .context("SECRET_KEY is not set")?;
    let state = for_command(config.clone(), &url, &key, Arc::new(SystemClock)).await?;
    let mut told = 0;
    let progress = |count: u64| {
        if count / PROGRESS > told {
            told = count / PROGRESS;
            eprintln!("decided again: {count}");
        }
        true
    };
    let now = clock.now();
    let window = (now - what.since.length(), now);
    let outcome = Run::new(&bundle)?
        .run(&state, window, what.limit, progress)
        .await?;
    state.db.clone().close().await;
    tell(&outcome, out)?;
    Ok(ExitCode::SUCCESS)
}

fn tell(outcome: &Outcome, out: &mut dyn Write) -> std::io::Result<()> {
    writeln!(out, "policy    {}", outcome.policy)?;
    writeln!(
        out,
        "replayed  {}, the same {}, masked {}, without an answer {}",
        outcome.replayed, outcome.same, outcome.masked, outcome.failed
    )?;
    for (title, changes) in [("gain", &outcome.gained), ("lose", &outcome.lost)] {
        for change in changes {
            line(title, change, out)?;
        }
    }
    if outcome.gained.is_empty() && outcome.lost.is_empty() {
        writeln!(out, "nobody gains and nobody loses")?;
    }
    if !outcome.complete {
        writeln!(out, "there is more than this: see --limit and --since")?;
    }
    Ok(())
}

fn line(title: &str, change: &Change, out: &mut dyn Write) -> std::io::Result<()> {
    let Change {
        subject,
        action,
        resource,
        decisions,
        ..
    } = change;
    let (before, after) = (change.before.join(", "), change.after.join(", "));
    writeln!(
        out,
        "{title}  {subject}  {action}  {resource}  {decisions} times: {before} -> {after}"
    )
}
