//! `gatepost db check`: what keeps the service from working on a PostgreSQL, and what to do about it.
//!
//! One direct connection with its own time limits, never through the pool, which would hide the cause.
//! The [`Phase`]s follow each other and the first that fails ends the check; inside a phase everything
//! is listed. Failures are told apart by phase, SQLSTATE, kind of I/O error and error of rustls, never
//! by the words of a message, which are translated and change. The [`Class`] of a failure is its
//! stable name. The password is sent to the server and appears nowhere else.

mod capacity;
mod class;
mod connect;
mod login;
mod pooler;
mod privileges;
mod reach;
mod report;
mod schema;
mod session;
mod text;
mod tls;
mod wire;

use std::{net::IpAddr, time::Duration};

pub use self::{
    class::{Class, Kind, Phase},
    report::{Certificate, Details, Finding, Report, Severity, Status, Tls},
    text::{identifier, printable},
    wire::ServerError,
};
use self::{
    connect::Connector,
    report::Stopped,
    tls::Files,
    wire::{Fault, Wire},
};
use crate::{
    clock::Clock,
    database::{
        stats::{self, SlowQueries, Stats},
        url::{DatabaseUrl, SslMode, UrlFault},
    },
};

/// What to check, and against what.
pub struct Target<'a> {
    /// The database.
    pub url: &'a DatabaseUrl,
    /// `DATABASE_SCHEMA`.
    pub schema: &'a str,
    /// How long each single step may take; the whole check takes a few times as long at most.
    pub patience: Duration,
    /// How many connections an instance opens at most, and how long it keeps idle ones.
    pub pool: Pool,
    /// What the host's name stands for, if that was found out before: it is not asked again.
    pub addresses: Option<&'a [IpAddr]>,
    /// The time.
    pub clock: &'a dyn Clock,
}

/// The part of the pool's settings that matters to the server.
#[derive(Clone, Copy, Debug)]
pub struct Pool {
    /// `DATABASE_MAX_SIZE`
    pub size: u32,
    /// `DATABASE_IDLE_TIMEOUT`
    pub idle_timeout: Duration,
}

/// Checks the database of `target`, at each of its hosts.
pub async fn check(target: &Target<'_>) -> Report {
    let each = target.url.each();
    if each.len() < 2 {
        return check_one(target).await;
    }
    let mut reports = Vec::with_capacity(each.len());
    for url in &each {
        let alone = Target { url, ..*target };
        reports.push(check_one(&alone).await);
    }
    Report::of_several(target.url, reports)
}

async fn check_one(target: &Target<'_>) -> Report {
    let mut report = Report::new(target.url);
    // Why it stopped stands in the report.
    let _ = Box::pin(run(target, &mut report)).await;
    report.finish()
}

/// What the database of `target` is doing, at the first of its hosts that tells.
///
/// # Errors
///
/// The report on why it cannot be told.
pub async fn stats(target: &Target<'_>) -> Result<Stats, Box<Report>> {
    let mut failed = Vec::new();
    for url in &target.url.each() {
        let mut report = Report::new(url);
        let alone = Target { url, ..*target };
        match Box::pin(ask_stats(&alone, &mut report)).await {
            Ok(stats) => return Ok(stats),
            Err(Stopped) => failed.push(report.finish()),
        }
    }
    Err(Box::new(Report::of_several(target.url, failed)))
}

async fn ask_stats(target: &Target<'_>, report: &mut Report) -> Result<Stats, Stopped> {
    let files = read_url(target.url, report)?;
    let places = reach::resolve(target.url, target.addresses, target.patience, report).await?;
    let connector = Connector {
        target,
        files: &files,
        places: &places,
    };
    let (mut wire, _) = connector.connect(report).await?;
    let mut stats: Stats = ask(&mut wire, Phase::Capacity, stats::SQL, report).await?;
    let sql = stats::WHERE_STATEMENTS;
    let place: stats::Place = ask(&mut wire, Phase::Capacity, sql, report).await?;
    stats.slow_queries = match place.schema {
        None => SlowQueries::not_created(),
        Some(schema) => match wire.ask(&stats::slow_sql(&schema)).await {
            Ok(queries) => SlowQueries::of(queries),
            Err(Fault::Server(_)) => SlowQueries::not_loaded(),
            Err(fault) => return Err(report.stop(session::failure(Phase::Capacity, fault))),
        },
    };
    wire.close().await;
    Ok(stats)
}

/// The report on a URL that cannot be read.
pub fn unreadable(fault: &UrlFault) -> Report {
    let class = match fault {
        UrlFault::UnknownParameter(_) | UrlFault::UnsupportedParameter(_) => {
            Class::UnknownParameter
        }
        _ => Class::UrlUnreadable,
    };
    let what = format!("the URL {fault}");
    let finding = Finding::error(Phase::Url, class).saying(what);
    let mut report = Report::empty();
    report.add(finding);
    report.finish()
}

/// The report on a check that took too long as a whole.
pub fn too_slow(url: &DatabaseUrl) -> Report {
    let mut report = Report::new(url);
    report.add(Finding::error(Phase::Connect, Class::Silent));
    report.finish()
}

/// The report on settings that cannot be read.
pub fn unusable_settings(what: &str) -> Report {
    let mut report = Report::empty();
    report.add(Finding::error(Phase::Url, Class::UrlUnreadable).saying(what));
    report.finish()
}

async fn run(target: &Target<'_>, report: &mut Report) -> Result<(), Stopped> {
    let files = read_url(target.url, report)?;
    let places = reach::resolve(target.url, target.addresses, target.patience, report).await?;
    let connector = Connector {
        target,
        files: &files,
        places: &places,
    };
    let (mut wire, way) = connector.connect(report).await?;
    let mut facts = session::look(&mut wire, target, report).await?;
    pooler::look(&mut wire, &connector, &way, &mut facts, report).await?;
    report.end(Phase::Session)?;
    let tables = privileges::look(&mut wire, &facts, report).await?;
    privileges::functions(&mut wire, &facts, &tables, report).await?;
    schema::look(&mut wire, &facts, &tables, report).await?;
    capacity::look(&mut wire, target, &facts, report).await?;
    wire.close().await;
    Ok(())
}

/// P0: what the URL says, and the files that it names.
fn read_url(url: &DatabaseUrl, report: &mut Report) -> Result<Files, Stopped> {
    if let Err(fault) = url.check_ssl() {
        let finding = Finding::error(Phase::Url, Class::CertificateFile);
        return Err(report.stop(finding.saying(format!("the URL {fault}"))));
    }
    let files = Files::read(url.ssl()).map_err(|finding| report.stop(*finding))?;
    let mode = url.ssl().mode.unwrap_or(SslMode::Prefer);
    if !url.is_local() && mode != SslMode::VerifyFull {
        let what = format!("sslmode={}", mode.as_str());
        report.add(Finding::warning(Phase::Url, Class::InsecureSslMode).because(what));
    }
    report.end(Phase::Url)?;
    Ok(files)
}

/// A question that has to be answered; otherwise the check ends.
async fn ask<T: serde::de::DeserializeOwned>(
    wire: &mut Wire,
    phase: Phase,
    sql: &str,
    report: &mut Report,
) -> Result<T, Stopped> {
    match wire.ask(sql).await {
        Ok(answer) => Ok(answer),
        Err(fault) => Err(report.stop(session::failure(phase, fault))),
    }
}
