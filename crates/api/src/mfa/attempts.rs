//! How often a second factor may be tried.
//!
//! Everything is counted before anything is compared, each count in one statement that commits at
//! once: no crash, no new login, no second instance and no fresh code gives back a try. For a pending
//! login there are five tries; for a user and a kind of factor ten in an hour; and after a hundred in
//! a row without a right one the factor is locked until it is removed. With codes of six digits, three
//! of which are good at a time, a hundred tries succeed with a probability of 0.03 %, while ten an
//! hour for a year would with 23 % (NIST SP 800-63B-4, 3.2.2).

use chrono::{DateTime, TimeDelta, Utc};
use entity::{mfa_factor, mfa_verification};
use sea_orm::{
    ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter,
    sea_query::{CaseStatement, Expr, ExprTrait},
};
use uuid::Uuid;

use super::{
    model::{Factor, MfaError},
    repo::TRIES,
};
use crate::{
    login::throttle::{self, Key},
    state::AppState,
};

/// Tries of a user with a kind of factor within an hour.
const PER_HOUR: u32 = 10;
/// Codes that are mailed to a user within an hour.
const MAILS_PER_HOUR: u32 = 5;
/// Wrong codes in a row that lock a factor.
const LOCKED_AFTER: i32 = 100;
const HOUR: TimeDelta = TimeDelta::hours(1);

fn key(user_id: Uuid, factor: Factor) -> Key {
    Key::within(
        &format!("factor {} {user_id}", factor.as_str()),
        PER_HOUR,
        HOUR,
    )
}

/// Counts a try of a pending login or challenge.
///
/// # Errors
///
/// [`MfaError::InvalidToken`] if it has none left, or has ended.
pub async fn of_verification(state: &AppState, id: Uuid) -> Result<(), MfaError> {
    let attempts = mfa_verification::Column::Attempts;
    let counted = mfa_verification::Entity::update_many()
        .col_expr(attempts, Expr::col(attempts).add(1))
        .filter(mfa_verification::Column::Id.eq(id))
        .filter(attempts.lt(TRIES))
        .filter(mfa_verification::Column::ConsumedAt.is_null())
        .filter(mfa_verification::Column::ExpiresAt.gt(state.clock.now()))
        .exec(&state.db)
        .await?;
    if counted.rows_affected == 1 {
        Ok(())
    } else {
        Err(MfaError::InvalidToken)
    }
}

/// Counts a try of a user with a kind of factor, and with the factor itself where there is one.
///
/// # Errors
///
/// [`MfaError::Throttled`] after ten in an hour, [`MfaError::Locked`] after a hundred in a row.
pub async fn of_factor(
    state: &AppState,
    user_id: Uuid,
    factor: Factor,
    id: Option<Uuid>,
) -> Result<(), MfaError> {
    throttle::admit(state, &[key(user_id, factor)])
        .await?
        .map_err(|seconds| MfaError::Throttled { seconds })?;
    let Some(id) = id else {
        return Ok(());
    };
    let failed = mfa_factor::Column::FailedAttempts;
    let locked_at = CaseStatement::new()
        .case(
            Expr::col(failed).gte(LOCKED_AFTER - 1),
            Expr::value(state.clock.now()),
        )
        .finally(Expr::value(Option::<DateTime<Utc>>::None));
    let counted = mfa_factor::Entity::update_many()
        .col_expr(failed, Expr::col(failed).add(1))
        .col_expr(mfa_factor::Column::LockedAt, locked_at.into())
        .filter(mfa_factor::Column::Id.eq(id))
        .filter(mfa_factor::Column::LockedAt.is_null())
        .exec(&state.db)
        .await?;
    if counted.rows_affected == 1 {
        Ok(())
    } else {
        Err(MfaError::Locked)
    }
}

/// Gives back the one try of the hour that was right, in the transaction that it proves something
/// for. What others tried wrongly stays counted.
pub async fn give_back(
    txn: &impl ConnectionTrait,
    user_id: Uuid,
    factor: Factor,
) -> Result<(), DbErr> {
    throttle::give_back(txn, &key(user_id, factor)).await
}

/// Counts a code that is to be mailed.
///
/// # Errors
///
/// [`MfaError::Throttled`] after five in an hour.
pub async fn of_mail(state: &AppState, user_id: Uuid) -> Result<(), MfaError> {
    let key = Key::within(&format!("factor mail {user_id}"), MAILS_PER_HOUR, HOUR);
    throttle::admit(state, &[key])
        .await?
        .map_err(|seconds| MfaError::Throttled { seconds })
}
