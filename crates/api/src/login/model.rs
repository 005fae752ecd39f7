//! What a login looks like from outside.

use sea_orm::DbErr;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    crypto::password::HashingError,
    mfa::model::{MfaError, Pending},
    problem::{Code, Problem},
    sessions::model::{SessionError, TokenAnswer},
    users::{gate::Refusal, model::UserError},
};

/// Body of `POST /api/auth/login`.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Login {
    /// An e-mail address or a username.
    #[schema(max_length = 254)]
    pub login: String,
    /// The password.
    #[schema(value_type = String, format = "password", max_length = 1024)]
    pub password: SecretString,
    /// Of a device that is trusted: takes the place of the second factor.
    #[schema(max_length = 200)]
    pub device_token: Option<String>,
    /// Keep the session for `SESSION_REMEMBER_TTL`.
    #[serde(default)]
    pub remember: bool,
    /// Put the session into a cookie and no token into the body.
    #[serde(default)]
    pub cookie: bool,
}

/// Body of `POST /api/auth/password/change`.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangePassword {
    /// From the answer to the login.
    #[schema(max_length = 200)]
    pub password_change_token: String,
    /// The password from now on.
    #[schema(value_type = String, format = "password", max_length = 1024)]
    pub new_password: SecretString,
}

/// What a login with the right password brings.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
pub enum LoginAnswer {
    /// A session.
    Authenticated(Box<TokenAnswer>),
    /// A session only after the password was changed.
    PasswordChangeRequired(PasswordChangeRequired),
    /// A session only after a second factor was proven, or enrolled.
    Pending(Pending),
}

/// The password is right but has to be changed first.
#[derive(Serialize, ToSchema)]
pub struct PasswordChangeRequired {
    /// Always `password_change_required`.
    #[schema(example = "password_change_required")]
    pub status: &'static str,
    /// For `POST /api/auth/password/change`, once, within ten minutes.
    pub password_change_token: String,
}

/// Why a login did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum LoginError {
    /// Wrong login or password; which of the two is not said.
    #[error("wrong login or password")]
    InvalidCredentials,
    /// The password change token is unknown, used or too old.
    #[error("the token is not valid")]
    InvalidToken,
    /// The password was right, but the user may not come in.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// Too many attempts.
    #[error("too many attempts")]
    Throttled {
        /// Seconds to wait.
        seconds: u64,
    },
    /// Too many logins at once.
    #[error("too many logins at once")]
    Busy,
    /// The new password breaks a rule, or the like.
    #[error(transparent)]
    User(#[from] UserError),
    /// The second factor.
    #[error(transparent)]
    Mfa(#[from] MfaError),
    /// The session could not be opened.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// Too many hashes at once.
    #[error(transparent)]
    Hashing(#[from] HashingError),
    /// The database failed.
    #[error("database failure")]
    Database(#[from] DbErr),
}

impl From<LoginError> for Problem {
    fn from(error: LoginError) -> Self {
        match error {
            LoginError::InvalidCredentials => Self::plain(Code::InvalidCredentials),
            LoginError::InvalidToken => Self::plain(Code::InvalidToken),
            LoginError::Refused(refusal) => refusal.into(),
            LoginError::Throttled { seconds } => {
                Self::plain(Code::TooManyAttempts).retry_after(seconds)
            }
            LoginError::Busy => Self::busy(),
            LoginError::User(error) => error.into(),
            LoginError::Mfa(error) => error.into(),
            LoginError::Session(error) => error.into(),
            LoginError::Hashing(error) => error.into(),
            LoginError::Database(source) => source.into(),
        }
    }
}
