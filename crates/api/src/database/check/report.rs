//! What a check found out.

mod print;

use std::fmt::{self, Write as _};

use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    class::{Class, Phase},
    text::printable,
    wire::ServerError,
};
use crate::database::url::DatabaseUrl;

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The service cannot work like this.
    Error,
    /// It works, but someone should act.
    Warning,
    /// Worth knowing.
    Info,
}

/// One thing that was found.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Finding {
    /// How much it matters.
    pub severity: Severity,
    /// `PG01` to `PG57`, for everything that can be mended.
    #[schema(value_type = Option<String>)]
    pub code: Option<Class>,
    /// `P0` to `P10`.
    #[schema(value_type = String)]
    pub phase: Phase,
    /// What, in one line.
    pub message: String,
    /// What to do about it; may have several lines, to be pasted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fix: Option<String>,
    /// Where more is to be seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub look: Option<String>,
    /// What the server said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server: Option<ServerError>,
}

impl Finding {
    /// A failure of `class`, with the fix that the class has.
    pub fn error(phase: Phase, class: Class) -> Self {
        Self {
            severity: Severity::Error,
            code: Some(class),
            phase,
            message: class.title().to_owned(),
            fix: Some(class.fix().to_owned()),
            look: Some(class.look().to_owned()),
            server: None,
        }
    }

    /// The same for what works nevertheless.
    pub fn warning(phase: Phase, class: Class) -> Self {
        Self {
            severity: Severity::Warning,
            ..Self::error(phase, class)
        }
    }

    /// Something worth knowing.
    pub fn info(phase: Phase, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Info,
            code: None,
            phase,
            message: message.into(),
            fix: None,
            look: None,
            server: None,
        }
    }

    /// With what exactly is wrong, after the class's own words.
    #[must_use]
    pub fn because(mut self, what: impl fmt::Display) -> Self {
        let _ = write!(self.message, ": {}", printable(&what.to_string()));
        self
    }

    /// With another message.
    #[must_use]
    pub fn saying(mut self, message: impl Into<String>) -> Self {
        self.message = message.into();
        self
    }

    /// With a fix that fits this case.
    #[must_use]
    pub fn with_fix(mut self, fix: impl Into<String>) -> Self {
        self.fix = Some(fix.into());
        self
    }

    /// With what the server said.
    #[must_use]
    pub fn with_server(mut self, error: ServerError) -> Self {
        self.server = Some(error);
        self
    }
}

/// Whether the service could work there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = DatabaseCheckStatus)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// It could.
    Ok,
    /// It could not.
    Error,
}

/// Where the check went, and as whom.
#[derive(Clone, Debug, Default, Serialize, ToSchema)]
pub struct Details {
    /// The host, or the directory of the socket.
    pub host: String,
    /// The port.
    pub port: u16,
    /// The database.
    pub database: String,
    /// The role.
    pub user: String,
    /// The answer to `SELECT 1`, once the login worked.
    pub test_query_result: Option<i32>,
}

/// The certificate that the server showed.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Certificate {
    /// Whose it is.
    pub subject: String,
    /// Who signed it.
    pub issuer: String,
    /// The names and addresses that it is for.
    pub names: Vec<String>,
    /// Since when it holds.
    pub not_before: Option<DateTime<Utc>>,
    /// Until when.
    pub not_after: Option<DateTime<Utc>>,
    /// Whole days until then; negative once it has expired.
    pub days_left: Option<i64>,
    /// SHA-256 of the certificate, in hexadecimal with colons, as openssl prints it.
    pub sha256: String,
    /// The certificate itself, to compare it with a file.
    #[serde(skip)]
    pub der: Vec<u8>,
}

/// How the connection is encrypted.
#[derive(Clone, Debug, Default, Serialize, ToSchema)]
pub struct Tls {
    /// The `sslmode` in effect.
    pub mode: String,
    /// Whether the server offers TLS; none if it was not asked.
    pub offered: Option<bool>,
    /// Whether the connection is encrypted.
    pub used: bool,
    /// Such as `TLSv1.3`.
    pub version: Option<String>,
    /// Such as `TLS_AES_256_GCM_SHA384`.
    pub cipher: Option<String>,
    /// Whether the certificate was signed by a trusted authority for this name.
    pub trusted: bool,
    /// Why not.
    pub problem: Option<String>,
    /// What the server showed.
    pub certificate: Option<Certificate>,
}

/// How one host of several is.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct HostReport {
    /// The host, or the directory of the socket.
    pub host: String,
    /// The port.
    pub port: u16,
    /// `ok` or `error`.
    pub status: Status,
    /// In one line.
    pub message: String,
    /// The class of the failure.
    #[schema(value_type = Option<String>)]
    pub code: Option<Class>,
    /// The phase that failed.
    #[schema(value_type = Option<String>)]
    pub phase: Option<Phase>,
    /// What to do about it.
    pub fix: Option<String>,
}

impl HostReport {
    fn of(report: &Report) -> Self {
        Self {
            host: report.details.host.clone(),
            port: report.details.port,
            status: report.status,
            message: report.message.clone(),
            code: report.code,
            phase: report.phase,
            fix: report.fix.clone(),
        }
    }

    /// What is to be said of it beside a host that is used.
    fn beside(&self) -> Option<Finding> {
        let (class, phase) = self.code.zip(self.phase)?;
        let place = format!("{}:{}", self.host, self.port);
        if class == Class::Standby {
            return Some(Finding::info(phase, format!("{place} is a standby")));
        }
        let mut finding =
            Finding::warning(phase, class).saying(format!("{place}: {}", self.message));
        finding.fix.clone_from(&self.fix);
        Some(finding)
    }
}

/// The result of a check.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Report {
    /// `ok` or `error`.
    pub status: Status,
    /// In one line.
    pub message: String,
    /// The class of the failure, `PG01` to `PG57`; none when all is well.
    #[schema(value_type = Option<String>)]
    pub code: Option<Class>,
    /// The phase that failed, `P0` to `P10`.
    #[schema(value_type = Option<String>)]
    pub phase: Option<Phase>,
    /// What to do about it.
    pub fix: Option<String>,
    /// Where the check went.
    pub details: Details,
    /// The URL that was tried, without its password.
    pub tried: String,
    /// The addresses that the host's name stands for.
    pub addresses: Vec<String>,
    /// The authentication that the server asked for: `scram-sha-256`, `md5`, or `none` if it let us in
    /// without (trust, peer, or by certificate).
    pub authentication: Option<String>,
    /// The server's version.
    pub server_version: Option<String>,
    /// How the connection is encrypted.
    pub tls: Tls,
    /// All that was found, in the order of the phases.
    pub findings: Vec<Finding>,
    /// How each host is, if the URL names several. The rest is about the one that is used, or else
    /// the one at which the check got furthest.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<HostReport>,
    /// The phases that were passed.
    #[serde(skip)]
    pub passed: Vec<Phase>,
}

/// A phase failed; the report says why.
pub struct Stopped;

impl Report {
    /// A report on `url`, before anything was tried.
    pub fn new(url: &DatabaseUrl) -> Self {
        let mode = url.ssl().mode.map_or("prefer", |mode| mode.as_str());
        Self {
            details: Details {
                host: url.host().to_string(),
                port: url.port(),
                database: url.database().to_owned(),
                user: url.user().to_owned(),
                test_query_result: None,
            },
            tried: url.to_string(),
            tls: Tls {
                mode: mode.to_owned(),
                ..Tls::default()
            },
            ..Self::empty()
        }
    }

    /// A report on settings that name no database.
    pub fn empty() -> Self {
        Self {
            status: Status::Ok,
            message: String::new(),
            code: None,
            phase: None,
            fix: None,
            details: Details::default(),
            tried: String::new(),
            addresses: Vec::new(),
            authentication: None,
            server_version: None,
            tls: Tls::default(),
            findings: Vec::new(),
            hosts: Vec::new(),
            passed: Vec::new(),
        }
    }

    /// One report of those on each host of `url`. A standby that waits for its turn is no failure as
    /// long as another host takes writes.
    pub fn of_several(url: &DatabaseUrl, reports: Vec<Self>) -> Self {
        let hosts: Vec<_> = reports.iter().map(HostReport::of).collect();
        let is_standby = |report: &Self| report.code == Some(Class::Standby);
        let others = || reports.iter().filter(|report| !is_standby(report));
        // Of those that fail the one at which the check got furthest tells most.
        let furthest = others().filter_map(|report| report.phase).max();
        let used = reports
            .iter()
            .position(|report| report.status == Status::Ok)
            .or_else(|| {
                let is_furthest = |report: &Self| !is_standby(report) && report.phase == furthest;
                reports.iter().position(is_furthest)
            })
            .unwrap_or_default();
        let Some(mut report) = reports.into_iter().nth(used) else {
            return Self::new(url).finish();
        };
        report.tried = url.to_string();
        if report.status == Status::Ok {
            for host in &hosts {
                report.findings.extend(host.beside());
            }
        }
        report.hosts = hosts;
        report.finish()
    }

    /// Adds a finding.
    pub fn add(&mut self, finding: Finding) {
        self.findings.push(finding);
    }

    /// Adds a failure, which ends the check.
    pub fn stop(&mut self, finding: Finding) -> Stopped {
        self.findings.push(finding);
        Stopped
    }

    /// Ends a phase: the check goes on only without a failure.
    ///
    /// # Errors
    ///
    /// [`Stopped`] if a failure was added.
    pub fn end(&mut self, phase: Phase) -> Result<(), Stopped> {
        if self.first_error().is_some() {
            return Err(Stopped);
        }
        self.passed.push(phase);
        Ok(())
    }

    fn first_error(&self) -> Option<&Finding> {
        self.findings
            .iter()
            .find(|finding| finding.severity == Severity::Error)
    }

    /// The number of warnings.
    fn warnings(&self) -> usize {
        let is_warning = |finding: &&Finding| finding.severity == Severity::Warning;
        self.findings.iter().filter(is_warning).count()
    }

    /// Draws the conclusion of the findings.
    #[must_use]
    pub fn finish(mut self) -> Self {
        if let Some(failure) = self.first_error().cloned() {
            self.status = Status::Error;
            self.message = failure.message;
            self.code = failure.code;
            self.phase = Some(failure.phase);
            self.fix = failure.fix;
        } else {
            self.message = match self.warnings() {
                0 => "connected, and everything is as it should be".to_owned(),
                1 => "connected, with one warning".to_owned(),
                number => format!("connected, with {number} warnings"),
            };
        }
        self
    }

    /// 0 if the service can work there, else by the kind of the failure.
    pub fn exit_status(&self) -> u8 {
        match self.status {
            Status::Ok => 0,
            Status::Error => self.code.map_or(1, Class::exit_status),
        }
    }
}
