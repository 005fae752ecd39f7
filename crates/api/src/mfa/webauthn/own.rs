//! Adding passkeys and security keys to the own account. Transactions begin and end here.

use super::{
    model::{CreationOptions, CredentialKind, FinishEnrolment},
    service,
};
use crate::{
    access::permit::Permit,
    database::tx::Tx,
    mfa::{
        enrolment::{self, Enroller},
        model::{ChangeOwn, Confirmed, Factor, FactorView, MfaError},
        step_up,
    },
    sessions,
    state::AppState,
    users,
};

/// Begins one.
///
/// # Errors
///
/// [`MfaError::NoSession`], [`super::WebauthnFault::TooMany`], [`super::WebauthnFault::Unavailable`].
pub async fn begin(
    state: &AppState,
    permit: &Permit<ChangeOwn>,
    kind: CredentialKind,
) -> Result<CreationOptions, MfaError> {
    let session = permit.actor().session_id().ok_or(MfaError::NoSession)?;
    let user = users::service::read(state, permit.id()).await?;
    Ok(service::begin_enrolment(state, &user, session, kind, None).await?)
}

/// Adds it, if it answers the challenge of this session. The session has proven it then.
///
/// # Errors
///
/// [`super::WebauthnFault::UnknownChallenge`], [`super::WebauthnFault::Registration`], [`super::WebauthnFault::Taken`].
pub async fn finish(
    state: &AppState,
    permit: &Permit<ChangeOwn>,
    body: FinishEnrolment,
) -> Result<Confirmed, MfaError> {
    let session = permit.actor().session_id().ok_or(MfaError::NoSession)?;
    let (credential, label) = (&body.credential, body.label.as_deref());
    let (row, amr) =
        service::finish_enrolment(state, permit.id(), session, credential, label).await?;
    let codes = enrolment::codes_for_first(state, permit.id()).await?;
    let mut tx = Tx::begin(state, &sessions::service::scope(permit.id())).await?;
    let user = users::repo::find_for_update(&*tx, permit.id()).await?;
    let user = user.ok_or(MfaError::NotFound)?;
    let inserted = service::insert(&*tx, user.id, row).await?;
    let enroller = Enroller {
        doer: permit.into(),
        origin: permit.origin(),
        session: Some(session),
    };
    let factor = Factor::Webauthn;
    let recovery_codes =
        enrolment::complete(&mut tx, state, &enroller, &user, factor, codes).await?;
    step_up::raise(&mut tx, state, session, factor, &amr).await?;
    tx.commit().await?;
    state.mail.wake();
    Ok(Confirmed {
        factor: FactorView::from(inserted),
        recovery_codes,
    })
}
