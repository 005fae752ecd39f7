//! What an API key looks like from outside.

use chrono::{DateTime, Utc};
use entity::api_key;
use sea_orm::DbErr;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{
    access::permit::{Action, Target},
    http::{idempotency::OnceError, patch::stated, text::Name},
    problem::{Code, Problem},
};

/// Keys that one owner can have at a time.
pub const MOST: u64 = 50;
/// Permissions that one key can have.
const MOST_PERMISSIONS: usize = 100;

/// Reading what keys one has.
pub struct ReadOwn;
impl Action for ReadOwn {
    const NAME: &'static str = "self:keys";
    const TARGET: Target = Target::Own;
}

/// Making and revoking own keys.
pub struct ManageOwn;
impl Action for ManageOwn {
    const NAME: &'static str = "self:keys";
    const TARGET: Target = Target::Own;
    const STEP_UP: bool = true;
}

/// Body of the calls that make a key.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewApiKey {
    /// What it is for.
    pub name: Name,
    /// Good until, and not at, this time; as long as `API_KEY_MAX_TTL` allows if left out.
    #[serde(default, deserialize_with = "stated")]
    #[schema(nullable = false)]
    pub expires_at: Option<DateTime<Utc>>,
    /// What it may do at most.
    pub permissions: Permissions,
}

/// Permissions of a key: 1 to 100 of `type:verb`, `type:*`, `*:verb` or `*`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(try_from = "Vec<String>")]
#[schema(value_type = Vec<String>, min_items = 1, max_items = 100, example = json!(["project:read"]))]
pub struct Permissions(pub Vec<String>);

impl TryFrom<Vec<String>> for Permissions {
    type Error = String;

    fn try_from(mut list: Vec<String>) -> Result<Self, String> {
        if !(1..=MOST_PERMISSIONS).contains(&list.len()) {
            return Err(format!("must have 1 to {MOST_PERMISSIONS} items"));
        }
        if let Some(wrong) = list.iter().find(|text| !crate::policy::is_permission(text)) {
            let start: String = wrong.chars().take(80).collect();
            return Err(format!(
                "{start:?} is not a permission: `type:verb`, `type:*`, `*:verb` or `*`"
            ));
        }
        list.sort_unstable();
        list.dedup();
        Ok(Self(list))
    }
}

/// A key, without its secret.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = ApiKey)]
pub struct ApiKeyView {
    /// Its id.
    pub id: Uuid,
    /// What it is for.
    pub name: String,
    /// How its text begins, to tell keys apart.
    #[schema(example = "gp_3vX9kQ")]
    pub prefix: String,
    /// What it may do at most; never more than its owner may at the time.
    pub permissions: Vec<String>,
    /// Good until, and not at, this time.
    pub expires_at: Option<DateTime<Utc>>,
    /// When it was last used, to the minute; `null` if never.
    pub last_used_at: Option<DateTime<Utc>>,
    /// From which address.
    pub last_used_ip: Option<String>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
}

impl From<api_key::Model> for ApiKeyView {
    fn from(row: api_key::Model) -> Self {
        Self {
            id: row.id,
            name: row.name,
            prefix: row.prefix,
            permissions: row.permissions,
            expires_at: row.expires_at,
            last_used_at: row.last_used_at,
            last_used_ip: row.last_used_ip.map(|ip| ip.ip().to_string()),
            created_at: row.created_at,
        }
    }
}

/// A key that was just made.
#[derive(Serialize, ToSchema)]
#[schema(as = CreatedApiKey)]
pub struct MadeKey {
    /// What later lists show.
    #[serde(flatten)]
    pub view: ApiKeyView,
    /// The key itself. It is shown here and never again.
    #[schema(example = "gp_3vX9kQb1cO8m2uJv0yXh6sR4tWzK5nLpQeAiUgYdFxM")]
    pub key: String,
}

/// Why a key was not made or revoked.
#[derive(Debug, thiserror::Error)]
pub enum ApiKeyError {
    /// There is no such key, or it was revoked.
    #[error("no such key")]
    NotFound,
    /// A permission that nothing asks for, or that keys cannot have.
    #[error("{permission:?} {why}")]
    Permission {
        /// Which.
        permission: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// Whoever makes the key does not hold what it should carry.
    #[error("You do not hold what the key should carry: {}.", .0.join(", "))]
    Lacking(Vec<String>),
    /// The key would be good for too long, or not at all.
    #[error("must be in the future, and within {days} days")]
    Expiry {
        /// `API_KEY_MAX_TTL` in days.
        days: i64,
    },
    /// The owner has as many keys as one can have.
    #[error("There are {MOST} keys already. Revoke one first.")]
    TooMany,
    /// What was kept for the idempotency key cannot be opened: `SECRET_KEY` was changed since.
    #[error("the answer that was kept cannot be opened")]
    Sealed(#[from] crate::crypto::seal::UnsealError),
    /// The idempotency key stood in the way.
    #[error(transparent)]
    Once(#[from] OnceError),
    /// The database failed.
    #[error("database failure")]
    Database(#[from] DbErr),
}

impl From<ApiKeyError> for Problem {
    fn from(error: ApiKeyError) -> Self {
        let (field, code) = match error {
            ApiKeyError::Permission { .. } => ("permissions", "invalid_value"),
            ApiKeyError::Expiry { .. } => ("expires_at", "out_of_range"),
            ApiKeyError::NotFound => return Self::plain(Code::NotFound),
            ApiKeyError::Lacking(_) => return Self::new(Code::Forbidden, error),
            ApiKeyError::TooMany => return Self::new(Code::Conflict, error),
            ApiKeyError::Sealed(source) => return Self::internal(source),
            ApiKeyError::Once(source) => return source.into(),
            ApiKeyError::Database(source) => return source.into(),
        };
        Self::invalid(field, code, error.to_string())
    }
}
