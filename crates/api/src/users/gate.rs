//! The one gate for all ways in: may this user have a session now?

use entity::user;

use crate::problem::{Code, Problem};

/// Why a user whose identity is proven may not come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Waits for an administrator or for the proof of the address.
    #[error("the account waits for approval")]
    Pending,
    /// Was closed by an administrator.
    #[error("the account is closed")]
    Closed,
    /// Its owner said "this was not me", and has set no new password since.
    #[error("the account waits for a new password")]
    LockedDown,
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        Self::plain(match refusal {
            Refusal::Pending => Code::AccountPending,
            Refusal::Closed => Code::AccountDisabled,
            Refusal::LockedDown => Code::PasswordResetRequired,
        })
    }
}

/// Whether `user` may come in. Every grant of a session asks here, after the proof of identity.
///
/// # Errors
///
/// The [`Refusal`] that its status means.
pub fn admit(user: &user::Model) -> Result<(), Refusal> {
    match user.status.as_str() {
        "active" if user.locked_down_at.is_some() => Err(Refusal::LockedDown),
        "active" => Ok(()),
        "pending_verification" | "pending_approval" => Err(Refusal::Pending),
        _ => Err(Refusal::Closed),
    }
}
