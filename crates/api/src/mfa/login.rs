//! The second half of a login: challenge, proof, and enrolment where one is demanded. Transactions
//! begin and end here.

use entity::{mfa_verification, user};
use serde_json::json;

use super::{
    attempts, email,
    enrolment::{self, Enroller},
    model::{
        Asked, Begun, Challenge, Challenged, CodeSent, ConfirmEnrol, Enrol, Enrollable, Factor,
        MfaError, Verify,
    },
    notices,
    pending::{self, Purpose},
    proof::{self, Attempt, Proof},
    recovery, repo, webauthn,
};
use crate::{
    access::actor::Principal,
    activity,
    audit::{self, Doer, Entry, Target},
    database::tx::Tx,
    devices,
    http::{origin::Origin, text::Name},
    login::{
        grant::{self, Advance, Outcome},
        model::{LoginAnswer, LoginError},
    },
    mail::Message,
    recovery::lockdown,
    sessions,
    state::AppState,
};

/// Mails a code for a pending login, or gives a passkey or security key something to sign. What was
/// sent before is worth nothing then, and the tries that were used stay used.
///
/// # Errors
///
/// See [`MfaError`].
pub async fn challenge(state: &AppState, body: Challenge) -> Result<Asked, MfaError> {
    let (row, user) = pending::find(state, Purpose::Login, &body.mfa_token).await?;
    match body.factor {
        Challenged::Email => mail_code(state, &user, &row).await.map(Asked::Code),
        Challenged::Webauthn => {
            let purpose = webauthn::Purpose::Login(user.id, row.id);
            let options = webauthn::begin_login(state, purpose, user.id).await?;
            Ok(Asked::Options(Box::new(options)))
        }
    }
}

/// Mails a code to a user who has enrolled that.
pub(super) async fn mail_code(
    state: &AppState,
    user: &user::Model,
    row: &mfa_verification::Model,
) -> Result<CodeSent, MfaError> {
    repo::single(&state.db, user.id, Factor::Email, true)
        .await?
        .ok_or(MfaError::NotEnrolled)?;
    attempts::of_mail(state, user.id).await?;
    let code = email::draw(state, row.id)?;
    let (expires_in, minutes) = pending::remaining(state, row);
    let tx = Tx::begin(state, &sessions::service::scope(user.id)).await?;
    email::send(&*tx, state, user, row.id, code, minutes).await?;
    tx.commit().await?;
    state.mail.wake();
    Ok(CodeSent {
        status: "code_sent",
        expires_in,
    })
}

/// Proves the second factor of a pending login, and goes on with the login.
///
/// # Errors
///
/// See [`MfaError`].
pub async fn verify(
    state: &AppState,
    origin: &Origin,
    body: Verify,
) -> Result<Outcome, LoginError> {
    let (row, user) = pending::find(state, Purpose::Login, &body.mfa_token).await?;
    let attempt = Attempt {
        factor: body.factor.into(),
        code: body.code.as_ref(),
        credential: body
            .credential
            .as_ref()
            .map(|credential| (credential, webauthn::Purpose::Login(user.id, row.id))),
    };
    attempts::of_verification(state, row.id).await?;
    let checked = proof::check(state, origin, &user, Some(&row), &attempt).await;
    let proof = told(state, origin, &user, attempt.factor, checked).await?;
    let device = Device {
        is_trusted: body.trust_device,
        name: body.device_name,
    };
    let finished = finish(state, origin, &row, &user, &proof, &device).await;
    told(state, origin, &user, attempt.factor, finished).await
}

/// What a request says of the device that it comes from.
struct Device {
    is_trusted: bool,
    name: Option<Name>,
}

impl Device {
    /// Trusts the device, if that was asked for and the login has come to its end.
    async fn trust(
        &self,
        tx: &Tx<'_>,
        state: &AppState,
        origin: &Origin,
        user: &user::Model,
        advance: &Advance,
    ) -> Result<Option<String>, LoginError> {
        if !self.is_trusted || advance.session_id().is_none() {
            return Ok(None);
        }
        let token = devices::trust(tx, state, origin, user.id, self.name.as_ref()).await?;
        Ok(Some(token.expose().to_owned()))
    }
}

/// Uses the proof up and goes on with the login, in one transaction.
async fn finish(
    state: &AppState,
    origin: &Origin,
    row: &mfa_verification::Model,
    user: &user::Model,
    proof: &Proof,
    device: &Device,
) -> Result<Outcome, LoginError> {
    let progress = pending::progress(row)?.with(proof.factor, &proof.amr);
    let tx = Tx::begin(state, &sessions::service::scope(user.id)).await?;
    let user = grant::locked(&tx, user.id).await?;
    if !repo::consume(&*tx, row.id, state.clock.now()).await? {
        return Err(MfaError::InvalidToken.into());
    }
    proof.consume(&*tx, state, user.id).await?;
    let advance = grant::advance(&tx, state, origin, &user, &progress).await?;
    if proof.factor == Factor::RecoveryCode {
        tell_of_recovery(&tx, state, origin, &user).await?;
    }
    let device_token = device.trust(&tx, state, origin, &user, &advance).await?;
    tx.commit().await?;
    state.mail.wake();
    let mut outcome = grant::finish(state, &user, &progress, advance)?;
    if let LoginAnswer::Authenticated(answer) = &mut outcome.answer {
        answer.device_token = device_token;
    }
    Ok(outcome)
}

/// Tells a user that one of their recovery codes was used.
pub(super) async fn tell_of_recovery(
    tx: &Tx<'_>,
    state: &AppState,
    origin: &Origin,
    user: &user::Model,
) -> Result<(), MfaError> {
    let left = recovery::left(&**tx, user.id).await?;
    let message = Message::RecoveryCodeUsed {
        left: u32::try_from(left).unwrap_or(u32::MAX),
        lockdown: lockdown::link(tx, state, user.id).await?,
    };
    notices::send(tx, state, user, message).await?;
    let (kind, details) = ("recovery_code_used", json!({ "left": left }));
    let clock = &*state.clock;
    activity::record(&**tx, clock, origin, user.id, None, kind, details.clone()).await?;
    let entry = Entry {
        doer: Doer::Principal(Principal::user(user.id), None),
        action: "user.recovery_code_used",
        target: Target::global("user", user.id),
        details,
    };
    Ok(audit::record(&**tx, clock, origin, entry).await?)
}

/// Writes a wrong code down before it is answered.
pub(super) async fn told<T, E>(
    state: &AppState,
    origin: &Origin,
    user: &user::Model,
    factor: Factor,
    result: Result<T, E>,
) -> Result<T, LoginError>
where
    LoginError: From<E>,
{
    let error = match result {
        Ok(value) => return Ok(value),
        Err(error) => LoginError::from(error),
    };
    if matches!(error, LoginError::Mfa(MfaError::InvalidCode)) {
        note_failure(state, origin, user, factor).await?;
    }
    Err(error)
}

/// Writes down that a factor was answered wrongly.
pub(super) async fn note_failure(
    state: &AppState,
    origin: &Origin,
    user: &user::Model,
    factor: Factor,
) -> Result<(), MfaError> {
    let details = json!({ "factor": factor.as_str() });
    let tx = Tx::begin(state, &sessions::service::scope(user.id)).await?;
    let (clock, kind) = (&*state.clock, "mfa_failed");
    activity::record(&*tx, clock, origin, user.id, None, kind, details.clone()).await?;
    let entry = Entry {
        doer: Doer::Anonymous,
        action: "session.mfa_failed",
        target: Target::global("user", user.id),
        details,
    };
    audit::record(&*tx, clock, origin, entry).await?;
    tx.commit().await?;
    Ok(())
}

/// Begins the factor that a login demands.
///
/// # Errors
///
/// See [`MfaError`].
pub async fn enrol(state: &AppState, body: Enrol) -> Result<Begun, MfaError> {
    let (row, user) = pending::find(state, Purpose::Enrol, &body.mfa_token).await?;
    if body.kind.is_some() && body.factor != Enrollable::Webauthn {
        return Err(MfaError::Field {
            field: "kind",
            message: "is for webauthn only",
        });
    }
    let kind = body.kind.unwrap_or_default();
    enrolment::begin(state, &user, body.factor, kind, body.label.as_deref(), &row).await
}

/// Confirms the factor that a login demanded, and goes on with the login.
///
/// # Errors
///
/// See [`MfaError`].
pub async fn confirm_enrolment(
    state: &AppState,
    origin: &Origin,
    body: ConfirmEnrol,
) -> Result<Outcome, LoginError> {
    let (row, user) = pending::find(state, Purpose::Enrol, &body.mfa_token).await?;
    let attempt = Attempt {
        factor: body.factor.into(),
        code: body.code.as_ref(),
        credential: None,
    };
    attempts::of_verification(state, row.id).await?;
    let checked = match body.factor {
        Enrollable::Webauthn => {
            proof::check_new(state, &user, &row, body.credential.as_ref()).await
        }
        Enrollable::Totp | Enrollable::Email => {
            proof::check_begun(state, &user, Some(&row), &attempt).await
        }
    };
    let proof = told(state, origin, &user, attempt.factor, checked).await?;
    let codes = enrolment::codes_for_first(state, user.id).await?;
    let progress = pending::progress(&row)?.with(proof.factor, &proof.amr);
    let mut tx = Tx::begin(state, &sessions::service::scope(user.id)).await?;
    let user = grant::locked(&tx, user.id).await?;
    if !repo::consume(&*tx, row.id, state.clock.now()).await? {
        return Err(MfaError::InvalidToken.into());
    }
    proof.confirm(&*tx, state, user.id).await?;
    let enroller = Enroller {
        doer: Doer::Principal(Principal::user(user.id), None),
        origin,
        session: None,
    };
    let texts = enrolment::complete(&mut tx, state, &enroller, &user, proof.factor, codes).await?;
    let advance = grant::advance(&tx, state, origin, &user, &progress).await?;
    let device = Device {
        is_trusted: body.trust_device,
        name: body.device_name,
    };
    let device_token = device.trust(&tx, state, origin, &user, &advance).await?;
    tx.commit().await?;
    state.mail.wake();
    let mut outcome = grant::finish(state, &user, &progress, advance)?;
    if let LoginAnswer::Authenticated(answer) = &mut outcome.answer {
        answer.device_token = device_token;
        answer.recovery_codes = texts;
    }
    Ok(outcome)
}
