//! What getting an account back looks like from outside.

use sea_orm::DbErr;
use secrecy::SecretString;
use serde::Deserialize;
use utoipa::ToSchema;

use crate::{
    crypto::password::HashingError,
    http::text::Email,
    problem::{Code, Problem},
    users::model::UserError,
};

/// Body of `POST /api/auth/password/forgot`.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Forgot {
    /// The address of the account.
    pub email: Email,
}

/// Body of `POST /api/auth/password/reset`.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Reset {
    /// From the link in the mail.
    #[schema(max_length = 200)]
    pub token: String,
    /// The password from now on.
    #[schema(value_type = String, format = "password", max_length = 1024)]
    pub new_password: SecretString,
}

/// Body of `POST /api/auth/lockdown`.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Lockdown {
    /// From the link in the mail.
    #[schema(max_length = 200)]
    pub token: String,
}

/// Why an account was not given back.
#[derive(Debug, thiserror::Error)]
pub enum RecoveryError {
    /// The token is unknown, used or too old.
    #[error("the token is not valid")]
    InvalidToken,
    /// Too many requests from one network address.
    #[error("too many attempts")]
    Throttled {
        /// Seconds to wait.
        seconds: u64,
    },
    /// Too many hashes at once.
    #[error("too many attempts at once")]
    Busy,
    /// The new password breaks a rule.
    #[error(transparent)]
    User(#[from] UserError),
    /// The database failed.
    #[error("database failure")]
    Database(#[from] DbErr),
}

impl From<HashingError> for RecoveryError {
    fn from(error: HashingError) -> Self {
        Self::User(error.into())
    }
}

impl From<RecoveryError> for Problem {
    fn from(error: RecoveryError) -> Self {
        match error {
            RecoveryError::InvalidToken => Self::plain(Code::InvalidToken),
            RecoveryError::Throttled { seconds } => {
                Self::plain(Code::TooManyAttempts).retry_after(seconds)
            }
            RecoveryError::Busy => Self::busy(),
            RecoveryError::User(error) => error.into(),
            RecoveryError::Database(source) => source.into(),
        }
    }
}
