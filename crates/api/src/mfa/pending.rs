//! Logins that wait for a factor: the token that stands for one, and what it remembers.

use chrono::TimeDelta;
use entity::{mfa_verification, user};
use serde_json::json;

use super::{
    enrolment,
    model::{Factor, MfaError, Pending},
    recovery,
    repo::{self, NewVerification},
};
use crate::{
    access::actor::Principal,
    activity,
    audit::{self, Doer, Entry, Target},
    crypto::token::{Token, TokenKind},
    database::tx::Tx,
    http::origin::Origin,
    login::grant::Progress,
    state::AppState,
    users::{self, gate},
};

/// How long a login may wait, and a mailed code is good at most (ASVS 5.0, 6.5.5).
pub const TTL: TimeDelta = TimeDelta::minutes(10);

/// What a pending login waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// The proof of a factor.
    Login,
    /// A factor to be enrolled.
    Enrol,
}

impl Purpose {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Login => "login",
            Self::Enrol => "enrol",
        }
    }

    const fn status(self) -> &'static str {
        match self {
            Self::Login => "mfa_required",
            Self::Enrol => "mfa_enrolment_required",
        }
    }
}

/// Makes a login wait, in the transaction that found that it has to. `kinds` are the factors that
/// the user has.
///
/// # Errors
///
/// The database's.
pub async fn begin(
    tx: &Tx<'_>,
    state: &AppState,
    origin: &Origin,
    user: &user::Model,
    kinds: Vec<Factor>,
    progress: &Progress,
) -> Result<Pending, MfaError> {
    let purpose = if kinds.is_empty() {
        Purpose::Enrol
    } else {
        Purpose::Login
    };
    let mut factors = kinds;
    if purpose == Purpose::Enrol {
        factors.extend(enrolment::offered(state).map(Factor::from));
    } else if recovery::left(&**tx, user.id).await? > 0 {
        factors.push(Factor::RecoveryCode);
    }
    let token = Token::generate(TokenKind::Mfa);
    let now = state.clock.now();
    let new = NewVerification {
        user_id: user.id,
        purpose: purpose.as_str(),
        factor: None,
        token_hash: Some(token.hash()),
        session_id: None,
        data: json!(progress),
        expires_at: now + TTL,
    };
    repo::insert(&**tx, new, now).await?;
    let details = json!({ "amr": progress.amr });
    let (txn, clock) = (&**tx, &*state.clock);
    let status = purpose.status();
    activity::record(txn, clock, origin, user.id, None, status, details.clone()).await?;
    let entry = Entry {
        doer: Doer::Principal(Principal::user(user.id), None),
        action: match purpose {
            Purpose::Login => "session.mfa_required",
            Purpose::Enrol => "session.mfa_enrolment_required",
        },
        target: Target::global("user", user.id),
        details,
    };
    audit::record(txn, clock, origin, entry).await?;
    Ok(Pending {
        status,
        mfa_token: token.expose().to_owned(),
        factors,
        expires_in: TTL.num_seconds(),
    })
}

/// The pending login that a token stands for, and whose it is.
///
/// # Errors
///
/// [`MfaError::InvalidToken`], and [`MfaError::Refused`] if its user may not come in any more.
pub async fn find(
    state: &AppState,
    purpose: Purpose,
    text: &str,
) -> Result<(mfa_verification::Model, user::Model), MfaError> {
    let token = Token::parse(TokenKind::Mfa, text).ok_or(MfaError::InvalidToken)?;
    let now = state.clock.now();
    let row = repo::by_token(&state.db, purpose.as_str(), &token.hash(), now)
        .await?
        .ok_or(MfaError::InvalidToken)?;
    let user = users::service::read(state, row.user_id).await?;
    gate::admit(&user)?;
    Ok((row, user))
}

/// How far the login has come.
///
/// # Errors
///
/// [`MfaError::Unusable`] if an older version of the program wrote it.
pub fn progress(row: &mfa_verification::Model) -> Result<Progress, MfaError> {
    serde_json::from_value(row.data.clone()).map_err(|error| MfaError::Unusable(error.into()))
}

/// Seconds and started minutes until a row expires.
pub fn remaining(state: &AppState, row: &mfa_verification::Model) -> (i64, u32) {
    let seconds = (row.expires_at - state.clock.now()).num_seconds().max(0);
    (seconds, u32::try_from(seconds).unwrap_or(0).div_ceil(60))
}
