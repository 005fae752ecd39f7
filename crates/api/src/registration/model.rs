//! What a registration looks like from outside.

use sea_orm::DbErr;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    http::text::{DisplayName, Email, Username},
    problem::{Code, Problem},
    users::model::UserError,
};

/// Body of `POST /api/register`.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Register {
    /// Where mail reaches the person.
    pub email: Email,
    /// For logging in.
    pub username: Option<Username>,
    /// At least `PASSWORD_MIN_LENGTH` characters, and not easy to guess.
    #[schema(value_type = String, format = "password", max_length = 1024)]
    pub password: SecretString,
    /// What the person is called on the screen.
    pub display_name: Option<DisplayName>,
    /// From the mail that invited them.
    #[schema(max_length = 200)]
    pub invitation_token: Option<String>,
}

/// What became of a registration; the same whether or not the address was known before.
#[derive(Serialize, ToSchema)]
pub struct Registered {
    /// `pending_verification`, `pending_approval` or `active`.
    #[schema(example = "pending_verification")]
    pub status: &'static str,
}

/// Why nobody was registered.
#[derive(Debug, thiserror::Error)]
pub enum RegistrationError {
    /// Nobody may register, or not with this address.
    #[error("registration is closed")]
    Closed,
    /// The invitation is missing, used, too old or for another address.
    #[error("an invitation is needed")]
    InvitationRequired,
    /// Another user has this username; told to the invited only.
    #[error("the username is in use")]
    UsernameTaken,
    /// The password breaks a rule.
    #[error(transparent)]
    User(#[from] UserError),
    /// Too many registrations at once.
    #[error("too many registrations at once")]
    Busy,
    /// Too many registrations from one address.
    #[error("too many attempts")]
    Throttled {
        /// Seconds to wait.
        seconds: u64,
    },
    /// The database failed.
    #[error("database failure")]
    Database(#[from] DbErr),
}

impl From<RegistrationError> for Problem {
    fn from(error: RegistrationError) -> Self {
        match error {
            RegistrationError::Closed => Self::plain(Code::RegistrationClosed),
            RegistrationError::InvitationRequired => Self::plain(Code::InvitationRequired),
            RegistrationError::UsernameTaken => Self::plain(Code::UsernameTaken),
            RegistrationError::User(UserError::Password(fault)) => {
                Self::invalid("password", fault.code(), fault.to_string())
            }
            RegistrationError::User(error) => error.into(),
            RegistrationError::Busy => Self::busy(),
            RegistrationError::Throttled { seconds } => {
                Self::plain(Code::TooManyAttempts).retry_after(seconds)
            }
            RegistrationError::Database(source) => source.into(),
        }
    }
}
