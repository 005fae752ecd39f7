//! What the database looks like from outside, and what a test of a connection takes and tells.

use sea_orm::DbErr;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    access::permit::{Action, Target},
    database::{
        check::{Class, Details, Finding, Phase, Report, Severity, Status},
        stats::Stats,
        url::UrlFault,
    },
    problem::{Code, Problem},
};

/// Seeing how the database is.
pub struct ReadDatabase;
impl Action for ReadDatabase {
    const NAME: &'static str = "database:read";
    const TARGET: Target = Target::System;
}

/// Having this program open a connection elsewhere.
pub struct TestDatabase;
impl Action for TestDatabase {
    const NAME: &'static str = "database:test";
    const TARGET: Target = Target::System;
}

/// The database of this installation.
#[derive(Debug, Serialize, ToSchema)]
pub struct DatabaseView {
    /// How the connection of this answer is encrypted.
    pub encryption: Encryption,
    /// The pool of this instance.
    pub pool: PoolView,
    /// How far the schema is.
    pub migrations: MigrationsView,
    /// What the database is doing.
    #[serde(flatten)]
    pub stats: Stats,
}

/// How one connection is encrypted.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Encryption {
    /// Whether it is.
    pub used: bool,
    /// Such as `TLSv1.3`.
    pub version: Option<String>,
    /// Such as `TLS_AES_256_GCM_SHA384`.
    pub cipher: Option<String>,
}

/// The settings of the pool.
#[derive(Debug, Serialize, ToSchema)]
pub struct PoolView {
    /// Connections that are kept open.
    pub min_size: u32,
    /// Connections at most.
    pub max_size: u32,
}

/// How far the schema is.
#[derive(Debug, Serialize, ToSchema)]
pub struct MigrationsView {
    /// How many steps were taken.
    pub applied: usize,
    /// Steps that are missing.
    pub pending: Vec<String>,
    /// Steps that this program does not know: the database is newer.
    pub unknown: Vec<String>,
}

/// Body of `POST /api/admin/database/test`. What is left out is that of the configured database.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ConnectionTest {
    /// One of `DATABASE_TEST_ALLOWED_HOSTS`.
    #[schema(max_length = 255)]
    pub host: Option<String>,
    /// The port.
    #[schema(minimum = 1)]
    pub port: Option<u16>,
    /// The database.
    #[schema(max_length = 63)]
    pub database: Option<String>,
    /// The role.
    #[schema(max_length = 63)]
    pub user: Option<String>,
    /// Its password. The configured one is used only if nothing else is given.
    #[schema(value_type = Option<String>, max_length = 1024)]
    pub password: Option<SecretString>,
    /// `disable`, `allow`, `prefer`, `require`, `verify-ca` or `verify-full`.
    #[schema(max_length = 11)]
    pub sslmode: Option<String>,
}

/// What a test found. Nothing of what the server said: that could map a network.
#[derive(Debug, Serialize, ToSchema)]
pub struct TestResult {
    /// `ok` if this program could work there, else `error`.
    pub status: Status,
    /// In one line.
    pub message: String,
    /// The class of the failure, `PG01` to `PG57`.
    #[schema(value_type = Option<String>)]
    pub code: Option<Class>,
    /// The step that failed, `P0` to `P10`.
    #[schema(value_type = Option<String>)]
    pub phase: Option<Phase>,
    /// What to do about it.
    pub fix: Option<String>,
    /// Where the test went.
    pub details: Details,
    /// Whether the connection was encrypted.
    pub encrypted: bool,
    /// The classes of what was found besides.
    pub findings: Vec<TestFinding>,
}

/// Something that was found besides.
#[derive(Debug, Serialize, ToSchema)]
pub struct TestFinding {
    /// `error` or `warning`.
    pub severity: Severity,
    /// `PG01` to `PG57`.
    #[schema(value_type = String)]
    pub code: Class,
    /// What the class means.
    pub message: &'static str,
    /// What to do about it.
    pub fix: &'static str,
}

impl From<Report> for TestResult {
    fn from(report: Report) -> Self {
        let class = report.code;
        let findings = report.findings.iter().filter_map(coarse).collect();
        Self {
            status: report.status,
            message: class.map_or(report.message, |class| class.title().to_owned()),
            code: class,
            phase: report.phase,
            fix: class.map(|class| class.fix().to_owned()),
            details: report.details,
            encrypted: report.tls.used,
            findings,
        }
    }
}

fn coarse(finding: &Finding) -> Option<TestFinding> {
    let code = finding.code?;
    (finding.severity != Severity::Info).then(|| TestFinding {
        severity: finding.severity,
        code,
        message: code.title(),
        fix: code.fix(),
    })
}

/// Why nothing was told.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// Not one of `DATABASE_TEST_ALLOWED_HOSTS`.
    #[error("is not among DATABASE_TEST_ALLOWED_HOSTS")]
    HostNotAllowed,
    /// No configured database stands for what was left out.
    #[error("is missing, and no database is configured that has one")]
    Missing(&'static str),
    /// A value that no URL could have.
    #[error("{1}")]
    Value(&'static str, UrlFault),
    /// Too many tests.
    #[error("too many tests")]
    Throttled {
        /// How long to wait.
        seconds: u64,
    },
    /// The database's.
    #[error(transparent)]
    Database(#[from] DbErr),
}

impl From<DatabaseError> for Problem {
    fn from(error: DatabaseError) -> Self {
        match &error {
            DatabaseError::HostNotAllowed => {
                Self::invalid("host", "host_not_allowed", error.to_string())
            }
            DatabaseError::Missing(field) => Self::invalid(*field, "required", error.to_string()),
            DatabaseError::Value(field, _) => {
                Self::invalid(*field, "invalid_value", error.to_string())
            }
            DatabaseError::Throttled { seconds } => {
                Self::plain(Code::TooManyAttempts).retry_after(*seconds)
            }
            DatabaseError::Database(_) => match error {
                DatabaseError::Database(source) => source.into(),
                other => Self::internal(other),
            },
        }
    }
}
