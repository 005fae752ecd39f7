//! Factors of the own account. Transactions begin and end here.

use entity::{mfa_factor, mfa_verification, user};
use sea_orm::{ColumnTrait, DbErr, EntityTrait, QueryFilter};
use serde_json::json;
use uuid::Uuid;

use super::{
    attempts,
    enrolment::{self, Enroller},
    login,
    model::{
        Begun, ChangeOwn, ConfirmOwn, Confirmed, Enrollable, Factor, FactorView, MfaError,
        OwnFactors, ReadOwn,
    },
    notices, pending,
    proof::{self, Attempt},
    recovery,
    repo::{self, NewVerification},
    step_up,
    webauthn::model::CredentialKind,
};
use crate::{
    access::permit::Permit,
    activity,
    audit::{self, Entry, Target},
    database::tx::Tx,
    login::grant,
    mail::Message,
    recovery::lockdown,
    sessions,
    state::AppState,
    users::{self, credentials},
};

/// What the caller has enrolled, and what is asked of them.
///
/// # Errors
///
/// The database's.
pub async fn own(state: &AppState, permit: &Permit<ReadOwn>) -> Result<OwnFactors, MfaError> {
    let tx = Tx::begin(state, &sessions::service::scope(permit.id())).await?;
    let factors = repo::enrolled(&*tx, permit.id()).await?;
    let recovery_codes_left = recovery::left(&*tx, permit.id()).await?;
    let required = grant::must_have_factor(&tx, state, permit.id()).await?;
    tx.commit().await?;
    let kinds = factors.iter().filter_map(|row| row.kind.parse().ok());
    let mut step_up = vec![kinds.max().unwrap_or(Factor::Password)];
    if recovery_codes_left > 0 {
        step_up.push(Factor::RecoveryCode);
    }
    Ok(OwnFactors {
        factors: factors.into_iter().map(FactorView::from).collect(),
        recovery_codes_left,
        required,
        step_up,
    })
}

/// Begins a factor of the caller.
///
/// # Errors
///
/// See [`MfaError`].
pub async fn begin(
    state: &AppState,
    permit: &Permit<ChangeOwn>,
    factor: Enrollable,
    label: Option<&str>,
) -> Result<Begun, MfaError> {
    let user = users::service::read(state, permit.id()).await?;
    let row = open(state, permit, "enrol", factor.into()).await?;
    let kind = CredentialKind::default();
    enrolment::begin(state, &user, factor, kind, label, &row).await
}

/// A challenge of the caller's session, in the place of the one before.
pub(super) async fn open<A>(
    state: &AppState,
    permit: &Permit<A>,
    purpose: &'static str,
    factor: Factor,
) -> Result<mfa_verification::Model, MfaError> {
    let session = permit.actor().session_id().ok_or(MfaError::NoSession)?;
    let now = state.clock.now();
    let tx = Tx::begin(state, &sessions::service::scope(permit.id())).await?;
    repo::void_of_session(&*tx, purpose, session, now).await?;
    let new = NewVerification {
        user_id: permit.id(),
        purpose,
        factor: Some(factor),
        token_hash: None,
        session_id: Some(session),
        data: json!({}),
        expires_at: now + pending::TTL,
    };
    let id = repo::insert(&*tx, new, now).await?;
    let row = mfa_verification::Entity::find_by_id(id).one(&*tx).await?;
    tx.commit().await?;
    row.ok_or(MfaError::Changed)
}

/// Confirms a factor of the caller with a code of it. The session has proven it then.
///
/// # Errors
///
/// See [`MfaError`].
pub async fn confirm(
    state: &AppState,
    permit: &Permit<ChangeOwn>,
    factor: Enrollable,
    body: ConfirmOwn,
) -> Result<Confirmed, MfaError> {
    let factor = Factor::from(factor);
    let session = permit.actor().session_id().ok_or(MfaError::NoSession)?;
    let user = users::service::read(state, permit.id()).await?;
    let now = state.clock.now();
    let row = repo::by_session(&state.db, "enrol", session, factor, now)
        .await?
        .ok_or(MfaError::InvalidCode)?;
    attempts::of_verification(state, row.id).await?;
    let attempt = Attempt {
        factor,
        code: Some(&body.code),
        credential: None,
    };
    let checked = proof::check_begun(state, &user, Some(&row), &attempt).await;
    if matches!(checked, Err(MfaError::InvalidCode)) {
        login::note_failure(state, permit.origin(), &user, factor).await?;
    }
    let proof = checked?;
    let codes = enrolment::codes_for_first(state, user.id).await?;
    let mut tx = Tx::begin(state, &sessions::service::scope(user.id)).await?;
    let user = locked(&tx, user.id).await?;
    if !repo::consume(&*tx, row.id, now).await? {
        return Err(MfaError::InvalidCode);
    }
    let id = proof.confirm(&*tx, state, user.id).await?;
    let enroller = Enroller {
        doer: permit.into(),
        origin: permit.origin(),
        session: Some(session),
    };
    let recovery_codes =
        enrolment::complete(&mut tx, state, &enroller, &user, factor, codes).await?;
    step_up::raise(&mut tx, state, session, factor, factor.amr()).await?;
    let row = mfa_factor::Entity::find_by_id(id).one(&*tx).await?;
    let factor = row.map(FactorView::from).ok_or(MfaError::Changed)?;
    tx.commit().await?;
    state.mail.wake();
    Ok(Confirmed {
        factor,
        recovery_codes,
    })
}

/// Ten fresh recovery codes in the place of those before.
///
/// # Errors
///
/// [`MfaError::NoFactor`] if there is nothing that they could stand in for.
pub async fn renew_codes(
    state: &AppState,
    permit: &Permit<ChangeOwn>,
) -> Result<Vec<String>, MfaError> {
    let set = recovery::draw(state).await?;
    let mut tx = Tx::begin(state, &sessions::service::scope(permit.id())).await?;
    let user = locked(&tx, permit.id()).await?;
    if repo::kinds(&*tx, user.id).await?.is_empty() {
        return Err(MfaError::NoFactor);
    }
    let texts = recovery::replace(&*tx, state, user.id, set).await?;
    let change = Change {
        reason: "recovery_codes_renewed",
        action: "user.recovery_codes_renewed",
        message: |lockdown| Message::FactorAdded {
            factor: Factor::RecoveryCode.title().to_owned(),
            lockdown,
        },
        details: json!({}),
    };
    settle(&mut tx, state, permit, &user, change).await?;
    tx.commit().await?;
    state.mail.wake();
    Ok(texts)
}

/// Removes a factor of the caller. Recovery codes go with the last one.
///
/// # Errors
///
/// [`MfaError::NotFound`], and [`MfaError::LastFactor`] for the last one of someone who must have one.
pub async fn remove(
    state: &AppState,
    permit: &Permit<ChangeOwn>,
    id: Uuid,
) -> Result<(), MfaError> {
    let mut tx = Tx::begin(state, &sessions::service::scope(permit.id())).await?;
    let user = locked(&tx, permit.id()).await?;
    let row = mfa_factor::Entity::find_by_id(id)
        .filter(mfa_factor::Column::UserId.eq(user.id))
        .filter(mfa_factor::Column::ConfirmedAt.is_not_null())
        .one(&*tx)
        .await?
        .ok_or(MfaError::NotFound)?;
    let is_last = repo::enrolled(&*tx, user.id).await?.len() == 1;
    if is_last && grant::must_have_factor(&tx, state, user.id).await? {
        return Err(MfaError::LastFactor);
    }
    mfa_factor::Entity::delete_by_id(id).exec(&*tx).await?;
    if is_last {
        recovery::remove(&*tx, user.id).await?;
    }
    let factor: Factor = row.kind.parse().unwrap_or(Factor::Webauthn);
    let change = Change {
        reason: "factor_removed",
        action: "user.factor_removed",
        message: move |lockdown| Message::FactorRemoved {
            factor: factor.title().to_owned(),
            lockdown,
        },
        details: json!({ "factor": row.kind, "id": id }),
    };
    settle(&mut tx, state, permit, &user, change).await?;
    tx.commit().await?;
    state.mail.wake();
    Ok(())
}

/// A change of the caller's factors, as it is told and written down.
struct Change<M> {
    reason: &'static str,
    action: &'static str,
    message: M,
    details: serde_json::Value,
}

/// Ends everything older, mails, and writes entries.
async fn settle<M: FnOnce(String) -> Message>(
    tx: &mut Tx<'_>,
    state: &AppState,
    permit: &Permit<ChangeOwn>,
    user: &user::Model,
    change: Change<M>,
) -> Result<(), MfaError> {
    let session = permit.actor().session_id();
    credentials::changed(tx, state, user.id, session, change.reason).await?;
    let lockdown = lockdown::link(tx, state, user.id).await?;
    notices::send(tx, state, user, (change.message)(lockdown)).await?;
    let (clock, origin, details) = (&*state.clock, permit.origin(), change.details);
    let kind = change.reason;
    activity::record(
        &**tx,
        clock,
        origin,
        user.id,
        session,
        kind,
        details.clone(),
    )
    .await?;
    let entry = Entry {
        doer: permit.into(),
        action: change.action,
        target: Target::global("user", user.id),
        details,
    };
    Ok(audit::record(&**tx, clock, origin, entry).await?)
}

pub(super) async fn locked(tx: &Tx<'_>, user_id: Uuid) -> Result<user::Model, MfaError> {
    users::repo::find_for_update(&**tx, user_id)
        .await?
        .ok_or(MfaError::NotFound)
}

/// Takes out all factors and recovery codes of a user, in the transaction of what is the reason.
/// Returns how many factors there were.
///
/// # Errors
///
/// The database's.
pub async fn remove_all(tx: &Tx<'_>, user_id: Uuid) -> Result<u64, DbErr> {
    let removed = mfa_factor::Entity::delete_many()
        .filter(mfa_factor::Column::UserId.eq(user_id))
        .exec(&**tx)
        .await?;
    recovery::remove(&**tx, user_id).await?;
    Ok(removed.rows_affected)
}
