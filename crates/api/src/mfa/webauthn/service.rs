//! The use cases of passkeys and security keys.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, Utc};
use entity::{mfa_factor, user};
use sea_orm::{ActiveValue::Set, ConnectionTrait, DbErr, EntityTrait};
use serde_json::json;
use uuid::Uuid;
use webauthn_rs::prelude::{
    AuthenticationResult, CreationChallengeResponse, Credential, DiscoverableAuthentication,
    Passkey, PasskeyRegistration, PublicKeyCredential, RegisterPublicKeyCredential, SecurityKey,
    SecurityKeyAuthentication, SecurityKeyRegistration, WebauthnError,
};
use webauthn_rs_proto::ResidentKeyRequirement;

use super::{
    ceremony::{self, Purpose},
    model::{
        Assertion, CreationOptions, CredentialKind, Proof, RequestOptions, Stored, WebauthnFault,
    },
    relying_party::relying_party,
    repo,
};
use crate::{
    activity,
    audit::{self, Doer, Entry, Target},
    database::tx::Tx,
    http::origin::Origin,
    mail::{self, Message},
    problem::constraint,
    recovery::lockdown,
    sessions,
    state::AppState,
};

/// Passkeys and security keys that a user may have.
const MAX: usize = 20;

/// What is kept of an enrolment that has begun.
#[derive(serde::Serialize, serde::Deserialize)]
struct Begun {
    label: Option<String>,
    enrolment: Enrolment,
}

#[derive(serde::Serialize, serde::Deserialize)]
enum Enrolment {
    Passkey(PasskeyRegistration),
    SecurityKey(SecurityKeyRegistration),
}

/// Whether this installation can have passkeys and security keys.
pub fn is_available(state: &AppState) -> bool {
    relying_party(state).is_ok()
}

/// Begins to add a credential, in the session or the login `bound_to`.
pub async fn begin_enrolment(
    state: &AppState,
    user: &user::Model,
    bound_to: Uuid,
    kind: CredentialKind,
    label: Option<&str>,
) -> Result<CreationOptions, WebauthnFault> {
    let existing = stored(&repo::credentials(&state.db, user.id).await?)?;
    must_have_room(&state.db, user.id).await?;
    let ids = existing
        .into_iter()
        .map(|one| one.credential.cred_id)
        .collect();
    let webauthn = relying_party(state)?;
    let display_name = user.display_name.as_deref().filter(|name| !name.is_empty());
    let (name, display_name) = (&user.email, display_name.unwrap_or(&user.email));
    let (options, enrolment) = match kind {
        CredentialKind::Passkey => webauthn
            .start_passkey_registration(user.id, name, display_name, Some(ids))
            .map(|(options, kept)| (discoverable(options), Enrolment::Passkey(kept))),
        CredentialKind::SecurityKey => webauthn
            .start_securitykey_registration(user.id, name, display_name, Some(ids), None, None)
            .map(|(options, kept)| (unprotected(options), Enrolment::SecurityKey(kept))),
    }
    .map_err(WebauthnFault::Library)?;
    let purpose = Purpose::Enrol(user.id, bound_to);
    let label = label.map(ToOwned::to_owned);
    let kept = Begun { label, enrolment };
    ceremony::keep(state, purpose, &options.public_key.challenge, &kept).await?;
    Ok(CreationOptions { options })
}

/// Refuses one more than a user may have. With the user's row locked, nobody adds another meanwhile.
async fn must_have_room(db: &impl ConnectionTrait, user_id: Uuid) -> Result<(), WebauthnFault> {
    if repo::credentials(db, user_id).await?.len() < MAX {
        Ok(())
    } else {
        Err(WebauthnFault::TooMany)
    }
}

/// The library leaves it to the device whether a passkey can be found without a name. Without
/// that it would not log in alone.
fn discoverable(mut options: CreationChallengeResponse) -> CreationChallengeResponse {
    if let Some(selection) = &mut options.public_key.authenticator_selection {
        selection.resident_key = Some(ResidentKeyRequirement::Required);
        selection.require_resident_key = true;
    }
    options
}

/// The library asks that a security key be used by a verified user only, and leaves it open whether
/// it verifies any. Chromium refuses the two together (CTAP 2.1, section 12.1: `NotSupportedError`).
fn unprotected(mut options: CreationChallengeResponse) -> CreationChallengeResponse {
    if let Some(extensions) = &mut options.public_key.extensions {
        extensions.cred_protect = None;
    }
    options
}

/// Checks what the authenticator made. Returns the factor, for [`insert`], and how identity was
/// proven by it.
pub async fn finish_enrolment(
    state: &AppState,
    user_id: Uuid,
    bound_to: Uuid,
    registration: &RegisterPublicKeyCredential,
    label: Option<&str>,
) -> Result<(mfa_factor::ActiveModel, Vec<&'static str>), WebauthnFault> {
    let webauthn = relying_party(state)?;
    let purpose = Purpose::Enrol(user_id, bound_to);
    let client_data = &registration.response.client_data_json;
    let kept: Option<Begun> = ceremony::take(state, purpose, client_data).await?;
    let begun = kept.ok_or(WebauthnFault::UnknownChallenge)?;
    let label = label.map(ToOwned::to_owned).or(begun.label);
    let (kind, checked) = match begun.enrolment {
        Enrolment::Passkey(kept) => (
            CredentialKind::Passkey,
            webauthn
                .finish_passkey_registration(registration, &kept)
                .map(Credential::from),
        ),
        Enrolment::SecurityKey(kept) => (
            CredentialKind::SecurityKey,
            webauthn
                .finish_securitykey_registration(registration, &kept)
                .map(Credential::from),
        ),
    };
    let credential = checked.map_err(WebauthnFault::Registration)?;
    let counter = i64::from(credential.counter);
    let amr = methods(credential.backup_eligible, credential.user_verified);
    let now = state.clock.now();
    let stored = Stored {
        credential_id: URL_SAFE_NO_PAD.encode(&credential.cred_id),
        kind,
        credential,
    };
    let row = mfa_factor::ActiveModel {
        id: Set(Uuid::now_v7()),
        user_id: Set(user_id),
        kind: Set(repo::KIND.to_owned()),
        label: Set(label),
        secret: Set(None),
        data: Set(to_json(&stored)?),
        confirmed_at: Set(Some(now)),
        last_used_at: Set(None),
        last_used_step: Set(None),
        sign_count: Set(counter),
        failed_attempts: Set(0),
        locked_at: Set(None),
        created_at: Set(now),
    };
    Ok((row, amr))
}

/// Adds what [`finish_enrolment`] returned, in a transaction that has locked the user's row.
///
/// # Errors
///
/// [`WebauthnFault::TooMany`], [`WebauthnFault::Taken`].
pub async fn insert(
    txn: &impl ConnectionTrait,
    user_id: Uuid,
    factor: mfa_factor::ActiveModel,
) -> Result<mfa_factor::Model, WebauthnFault> {
    must_have_room(txn, user_id).await?;
    mfa_factor::Entity::insert(factor)
        .exec_with_returning(txn)
        .await
        .map_err(|error| match constraint(&error) {
            Some("mfa_factors_credential_id_key") => WebauthnFault::Taken,
            _ => error.into(),
        })
}

/// Asks a user's passkeys and security keys, as a second factor or to step up.
///
/// # Errors
///
/// [`WebauthnFault::NoneEnrolled`] if there are none.
pub async fn begin_login(
    state: &AppState,
    purpose: Purpose,
    user_id: Uuid,
) -> Result<RequestOptions, WebauthnFault> {
    let stored = stored(&repo::credentials(&state.db, user_id).await?)?;
    if stored.is_empty() {
        return Err(WebauthnFault::NoneEnrolled);
    }
    let only_keys = stored
        .iter()
        .all(|one| one.kind == CredentialKind::SecurityKey);
    // Of both kinds: a passkey still has to verify its user, because it was registered so.
    let keys: Vec<_> = stored
        .into_iter()
        .map(|one| SecurityKey::from(one.credential))
        .collect();
    let (mut options, kept) = relying_party(state)?
        .start_securitykey_authentication(&keys)
        .map_err(WebauthnFault::Library)?;
    if !only_keys {
        options.public_key.hints = None;
    }
    ceremony::keep(state, purpose, &options.public_key.challenge, &kept).await?;
    Ok(RequestOptions { options })
}

/// Checks the answer to [`begin_login`]. Whatever comes of it, the challenge is used up.
///
/// # Errors
///
/// [`WebauthnFault::Refused`] for every answer that does not prove who it is.
pub async fn finish_login(
    state: &AppState,
    origin: &Origin,
    purpose: Purpose,
    user_id: Uuid,
    assertion: &Assertion,
) -> Result<Proof, WebauthnFault> {
    let Assertion(answer) = assertion;
    let webauthn = relying_party(state)?;
    let kept: Option<SecurityKeyAuthentication> =
        ceremony::take(state, purpose, &answer.response.client_data_json).await?;
    let kept = kept.ok_or(WebauthnFault::Refused)?;
    let factor = find(state, user_id, answer).await?;
    // What the device says about its user must be so, if it says anything.
    if answer
        .get_user_unique_id()
        .is_some_and(|id| id != user_id.as_bytes())
    {
        return Err(WebauthnFault::Refused);
    }
    let result = webauthn.finish_securitykey_authentication(answer, &kept);
    accept(state, origin, factor, result).await
}

/// Asks for any passkey that the device has for us.
pub async fn begin_passkey(state: &AppState) -> Result<RequestOptions, WebauthnFault> {
    let (mut options, kept) = relying_party(state)?
        .start_discoverable_authentication()
        .map_err(WebauthnFault::Library)?;
    // Whether the browser offers passkeys while a name is typed is for the page to say.
    options.mediation = None;
    ceremony::keep(
        state,
        Purpose::Passkey,
        &options.public_key.challenge,
        &kept,
    )
    .await?;
    Ok(RequestOptions { options })
}

/// Checks the answer to [`begin_passkey`], and says who it is.
///
/// # Errors
///
/// [`WebauthnFault::Refused`] for every answer that does not prove who it is, and for security
/// keys: they are second factors.
pub async fn finish_passkey(
    state: &AppState,
    origin: &Origin,
    assertion: &Assertion,
) -> Result<Proof, WebauthnFault> {
    let Assertion(answer) = assertion;
    let webauthn = relying_party(state)?;
    let kept: Option<DiscoverableAuthentication> =
        ceremony::take(state, Purpose::Passkey, &answer.response.client_data_json).await?;
    let kept = kept.ok_or(WebauthnFault::Refused)?;
    let (user_id, _) = webauthn
        .identify_discoverable_authentication(answer)
        .map_err(|_| WebauthnFault::Refused)?;
    let (factor, stored) = find(state, user_id, answer).await?;
    if stored.kind != CredentialKind::Passkey {
        return Err(WebauthnFault::Refused);
    }
    let passkey = Passkey::from(stored.credential.clone());
    let result = webauthn.finish_discoverable_authentication_v2(answer, kept, &passkey);
    accept(state, origin, (factor, stored), result).await
}

/// Voids the open challenges of a user, whose credentials have changed.
///
/// # Errors
///
/// The database's.
pub async fn forget(
    txn: &impl ConnectionTrait,
    user_id: Uuid,
    now: DateTime<Utc>,
) -> Result<(), DbErr> {
    repo::void(txn, user_id, now).await
}

async fn find(
    state: &AppState,
    user_id: Uuid,
    answer: &PublicKeyCredential,
) -> Result<(mfa_factor::Model, Stored), WebauthnFault> {
    let id = URL_SAFE_NO_PAD.encode(answer.get_credential_id());
    let factor = repo::credential(&state.db, user_id, &id).await?;
    let factor = factor.ok_or(WebauthnFault::Refused)?;
    let stored = from_json(&factor)?;
    Ok((factor, stored))
}

/// Takes the result of the library, and moves the counter on.
async fn accept(
    state: &AppState,
    origin: &Origin,
    (factor, mut stored): (mfa_factor::Model, Stored),
    result: Result<AuthenticationResult, WebauthnError>,
) -> Result<Proof, WebauthnFault> {
    let result = match result {
        Ok(result) => result,
        Err(WebauthnError::CredentialPossibleCompromise) => {
            tell_of_regression(state, origin, &factor).await?;
            return Err(WebauthnFault::Refused);
        }
        Err(error) => {
            tracing::debug!(%error, factor = %factor.id, "a WebAuthn assertion was refused");
            return Err(WebauthnFault::Refused);
        }
    };
    let mut key = SecurityKey::from(stored.credential);
    key.update_credential(&result);
    stored.credential = Credential::from(key);
    let (counter, now) = (i64::from(result.counter()), state.clock.now());
    // The library compared with the counter as it was when the challenge was made.
    if !repo::advance(&state.db, factor.id, counter, to_json(&stored)?, now).await? {
        tell_of_regression(state, origin, &factor).await?;
        return Err(WebauthnFault::Refused);
    }
    Ok(Proof {
        user_id: factor.user_id,
        factor_id: factor.id,
        amr: methods(result.backup_eligible(), result.user_verified()),
    })
}

/// Authentication methods (RFC 8176). What can be copied to another device is no hardware; who has
/// shown a PIN or a finger to the device has shown two things.
fn methods(is_synced: bool, is_verified: bool) -> Vec<&'static str> {
    let mut amr = vec![if is_synced { "swk" } else { "hwk" }, "user"];
    if is_verified {
        amr.push("mfa");
    }
    amr
}

/// A counter that does not grow: there may be two of the key (WebAuthn, section 6.1.1).
async fn tell_of_regression(
    state: &AppState,
    origin: &Origin,
    factor: &mfa_factor::Model,
) -> Result<(), WebauthnFault> {
    let details = json!({ "factor_id": factor.id, "label": factor.label });
    let tx = Tx::begin(state, &sessions::service::scope(factor.user_id)).await?;
    let (clock, kind) = (&*state.clock, "security_key_possibly_copied");
    activity::record(
        &*tx,
        clock,
        origin,
        factor.user_id,
        None,
        kind,
        details.clone(),
    )
    .await?;
    let entry = Entry {
        doer: Doer::Anonymous,
        action: "factor.counter_regressed",
        target: Target::global("user", factor.user_id),
        details,
    };
    audit::record(&*tx, clock, origin, entry).await?;
    let user = user::Entity::find_by_id(factor.user_id).one(&*tx).await?;
    if let Some(user) = user {
        let message = Message::KeyCopied {
            key: factor.label.clone().unwrap_or_else(|| "–".to_owned()),
            lockdown: lockdown::link(&tx, state, user.id).await?,
        };
        mail::notify(&tx, state, &user.email, user.locale.as_deref(), message).await?;
    }
    tx.commit().await?;
    state.mail.wake();
    Ok(())
}

fn stored(factors: &[mfa_factor::Model]) -> Result<Vec<Stored>, WebauthnFault> {
    factors.iter().map(from_json).collect()
}

fn from_json(factor: &mfa_factor::Model) -> Result<Stored, WebauthnFault> {
    serde_json::from_value(factor.data.clone()).map_err(|error| WebauthnFault::Stored(error.into()))
}

fn to_json(stored: &Stored) -> Result<serde_json::Value, WebauthnFault> {
    serde_json::to_value(stored).map_err(|error| WebauthnFault::Stored(error.into()))
}
