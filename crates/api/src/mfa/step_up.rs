//! Proving again, inside a session, who one is. Transactions begin and end here.

use chrono::{DateTime, Utc};
use entity::{session, user};
use sea_orm::{
    ActiveModelTrait, ActiveValue::Set, EntityTrait, IntoActiveModel, QueryFilter, QuerySelect,
};
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;
use uuid::Uuid;

use super::{
    attempts, login,
    model::{Asked, ChallengeOwn, Challenged, Factor, MfaError, ProveAgain, StepUp, SteppedUp},
    proof::{self, Attempt, Proof},
    repo, service, webauthn,
};
use crate::{
    access::{cache::Change, permit::Permit, step_up::FRESH},
    activity,
    audit::{self, Entry, Target},
    crypto::password::Password,
    database::tx::Tx,
    login::{
        grant::add_methods,
        throttle::{self, Key},
    },
    sessions,
    state::AppState,
    users::{self, gate},
};

/// Mails a code to the caller, or gives their passkey or security key something to sign, for this
/// session.
///
/// # Errors
///
/// See [`MfaError`].
pub async fn challenge(
    state: &AppState,
    permit: &Permit<StepUp>,
    body: ChallengeOwn,
) -> Result<Asked, MfaError> {
    let user = users::service::read(state, permit.id()).await?;
    match body.factor {
        Challenged::Email => {
            let row = service::open(state, permit, "step_up", Factor::Email).await?;
            login::mail_code(state, &user, &row).await.map(Asked::Code)
        }
        Challenged::Webauthn => {
            let session = permit.actor().session_id().ok_or(MfaError::NoSession)?;
            let purpose = webauthn::Purpose::StepUp(user.id, session);
            let options = webauthn::begin_login(state, purpose, user.id).await?;
            Ok(Asked::Options(Box::new(options)))
        }
    }
}

/// Takes a proof with the strongest factor that the caller has, or with a recovery code, and raises
/// the session's `auth_time`.
///
/// # Errors
///
/// [`MfaError::TooWeak`] for a weaker one, [`MfaError::InvalidCode`], [`MfaError::WrongPassword`].
pub async fn prove(
    state: &AppState,
    permit: &Permit<StepUp>,
    body: ProveAgain,
) -> Result<SteppedUp, MfaError> {
    let session = permit.actor().session_id().ok_or(MfaError::NoSession)?;
    let user = users::service::read(state, permit.id()).await?;
    let factor = match (&body.password, body.factor) {
        (Some(_), None) => Factor::Password,
        (None, Some(factor)) => factor.into(),
        _ => {
            return Err(MfaError::Field {
                field: "factor",
                message: "either `password` or `factor` is needed, and not both",
            });
        }
    };
    let kinds = repo::kinds(&state.db, user.id).await?;
    let needed = kinds.first().copied().unwrap_or(Factor::Password);
    if factor < needed {
        return Err(MfaError::TooWeak { needed });
    }
    let proof = match &body.password {
        Some(password) => {
            check_password(state, permit, &user, password).await?;
            None
        }
        None => Some(check_factor(state, permit, &user, session, factor, &body).await?),
    };
    finish(state, permit, session, factor, proof).await
}

/// Uses the proof up and raises the session, in one transaction.
async fn finish(
    state: &AppState,
    permit: &Permit<StepUp>,
    session: Uuid,
    factor: Factor,
    proof: Option<(Proof, Option<Uuid>)>,
) -> Result<SteppedUp, MfaError> {
    let mut tx = Tx::begin(state, &sessions::service::scope(permit.id())).await?;
    let user = service::locked(&tx, permit.id()).await?;
    gate::admit(&user)?;
    let mut methods = factor.amr().to_vec();
    if let Some((proof, verification)) = proof {
        if let Some(id) = verification
            && !repo::consume(&*tx, id, state.clock.now()).await?
        {
            return Err(MfaError::InvalidCode);
        }
        proof.consume(&*tx, state, user.id).await?;
        methods = proof.amr;
    }
    if factor == Factor::RecoveryCode {
        login::tell_of_recovery(&tx, state, permit.origin(), &user).await?;
    }
    let (auth_time, amr) = raise(&mut tx, state, session, factor, &methods).await?;
    let details = json!({ "factor": factor.as_str() });
    let (clock, origin, kind) = (&*state.clock, permit.origin(), "stepped_up");
    activity::record(
        &*tx,
        clock,
        origin,
        user.id,
        Some(session),
        kind,
        details.clone(),
    )
    .await?;
    let entry = Entry {
        doer: permit.into(),
        action: "session.stepped_up",
        target: Target::global("user", user.id),
        details,
    };
    audit::record(&*tx, clock, origin, entry).await?;
    tx.commit().await?;
    state.mail.wake();
    Ok(SteppedUp {
        status: "stepped_up",
        auth_time,
        amr,
        expires_in: FRESH.num_seconds(),
    })
}

async fn check_password(
    state: &AppState,
    permit: &Permit<StepUp>,
    user: &user::Model,
    password: &SecretString,
) -> Result<(), MfaError> {
    throttle::admit(state, &[Key::account(user.id)])
        .await?
        .map_err(|seconds| MfaError::Throttled { seconds })?;
    let password =
        Password::parse(password.expose_secret()).map_err(|_| MfaError::WrongPassword)?;
    let stored = user.password_hash.as_deref();
    if !state.hasher.verify(&password, stored).await?.matches {
        login::note_failure(state, permit.origin(), user, Factor::Password).await?;
        return Err(MfaError::WrongPassword);
    }
    throttle::forgive(&state.db, user.id, state.clock.now()).await?;
    Ok(())
}

/// The proof, and the challenge that it answers.
async fn check_factor(
    state: &AppState,
    permit: &Permit<StepUp>,
    user: &user::Model,
    session: Uuid,
    factor: Factor,
    body: &ProveAgain,
) -> Result<(Proof, Option<Uuid>), MfaError> {
    let now = state.clock.now();
    let challenge = match factor {
        Factor::Email => repo::by_session(&state.db, "step_up", session, factor, now).await?,
        _ => None,
    };
    if let Some(row) = &challenge {
        attempts::of_verification(state, row.id)
            .await
            .map_err(|error| match error {
                MfaError::InvalidToken => MfaError::InvalidCode,
                other => other,
            })?;
    }
    let attempt = Attempt {
        factor,
        code: body.code.as_ref(),
        credential: body
            .credential
            .as_ref()
            .map(|credential| (credential, webauthn::Purpose::StepUp(user.id, session))),
    };
    let checked = proof::check(state, permit.origin(), user, challenge.as_ref(), &attempt).await;
    if matches!(checked, Err(MfaError::InvalidCode)) {
        login::note_failure(state, permit.origin(), user, factor).await?;
    }
    Ok((checked?, challenge.map(|row| row.id)))
}

/// Notes in a session that its user has proven who they are just now, and with what. All instances
/// hear of it.
///
/// # Errors
///
/// [`MfaError::NoSession`] if it has ended.
pub async fn raise(
    tx: &mut Tx<'_>,
    state: &AppState,
    session: Uuid,
    factor: Factor,
    methods: &[&str],
) -> Result<(DateTime<Utc>, Vec<String>), MfaError> {
    let row = session::Entity::find_by_id(session)
        .filter(sessions::repo::is_of_this_epoch())
        .lock_exclusive()
        .one(&**tx)
        .await?
        .filter(|row| row.revoked_at.is_none())
        .ok_or(MfaError::NoSession)?;
    let now = state.clock.now();
    let mut amr = row.amr.clone();
    // A second factor makes two of it, whatever the login was by.
    add_methods(&mut amr, methods);
    let mut row = row.into_active_model();
    row.auth_time = Set(now);
    row.auth_factor = Set(factor.as_str().to_owned());
    row.amr = Set(amr.clone());
    row.update(&**tx).await?;
    tx.changed(Change::Session(session));
    Ok((now, amr))
}
