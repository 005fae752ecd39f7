//! Is this the factor? One check for login, enrolment and step-up.
//!
//! It has two halves. [`check`] counts the try and compares, outside of any transaction, so that the
//! count survives whatever comes after. [`Proof::consume`] uses the proof up in the transaction of
//! what it is for: there it is decided, by the rows that change, which of several parallel uses counts.

use entity::{mfa_factor, mfa_verification, user};
use secrecy::{ExposeSecret, SecretString};
use uuid::Uuid;
use webauthn_rs::prelude::RegisterPublicKeyCredential;

use super::{
    attempts, email,
    model::{Factor, MfaError},
    recovery, repo, totp,
    webauthn::{self, Assertion},
};
use crate::{http::origin::Origin, state::AppState};
use sea_orm::ConnectionTrait;

const NO_CREDENTIAL: MfaError = MfaError::Field {
    field: "credential",
    message: "is needed with this factor",
};

/// What a caller says to prove a factor.
pub struct Attempt<'a> {
    /// The factor.
    pub factor: Factor,
    /// Its code.
    pub code: Option<&'a SecretString>,
    /// Of a passkey or security key: its answer, and to what.
    pub credential: Option<(&'a Assertion, webauthn::Purpose)>,
}

impl Attempt<'_> {
    /// The code without what people put between its parts.
    fn code(&self) -> Result<String, MfaError> {
        let code = self.code.ok_or(MfaError::Field {
            field: "code",
            message: "is needed with this factor",
        })?;
        let code = code.expose_secret();
        if code.len() > 64 {
            return Err(MfaError::Field {
                field: "code",
                message: "must have at most 64 characters",
            });
        }
        Ok(code.chars().filter(|c| !matches!(c, ' ' | '-')).collect())
    }
}

/// A factor that was found to be right, and is to be used up.
#[derive(Debug)]
pub struct Proof {
    /// What it was proven with.
    pub factor: Factor,
    /// How identity is proven by it (RFC 8176).
    pub amr: Vec<&'static str>,
    used: Used,
}

#[derive(Debug)]
enum Used {
    /// A factor, and of TOTP the step.
    Factor { id: Uuid, step: Option<i64> },
    /// A recovery code.
    Code(Uuid),
    /// A passkey or security key that is about to be added.
    New(Box<mfa_factor::ActiveModel>),
}

/// Counts a try with an enrolled factor, then compares.
///
/// `verification` is the pending login or the challenge that the try is for; only a code that was
/// mailed for it can answer it.
///
/// # Errors
///
/// [`MfaError::InvalidCode`] for a wrong one, [`MfaError::NotEnrolled`], [`MfaError::Throttled`],
/// [`MfaError::Locked`].
pub async fn check(
    state: &AppState,
    origin: &Origin,
    user: &user::Model,
    verification: Option<&mfa_verification::Model>,
    attempt: &Attempt<'_>,
) -> Result<Proof, MfaError> {
    if attempt.factor == Factor::Webauthn {
        return answered(state, origin, user, attempt).await;
    }
    let code = attempt.code()?;
    if attempt.factor == Factor::RecoveryCode {
        attempts::of_factor(state, user.id, Factor::RecoveryCode, None).await?;
        let found = recovery::find(state, user.id, &code).await?;
        let row = found.ok_or(MfaError::InvalidCode)?;
        return Ok(Proof {
            factor: Factor::RecoveryCode,
            amr: Factor::RecoveryCode.amr().to_vec(),
            used: Used::Code(row.id),
        });
    }
    compare(state, user, verification, attempt.factor, &code, true).await
}

/// Tries are not counted here: there is nothing to guess, and each challenge takes one answer.
async fn answered(
    state: &AppState,
    origin: &Origin,
    user: &user::Model,
    attempt: &Attempt<'_>,
) -> Result<Proof, MfaError> {
    let (assertion, purpose) = attempt.credential.ok_or(NO_CREDENTIAL)?;
    let proof = webauthn::finish_login(state, origin, purpose, user.id, assertion).await?;
    Ok(Proof {
        factor: Factor::Webauthn,
        amr: on_top(proof.amr),
        used: Used::Factor {
            id: proof.factor_id,
            step: None,
        },
    })
}

/// A passkey or security key that the browser made, in answer to the options for `verification`.
///
/// # Errors
///
/// [`MfaError::Field`] without `credential`, and those of [`webauthn::finish_enrolment`].
pub async fn check_new(
    state: &AppState,
    user: &user::Model,
    verification: &mfa_verification::Model,
    credential: Option<&RegisterPublicKeyCredential>,
) -> Result<Proof, MfaError> {
    let credential = credential.ok_or(NO_CREDENTIAL)?;
    let bound_to = verification.id;
    let (factor, amr) =
        webauthn::finish_enrolment(state, user.id, bound_to, credential, None).await?;
    Ok(Proof {
        factor: Factor::Webauthn,
        amr: on_top(amr),
        used: Used::New(Box::new(factor)),
    })
}

/// It comes on top of a password, so it makes two factors, also where the device has verified nobody.
fn on_top(mut amr: Vec<&'static str>) -> Vec<&'static str> {
    if !amr.contains(&"mfa") {
        amr.push("mfa");
    }
    amr
}

/// The same with a factor that was begun: a right code is what confirms it.
///
/// # Errors
///
/// As [`check`].
pub async fn check_begun(
    state: &AppState,
    user: &user::Model,
    verification: Option<&mfa_verification::Model>,
    attempt: &Attempt<'_>,
) -> Result<Proof, MfaError> {
    let code = attempt.code()?;
    compare(state, user, verification, attempt.factor, &code, false).await
}

async fn compare(
    state: &AppState,
    user: &user::Model,
    verification: Option<&mfa_verification::Model>,
    factor: Factor,
    code: &str,
    enrolled: bool,
) -> Result<Proof, MfaError> {
    let row = repo::single(&state.db, user.id, factor, enrolled)
        .await?
        .ok_or(MfaError::NotEnrolled)?;
    attempts::of_factor(state, user.id, factor, Some(row.id)).await?;
    let step = match factor {
        Factor::Totp => Some(
            totp::step(state, user.id, row.secret.as_deref(), code)?
                .ok_or(MfaError::InvalidCode)?,
        ),
        Factor::Email => {
            let sent = verification.is_some_and(|verification| {
                let asked = verification.factor.as_deref() == Some(Factor::Email.as_str());
                let hash = verification.code_hash.as_deref();
                asked && email::matches(state, verification.id, hash, code)
            });
            if !sent {
                return Err(MfaError::InvalidCode);
            }
            None
        }
        Factor::Password | Factor::Webauthn | Factor::RecoveryCode => {
            return Err(MfaError::NotEnrolled);
        }
    };
    Ok(Proof {
        factor,
        amr: factor.amr().to_vec(),
        used: Used::Factor { id: row.id, step },
    })
}

impl Proof {
    /// Uses the proof up, in the transaction of what it is for.
    ///
    /// # Errors
    ///
    /// [`MfaError::InvalidCode`] if another use came first.
    pub async fn consume(
        &self,
        txn: &impl ConnectionTrait,
        state: &AppState,
        user_id: Uuid,
    ) -> Result<(), MfaError> {
        let now = state.clock.now();
        let is_first = match &self.used {
            Used::Factor { id, step } => repo::used(txn, *id, *step, now).await?,
            Used::Code(id) => recovery::consume(txn, state, *id).await?,
            Used::New(_) => return Err(MfaError::NotEnrolled),
        };
        self.settle(txn, user_id, is_first).await
    }

    /// Uses the proof of a begun factor up: the factor is good from now on. Returns its id.
    ///
    /// # Errors
    ///
    /// [`MfaError::InvalidCode`] if another use came first, or something else was begun meanwhile.
    pub async fn confirm(
        &self,
        txn: &impl ConnectionTrait,
        state: &AppState,
        user_id: Uuid,
    ) -> Result<Uuid, MfaError> {
        let (id, step) = match &self.used {
            Used::Factor { id, step } => (*id, *step),
            Used::New(factor) => {
                let added = webauthn::insert(txn, user_id, (**factor).clone()).await?;
                return Ok(added.id);
            }
            Used::Code(_) => return Err(MfaError::NotEnrolled),
        };
        let is_first = repo::confirm(txn, id, step, state.clock.now()).await?;
        self.settle(txn, user_id, is_first).await?;
        Ok(id)
    }

    async fn settle(
        &self,
        txn: &impl ConnectionTrait,
        user_id: Uuid,
        is_first: bool,
    ) -> Result<(), MfaError> {
        if !is_first {
            return Err(MfaError::InvalidCode);
        }
        attempts::give_back(txn, user_id, self.factor).await?;
        Ok(())
    }
}
