//! Login with a passkey alone. Transactions begin and end here.

use chrono::TimeDelta;
use serde_json::json;

use super::{
    model::{LoginWithPasskey, Proof, RequestOptions, WebauthnFault},
    service,
};
use crate::{
    audit::{self, Doer, Entry, Target},
    database::tx::{Scope, Tx},
    http::origin::Origin,
    login::{
        grant::{self, Outcome, Progress},
        model::LoginError,
        throttle::{self, Key},
    },
    mfa::{
        model::{Factor, MfaError},
        repo,
    },
    sessions,
    state::AppState,
};

/// Makes a challenge for whoever asks. As many from one address as logins: each takes a row.
///
/// # Errors
///
/// [`LoginError::Throttled`], or [`WebauthnFault::Unavailable`].
pub async fn begin(state: &AppState, origin: &Origin) -> Result<RequestOptions, LoginError> {
    let text = format!("passkey options address {}", origin.ip);
    let limit = state.config.throttle.per_address;
    admit(state, &[Key::within(&text, limit, TimeDelta::minutes(1))]).await?;
    Ok(service::begin_passkey(state)
        .await
        .map_err(MfaError::from)?)
}

/// Logs in whoever the passkey says. The device has verified its user, so this is as good as a
/// password and a second factor.
///
/// # Errors
///
/// [`LoginError::InvalidCredentials`] for everything that proves nothing.
pub async fn finish(
    state: &AppState,
    origin: &Origin,
    body: LoginWithPasskey,
) -> Result<Outcome, LoginError> {
    let limit = state.config.throttle.per_address;
    admit(state, &[Key::address(origin.ip, limit)]).await?;
    let proof = match service::finish_passkey(state, origin, &body.credential).await {
        Err(WebauthnFault::Refused) => return Err(refused(state, origin).await?),
        checked => checked.map_err(MfaError::from)?,
    };
    let progress = Progress {
        amr: proof.amr.iter().map(ToString::to_string).collect(),
        factor: Factor::Webauthn,
        complete: true,
        remember: body.remember,
        cookie: body.cookie,
    };
    enter(state, origin, &proof, &progress).await
}

async fn enter(
    state: &AppState,
    origin: &Origin,
    proof: &Proof,
    progress: &Progress,
) -> Result<Outcome, LoginError> {
    let tx = Tx::begin(state, &sessions::service::scope(proof.user_id)).await?;
    let user = grant::locked(&tx, proof.user_id).await?;
    // It may have been removed since.
    if !repo::used(&*tx, proof.factor_id, None, state.clock.now()).await? {
        return Err(LoginError::InvalidCredentials);
    }
    let advance = grant::advance(&tx, state, origin, &user, progress).await?;
    tx.commit().await?;
    grant::finish(state, &user, progress, advance)
}

async fn admit(state: &AppState, keys: &[Key]) -> Result<(), LoginError> {
    throttle::admit(state, keys)
        .await?
        .map_err(|seconds| LoginError::Throttled { seconds })
}

/// Writes down that someone tried. Whose passkey it claimed to be is not: anyone can claim that.
async fn refused(state: &AppState, origin: &Origin) -> Result<LoginError, LoginError> {
    let tx = Tx::begin(state, &Scope::None).await?;
    let entry = Entry {
        doer: Doer::Anonymous,
        action: "session.login_failed",
        target: Target {
            kind: "user",
            id: None,
            organization_id: None,
        },
        details: json!({ "factor": Factor::Webauthn.as_str() }),
    };
    audit::record(&*tx, &*state.clock, origin, entry).await?;
    tx.commit().await?;
    Ok(LoginError::InvalidCredentials)
}
