//! What proofs and changes of an address look like from outside.

use sea_orm::DbErr;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    http::text::Email,
    problem::{Code, Problem, constraint},
    users::erasure::LAST_ADMINISTRATOR,
};

/// Body of `POST /api/auth/email/verify` and `POST /api/auth/email/cancel`.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EmailToken {
    /// From the link in the mail.
    #[schema(max_length = 200)]
    pub token: String,
}

/// Body of `POST /api/auth/email/resend`.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Resend {
    /// The address that is to be proven.
    pub email: Email,
}

/// What a proof of an address leads to.
#[derive(Serialize, ToSchema)]
pub struct Verified {
    /// The user's status now: `active` or `pending_approval`.
    #[schema(example = "active")]
    pub status: String,
}

/// What became of a change of address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Cancellation {
    /// It had not happened, and will not.
    Cancelled,
    /// It had happened: the old address is back, and everything is closed until a new password
    /// is set by mail.
    Undone,
}

/// Answer of `POST /api/auth/email/cancel`.
#[derive(Serialize, ToSchema)]
pub struct Cancelled {
    /// `cancelled` or `undone`.
    pub status: Cancellation,
}

/// Why an address was not proven or changed.
#[derive(Debug, thiserror::Error)]
pub enum EmailError {
    /// The token is unknown, used or too old.
    #[error("the token is not valid")]
    InvalidToken,
    /// Too many requests from one network address.
    #[error("too many attempts")]
    Throttled {
        /// Seconds to wait.
        seconds: u64,
    },
    /// The database failed.
    #[error("database failure")]
    Database(#[from] DbErr),
}

impl From<EmailError> for Problem {
    fn from(error: EmailError) -> Self {
        match error {
            EmailError::InvalidToken => Self::plain(Code::InvalidToken),
            EmailError::Throttled { seconds } => {
                Self::plain(Code::TooManyAttempts).retry_after(seconds)
            }
            // Undoing would close the only account that can look after the others.
            EmailError::Database(source) if constraint(&source) == Some(LAST_ADMINISTRATOR) => {
                Self::plain(Code::LastAdministrator)
            }
            EmailError::Database(source) => source.into(),
        }
    }
}
