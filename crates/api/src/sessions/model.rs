//! What a session looks like from outside.

use chrono::{DateTime, Utc};
use sea_orm::DbErr;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{
    access::permit::{Action, Target},
    devices::agent::Agent,
    problem::{Code, Problem},
    users::model::UserView,
};

/// Reading the own sessions.
pub struct ReadOwn;
impl Action for ReadOwn {
    const NAME: &'static str = "self:sessions";
    const TARGET: Target = Target::Own;
}

/// Ending own sessions.
pub struct EndOwn;
impl Action for EndOwn {
    const NAME: &'static str = "self:sessions";
    const TARGET: Target = Target::Own;
}

/// Body of `POST /api/auth/refresh`.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Refresh {
    /// The newest refresh token of the session.
    #[schema(max_length = 200)]
    pub refresh_token: String,
}

/// What a login or a refresh brings.
#[derive(Serialize, ToSchema)]
pub struct TokenAnswer {
    /// Always `authenticated`.
    #[schema(example = "authenticated")]
    pub status: &'static str,
    /// A JWT (RFC 9068) for `Authorization: Bearer`; absent when the session is in a cookie.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub access_token: Option<String>,
    /// Always `Bearer`.
    #[schema(example = "Bearer")]
    pub token_type: &'static str,
    /// Seconds until the access token expires.
    pub expires_in: i64,
    /// For `POST /api/auth/refresh`, once; absent when the session is in a cookie.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refresh_token: Option<String>,
    /// Seconds until the session ends if it is not refreshed.
    pub refresh_expires_in: i64,
    /// The session.
    pub session_id: Uuid,
    /// For `device_token` of later logins, if the device is to be trusted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device_token: Option<String>,
    /// With a first factor that the login demanded, and only now: ten codes to keep on paper.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recovery_codes: Option<Vec<String>>,
    /// Who logged in.
    pub user: UserView,
}

/// One of the own sessions.
#[derive(Serialize, ToSchema)]
pub struct SessionView {
    /// Its id.
    pub id: Uuid,
    /// When the login was.
    pub created_at: DateTime<Utc>,
    /// When it was last refreshed.
    pub last_used_at: DateTime<Utc>,
    /// When it ends at the latest.
    pub expires_at: DateTime<Utc>,
    /// How its user proved who they are (RFC 8176).
    pub amr: Vec<String>,
    /// Where the login came from: a network address, of which no place is looked up.
    pub ip: Option<String>,
    /// What the login came from, in words: `Firefox on Linux`.
    pub device: String,
    /// The same as it was sent.
    pub user_agent: Option<String>,
    /// Whether this is the session that asks.
    pub current: bool,
}

impl SessionView {
    /// A session as the session `current` sees it.
    pub fn of(row: entity::session::Model, current: Option<Uuid>) -> Self {
        Self {
            id: row.id,
            created_at: row.created_at,
            last_used_at: row.last_used_at,
            expires_at: row.expires_at.min(row.idle_expires_at),
            amr: row.amr,
            ip: row.ip.map(|ip| ip.ip().to_string()),
            device: Agent::read(row.user_agent.as_deref()).to_string(),
            user_agent: row.user_agent,
            current: Some(row.id) == current,
        }
    }
}

/// How many sessions were ended.
#[derive(Serialize, ToSchema)]
pub struct Ended {
    /// Sessions that were live until now.
    pub ended: u64,
}

/// The token for `X-CSRF-Token`.
#[derive(Serialize, ToSchema)]
pub struct CsrfToken {
    /// Good as long as the session.
    pub csrf_token: String,
}

/// Why a session operation did not happen.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// No such session of this user, or it has ended.
    #[error("session not found")]
    NotFound,
    /// The refresh token is unknown, or its session has ended.
    #[error("the refresh token is not valid")]
    InvalidToken,
    /// The refresh token was used before; its session has been ended.
    #[error("the refresh token was used before")]
    Reused,
    /// A token could not be signed.
    #[error("signing failed")]
    Signing(#[source] anyhow::Error),
    /// The database failed.
    #[error("database failure")]
    Database(#[from] DbErr),
}

impl From<SessionError> for Problem {
    fn from(error: SessionError) -> Self {
        match error {
            SessionError::NotFound => Self::plain(Code::NotFound),
            SessionError::InvalidToken => Self::plain(Code::InvalidToken),
            SessionError::Reused => Self::plain(Code::RefreshTokenReused),
            SessionError::Signing(source) => Self::internal(source),
            SessionError::Database(source) => source.into(),
        }
    }
}
