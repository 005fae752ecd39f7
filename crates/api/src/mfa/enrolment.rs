//! Enrolling a factor: beginning it, and what follows when it is confirmed.

use entity::{mfa_verification, user};
use serde_json::json;
use uuid::Uuid;

use super::{
    attempts, email,
    model::{Begun, CodeSent, Enrollable, Factor, MfaError},
    notices, pending, recovery, repo, totp,
    webauthn::{self, model::CredentialKind},
};
use crate::{
    activity,
    audit::{self, Doer, Entry, Target},
    database::tx::Tx,
    http::origin::Origin,
    mail::Message,
    recovery::lockdown,
    sessions,
    state::AppState,
    users::credentials,
};

/// What can be enrolled here, the strongest first.
pub fn offered(state: &AppState) -> impl Iterator<Item = Enrollable> {
    let has_keys = webauthn::is_available(state);
    let all = Enrollable::ALL.into_iter();
    all.filter(move |factor| has_keys || *factor != Enrollable::Webauthn)
}

/// Begins a factor: it is good for nothing until a proof of it comes. A code that is mailed, and a
/// passkey or security key of `kind`, answer `verification`.
///
/// # Errors
///
/// [`MfaError::AlreadyEnrolled`], [`MfaError::Throttled`].
pub async fn begin(
    state: &AppState,
    user: &user::Model,
    factor: Enrollable,
    kind: CredentialKind,
    label: Option<&str>,
    verification: &mfa_verification::Model,
) -> Result<Begun, MfaError> {
    let now = state.clock.now();
    let scope = sessions::service::scope(user.id);
    match factor {
        Enrollable::Webauthn => {
            let bound_to = verification.id;
            let options = webauthn::begin_enrolment(state, user, bound_to, kind, label).await?;
            Ok(Begun::Webauthn(Box::new(options)))
        }
        Enrollable::Totp => {
            let (sealed, secret) = totp::generate(state, user.id, &user.email)?;
            if !repo::begin(&state.db, user.id, Factor::Totp, label, Some(sealed), now).await? {
                return Err(MfaError::AlreadyEnrolled);
            }
            Ok(Begun::Totp(secret))
        }
        Enrollable::Email => {
            attempts::of_mail(state, user.id).await?;
            let code = email::draw(state, verification.id)?;
            let (expires_in, minutes) = pending::remaining(state, verification);
            let tx = Tx::begin(state, &scope).await?;
            if !repo::begin(&*tx, user.id, Factor::Email, label, None, now).await? {
                return Err(MfaError::AlreadyEnrolled);
            }
            email::send(&*tx, state, user, verification.id, code, minutes).await?;
            tx.commit().await?;
            state.mail.wake();
            Ok(Begun::Email(CodeSent {
                status: "code_sent",
                expires_in,
            }))
        }
    }
}

/// Recovery codes for a factor that will be the user's first, drawn before the transaction in which
/// it is confirmed; nothing for one that will not.
///
/// # Errors
///
/// See [`recovery::draw`].
pub async fn codes_for_first(
    state: &AppState,
    user_id: Uuid,
) -> Result<Option<recovery::Set10>, MfaError> {
    if repo::kinds(&state.db, user_id).await?.is_empty() {
        Ok(Some(recovery::draw(state).await?))
    } else {
        Ok(None)
    }
}

/// Who enrolled a factor, and from where.
pub struct Enroller<'a> {
    /// Who is written down.
    pub doer: Doer,
    /// From where.
    pub origin: &'a Origin,
    /// The session that stays open; all others end.
    pub session: Option<Uuid>,
}

/// What follows from a factor that was confirmed just now, in the same transaction, with the user's
/// row locked: recovery codes if it is the first, the end of everything older, a mail, and entries.
/// Returns the codes.
///
/// # Errors
///
/// [`MfaError::Changed`] if the first factor became the second or the other way round in the meantime.
pub async fn complete(
    tx: &mut Tx<'_>,
    state: &AppState,
    enroller: &Enroller<'_>,
    user: &user::Model,
    factor: Factor,
    codes: Option<recovery::Set10>,
) -> Result<Option<Vec<String>>, MfaError> {
    let is_first = repo::enrolled(&**tx, user.id).await?.len() == 1;
    if is_first && codes.is_none() {
        return Err(MfaError::Changed);
    }
    let texts = match codes {
        Some(set) if is_first => Some(recovery::replace(&**tx, state, user.id, set).await?),
        _ => None,
    };
    credentials::changed(tx, state, user.id, enroller.session, "factor_added").await?;
    let lockdown = lockdown::link(tx, state, user.id).await?;
    let message = Message::FactorAdded {
        factor: factor.title().to_owned(),
        lockdown,
    };
    notices::send(tx, state, user, message).await?;
    let details = json!({ "factor": factor.as_str() });
    let (clock, origin, session) = (&*state.clock, enroller.origin, enroller.session);
    let kind = "factor_added";
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
        doer: enroller.doer,
        action: "user.factor_added",
        target: Target::global("user", user.id),
        details,
    };
    audit::record(&**tx, clock, origin, entry).await?;
    Ok(texts)
}
