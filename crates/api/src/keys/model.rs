//! What a signing key looks like from outside.

use chrono::{DateTime, Utc};
use sea_orm::DbErr;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    access::permit::{Action, Target},
    crypto::keys::KeysError,
    http::idempotency::OnceError,
    problem::Problem,
};

/// Seeing and rotating signing keys.
pub struct ManageKeys;
impl Action for ManageKeys {
    const NAME: &'static str = "keys:manage";
    const TARGET: Target = Target::System;
}

/// A key that signs access tokens, will, or did.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct KeyView {
    /// Its id, as tokens and the JWK set have it.
    pub kid: String,
    /// `EdDSA`, `ES256` or `RS256`.
    pub algorithm: String,
    /// `next`, `active` or `retired`.
    pub state: String,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// Since when it signs.
    pub activated_at: Option<DateTime<Utc>>,
    /// Since when it does not sign any more.
    pub retired_at: Option<DateTime<Utc>>,
    /// Until when its tokens are accepted.
    pub expires_at: Option<DateTime<Utc>>,
}

impl From<entity::signing_key::Model> for KeyView {
    fn from(row: entity::signing_key::Model) -> Self {
        Self {
            kid: row.kid,
            algorithm: row.algorithm,
            state: row.state,
            created_at: row.created_at,
            activated_at: row.activated_at,
            retired_at: row.retired_at,
            expires_at: row.expires_at,
        }
    }
}

/// Why keys were not listed or rotated.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The keys cannot be read or made.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// The idempotency key stood in the way.
    #[error(transparent)]
    Once(#[from] OnceError),
    /// The database failed.
    #[error("database failure")]
    Database(#[from] DbErr),
}

impl From<KeyError> for Problem {
    fn from(error: KeyError) -> Self {
        match error {
            KeyError::Keys(KeysError::Database(source)) | KeyError::Database(source) => {
                source.into()
            }
            KeyError::Keys(source) => Self::internal(source),
            KeyError::Once(source) => source.into(),
        }
    }
}
