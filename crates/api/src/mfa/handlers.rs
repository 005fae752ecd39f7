//! HTTP in, HTTP out.

use actix_web::{
    HttpRequest, HttpResponse,
    web::{Data, Json},
};

use super::{
    login,
    model::{
        Asked, BeginOwn, Begun, Challenge, ChallengeOwn, ChangeOwn, CodeSent, ConfirmEnrol,
        ConfirmOwn, Confirmed, Enrol, Enrollable, OwnFactors, ProveAgain, ReadOwn, RecoveryCodes,
        StepUp, SteppedUp, TotpSecret, Verify,
    },
    service, step_up,
};
use crate::{
    access::permit::Permit,
    http::{
        body::{Body, OptionalBody},
        origin::Origin,
        path,
    },
    login::{handlers::answer, model::LoginAnswer},
    problem::Problem,
    state::AppState,
};

/// Mails a code for a login that waits for one, or gives a passkey something to sign.
#[utoipa::path(post, path = "/api/auth/mfa/challenge", tag = "Authentication", request_body = Challenge,
    responses((status = 200, body = Asked)))]
pub async fn challenge(
    state: Data<AppState>,
    body: Body<Challenge>,
) -> Result<Json<Asked>, Problem> {
    Ok(Json(login::challenge(&state, body.value).await?))
}

/// Proves the second factor of a login.
#[utoipa::path(post, path = "/api/auth/mfa/verify", tag = "Authentication", request_body = Verify,
    responses((status = 200, body = LoginAnswer)))]
pub async fn verify(
    state: Data<AppState>,
    origin: Origin,
    body: Body<Verify>,
) -> Result<HttpResponse, Problem> {
    Ok(answer(login::verify(&state, &origin, body.value).await?))
}

/// Begins the second factor that a login demands.
#[utoipa::path(post, path = "/api/auth/mfa/enrol", tag = "Authentication", request_body = Enrol,
    responses((status = 200, body = Begun)))]
pub async fn enrol(state: Data<AppState>, body: Body<Enrol>) -> Result<Json<Begun>, Problem> {
    Ok(Json(login::enrol(&state, body.value).await?))
}

/// Confirms the second factor that a login demanded, and logs in.
#[utoipa::path(post, path = "/api/auth/mfa/enrol/confirm", tag = "Authentication",
    request_body = ConfirmEnrol, responses((status = 200, body = LoginAnswer)))]
pub async fn confirm_enrolment(
    state: Data<AppState>,
    origin: Origin,
    body: Body<ConfirmEnrol>,
) -> Result<HttpResponse, Problem> {
    Ok(answer(
        login::confirm_enrolment(&state, &origin, body.value).await?,
    ))
}

/// Mails a code for a step-up, or gives a passkey something to sign.
#[utoipa::path(post, path = "/api/auth/step-up/challenge", tag = "Authentication",
    request_body = ChallengeOwn, responses((status = 200, body = Asked)))]
pub async fn challenge_own(
    permit: Permit<StepUp>,
    state: Data<AppState>,
    body: Body<ChallengeOwn>,
) -> Result<Json<Asked>, Problem> {
    Ok(Json(step_up::challenge(&state, &permit, body.value).await?))
}

/// Proves again who the caller is.
#[utoipa::path(post, path = "/api/auth/step-up", tag = "Authentication", request_body = ProveAgain,
    responses((status = 200, body = SteppedUp)))]
pub async fn prove_again(
    permit: Permit<StepUp>,
    state: Data<AppState>,
    body: Body<ProveAgain>,
) -> Result<Json<SteppedUp>, Problem> {
    Ok(Json(step_up::prove(&state, &permit, body.value).await?))
}

/// The caller's factors.
#[utoipa::path(get, path = "/api/users/me/mfa", tag = "The own account",
    responses((status = 200, body = OwnFactors)))]
pub async fn own(
    permit: Permit<ReadOwn>,
    state: Data<AppState>,
) -> Result<Json<OwnFactors>, Problem> {
    Ok(Json(service::own(&state, &permit).await?))
}

/// Begins an authenticator app.
#[utoipa::path(post, path = "/api/users/me/mfa/totp", tag = "The own account",
    request_body = Option<BeginOwn>, responses((status = 200, body = TotpSecret)))]
pub async fn begin_totp(
    permit: Permit<ChangeOwn>,
    state: Data<AppState>,
    body: OptionalBody<BeginOwn>,
) -> Result<Json<Begun>, Problem> {
    begin(&permit, &state, Enrollable::Totp, &body.0).await
}

/// Confirms an authenticator app with a code of it.
#[utoipa::path(post, path = "/api/users/me/mfa/totp/confirm", tag = "The own account",
    request_body = ConfirmOwn, responses((status = 200, body = Confirmed)))]
pub async fn confirm_totp(
    permit: Permit<ChangeOwn>,
    state: Data<AppState>,
    body: Body<ConfirmOwn>,
) -> Result<Json<Confirmed>, Problem> {
    let confirmed = service::confirm(&state, &permit, Enrollable::Totp, body.value).await?;
    Ok(Json(confirmed))
}

/// Begins codes by mail: the first one is on its way.
#[utoipa::path(post, path = "/api/users/me/mfa/email", tag = "The own account",
    request_body = Option<BeginOwn>, responses((status = 200, body = CodeSent)))]
pub async fn begin_email(
    permit: Permit<ChangeOwn>,
    state: Data<AppState>,
    body: OptionalBody<BeginOwn>,
) -> Result<Json<Begun>, Problem> {
    begin(&permit, &state, Enrollable::Email, &body.0).await
}

/// Confirms codes by mail with the first one.
#[utoipa::path(post, path = "/api/users/me/mfa/email/confirm", tag = "The own account",
    request_body = ConfirmOwn, responses((status = 200, body = Confirmed)))]
pub async fn confirm_email(
    permit: Permit<ChangeOwn>,
    state: Data<AppState>,
    body: Body<ConfirmOwn>,
) -> Result<Json<Confirmed>, Problem> {
    let confirmed = service::confirm(&state, &permit, Enrollable::Email, body.value).await?;
    Ok(Json(confirmed))
}

async fn begin(
    permit: &Permit<ChangeOwn>,
    state: &AppState,
    factor: Enrollable,
    body: &BeginOwn,
) -> Result<Json<Begun>, Problem> {
    let begun = service::begin(state, permit, factor, body.label.as_deref()).await?;
    Ok(Json(begun))
}

/// Ten fresh recovery codes.
#[utoipa::path(post, path = "/api/users/me/mfa/recovery-codes", tag = "The own account",
    responses((status = 200, body = RecoveryCodes)))]
pub async fn renew_codes(
    permit: Permit<ChangeOwn>,
    state: Data<AppState>,
) -> Result<Json<RecoveryCodes>, Problem> {
    let recovery_codes = service::renew_codes(&state, &permit).await?;
    Ok(Json(RecoveryCodes { recovery_codes }))
}

/// Removes a factor.
#[utoipa::path(delete, path = "/api/users/me/mfa/factors/{factor_id}", tag = "The own account",
    params(("factor_id" = uuid::Uuid, Path)), responses((status = 204)))]
pub async fn remove(
    permit: Permit<ChangeOwn>,
    state: Data<AppState>,
    req: HttpRequest,
) -> Result<HttpResponse, Problem> {
    let id = path::id(&req, "factor_id")?;
    service::remove(&state, &permit, id).await?;
    Ok(HttpResponse::NoContent().finish())
}
