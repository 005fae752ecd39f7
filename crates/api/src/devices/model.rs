//! What a trusted device looks like from outside.

use chrono::{DateTime, Utc};
use sea_orm::DbErr;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::agent::Agent;
use crate::{
    access::permit::{Action, Target},
    problem::{Code, Problem},
};

/// Reading the own trusted devices.
pub struct ReadOwn;
impl Action for ReadOwn {
    const NAME: &'static str = "self:sessions";
    const TARGET: Target = Target::Own;
}

/// Taking the trust from an own device. Needs no fresh proof: it opens nothing.
pub struct RevokeOwn;
impl Action for RevokeOwn {
    const NAME: &'static str = "self:sessions";
    const TARGET: Target = Target::Own;
}

/// A device that logs in without a second factor.
#[derive(Serialize, ToSchema)]
pub struct DeviceView {
    /// Its id.
    pub id: Uuid,
    /// What its owner called it, or else what it is.
    pub name: String,
    /// What it is, in words: `Firefox on Linux`.
    pub device: String,
    /// When it was trusted.
    pub trusted_at: DateTime<Utc>,
    /// Until when it is, unless a credential is changed before.
    pub trusted_until: DateTime<Utc>,
    /// When it last logged in without a second factor, or was trusted.
    pub last_seen_at: DateTime<Utc>,
    /// Where it was when it was trusted.
    pub ip: Option<String>,
}

impl From<entity::device_fingerprint::Model> for DeviceView {
    fn from(row: entity::device_fingerprint::Model) -> Self {
        let device = Agent::read(row.user_agent.as_deref()).to_string();
        Self {
            id: row.id,
            name: row.name.unwrap_or_else(|| device.clone()),
            device,
            trusted_at: row.first_seen_at,
            trusted_until: row.trusted_until.unwrap_or(row.first_seen_at),
            last_seen_at: row.last_seen_at,
            ip: row.ip.map(|ip| ip.ip().to_string()),
        }
    }
}

/// Why a device operation did not happen.
#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
    /// No such trusted device of this user.
    #[error("device not found")]
    NotFound,
    /// The database failed.
    #[error("database failure")]
    Database(#[from] DbErr),
}

impl From<DeviceError> for Problem {
    fn from(error: DeviceError) -> Self {
        match error {
            DeviceError::NotFound => Self::plain(Code::NotFound),
            DeviceError::Database(source) => source.into(),
        }
    }
}
