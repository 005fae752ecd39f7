//! What health looks like from outside: no secrets, no names of hosts.

use serde::Serialize;
use utoipa::ToSchema;

/// How one part is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// As it should be.
    Ok,
    /// Works, but someone should look.
    Degraded,
    /// Does not work.
    Down,
}

/// One part of the service.
#[derive(Serialize, ToSchema)]
pub struct Check {
    /// How it is.
    pub status: Status,
    /// How long the check took.
    pub milliseconds: f64,
    /// What is the matter, or which kind of part it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<&'static str>,
}

/// All parts.
#[derive(Serialize, ToSchema)]
pub struct Checks {
    /// Whether PostgreSQL answers.
    pub database: Check,
    /// Whether the policy answers, and rightly.
    pub policy: Check,
    /// Whether the schema is the one that this program expects.
    pub migrations: Check,
    /// Whether mails can leave.
    pub mail: Check,
}

/// How the service is.
#[derive(Serialize, ToSchema)]
pub struct Health {
    /// The worst of the parts.
    pub status: Status,
    /// The program's version.
    pub version: &'static str,
    /// The parts.
    pub checks: Checks,
}

/// Whether the service may get traffic.
#[derive(Serialize, ToSchema)]
pub struct Readiness {
    /// `ok` or `down`.
    pub status: Status,
    /// What is missing, if anything.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub waiting_for: Vec<&'static str>,
}
