//! `gatepost policy`: the policy's files, for those who write them.

use std::{
    io::Write,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context;
use clap::Subcommand;
use sea_orm::{ConnectionTrait, Statement};

use super::serve::settings_or_exit;
use crate::{
    clock::Clock,
    config::Config,
    database::pool,
    policy::{Bundle, Outcome, check, run_tests, try_policy},
};

/// The policy.
#[derive(Subcommand)]
pub enum Policy {
    /// Tell every fault of the policy in a folder, with file and line. Exit status 1 if there is one.
    Check {
        /// A folder like `opa/`, or with `policies/custom` only; else `POLICY_DIR`, else the copy in
        /// the program.
        dir: Option<PathBuf>,
    },
    /// Run the Rego tests beside the rules. Exit status 1 if one fails.
    Test {
        /// As for `check`.
        dir: Option<PathBuf>,
    },
    /// Print which engine decides by which files.
    Show,
    /// Have all running instances look at their files now. They do by themselves within a second,
    /// unless their folder cannot be watched.
    Reload,
    /// Decide logged decisions again under another policy, and tell who gains and who loses.
    Replay(super::replay::Replay),
    /// Ask whether someone may do something, and why, or what they lack. Exit status 1 for a no.
    Explain(super::explain::Explain),
}

/// Runs one of the commands.
///
/// # Errors
///
/// The settings', the files' or the database's.
pub async fn run(
    command: Policy,
    clock: &dyn Clock,
    out: &mut dyn Write,
) -> anyhow::Result<ExitCode> {
    match command {
        Policy::Check { dir } => check_folder(folder(dir).as_deref(), out),
        Policy::Test { dir } => test_folder(folder(dir).as_deref(), out),
        Policy::Show => show(&settings_or_exit(), out),
        Policy::Reload => reload(&settings_or_exit(), out).await,
        Policy::Explain(what) => super::explain::run(&settings_or_exit(), &what, out).await,
        Policy::Replay(what) => super::replay::run(&settings_or_exit(), clock, &what, out).await,
    }
}

fn folder(dir: Option<PathBuf>) -> Option<PathBuf> {
    dir.or_else(|| settings_or_exit().policy.dir)
}

fn check_folder(dir: Option<&Path>, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let bundle = match Bundle::load(dir) {
        Ok(bundle) => bundle,
        Err(fault) => return refused(out, &fault.to_string()),
    };
    let faults = check(&bundle);
    if !faults.is_empty() {
        for fault in &faults {
            writeln!(out, "{fault}")?;
        }
        return Ok(ExitCode::FAILURE);
    }
    if let Err(fault) = try_policy(&bundle) {
        return refused(out, &fault.to_string());
    }
    let (rules, tests) = (bundle.modules().len(), bundle.tests().len());
    let digest = bundle.digest();
    writeln!(
        out,
        "fine: {rules} files of rules, {tests} of tests, digest {digest}"
    )?;
    Ok(ExitCode::SUCCESS)
}

fn refused(out: &mut dyn Write, fault: &str) -> anyhow::Result<ExitCode> {
    writeln!(out, "{fault}")?;
    Ok(ExitCode::FAILURE)
}

fn test_folder(dir: Option<&Path>, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let results = match Bundle::load(dir).and_then(|bundle| run_tests(&bundle)) {
        Ok(results) => results,
        Err(fault) => return refused(out, &fault.to_string()),
    };
    let mut faults = 0;
    for test in &results {
        let word = match &test.outcome {
            Outcome::Passed => continue,
            Outcome::Failed => "FAIL".to_owned(),
            Outcome::Broken(why) => format!("ERROR {why}"),
            Outcome::Skipped => "SKIPPED".to_owned(),
        };
        faults += usize::from(test.is_fault());
        writeln!(out, "{}:{}: {}: {word}", test.path, test.line, test.name)?;
    }
    let passed = results
        .iter()
        .filter(|test| test.outcome == Outcome::Passed);
    writeln!(out, "PASS: {}/{}", passed.count(), results.len())?;
    Ok(if faults == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn show(config: &Config, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let dir = config.policy.dir.as_deref();
    let bundle = Bundle::load(dir)?;
    match &config.policy.opa_url {
        None => writeln!(out, "engine    embedded")?,
        Some(url) => writeln!(
            out,
            "engine    opa, at {}",
            url.origin().ascii_serialization()
        )?,
    }
    let shown = dir.map_or_else(
        || "the copy in the program".to_owned(),
        |dir| dir.display().to_string(),
    );
    writeln!(out, "files     {shown}")?;
    writeln!(out, "digest    {}", bundle.digest())?;
    let custom: Vec<&str> = bundle.custom().collect();
    for path in bundle.paths() {
        let note = if custom.contains(&path) {
            "  custom"
        } else {
            ""
        };
        writeln!(out, "          {path}{note}")?;
    }
    if custom.is_empty() {
        writeln!(out, "custom    none")?;
    }
    Ok(ExitCode::SUCCESS)
}

async fn reload(config: &Config, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    if let Some(dir) = config.policy.dir.as_deref()
        && let Err(fault) = Bundle::load(Some(dir)).and_then(|bundle| try_policy(&bundle))
    {
        writeln!(
            out,
            "nobody was told, because the files here would be refused:"
        )?;
        return refused(out, &fault.to_string());
    }
    let url = config
        .database
        .url
        .as_ref()
        .context("DATABASE_URL is not set")?;
    let db = pool::open(&config.database, url, &std::sync::Arc::default()).await?;
    let sql = "SELECT pg_notify('gatepost_changes', 'policy')";
    db.execute_raw(Statement::from_string(db.get_database_backend(), sql))
        .await?;
    db.close().await;
    writeln!(
        out,
        "All running instances look at their files now; `GET /api/admin/policy` says what each has."
    )?;
    Ok(ExitCode::SUCCESS)
}
