//! HTTP in, HTTP out.

use actix_web::{
    HttpResponse,
    web::{Data, Json},
};

use super::{
    login,
    model::{BeginEnrolment, CreationOptions, FinishEnrolment, LoginWithPasskey, RequestOptions},
    own,
};
use crate::{
    access::permit::Permit,
    http::{body::Body, origin::Origin},
    login::{handlers::answer, model::LoginAnswer},
    mfa::model::{ChangeOwn, Confirmed},
    problem::Problem,
    state::AppState,
};

/// Begins to add a passkey or a security key.
#[utoipa::path(post, path = "/api/users/me/mfa/webauthn/options", tag = "The own account",
    request_body = BeginEnrolment, responses((status = 200, body = CreationOptions)))]
pub async fn begin_own(
    permit: Permit<ChangeOwn>,
    state: Data<AppState>,
    body: Body<BeginEnrolment>,
) -> Result<Json<CreationOptions>, Problem> {
    Ok(Json(own::begin(&state, &permit, body.value.kind).await?))
}

/// Adds the passkey or security key that the browser has made.
#[utoipa::path(post, path = "/api/users/me/mfa/webauthn", tag = "The own account",
    request_body = FinishEnrolment, responses((status = 201, body = Confirmed)))]
pub async fn finish_own(
    permit: Permit<ChangeOwn>,
    state: Data<AppState>,
    body: Body<FinishEnrolment>,
) -> Result<HttpResponse, Problem> {
    let confirmed = own::finish(&state, &permit, body.value).await?;
    Ok(HttpResponse::Created().json(confirmed))
}

/// Begins a login with a passkey alone. The same for everyone.
#[utoipa::path(post, path = "/api/auth/passkey/options", tag = "Authentication",
    responses((status = 200, body = RequestOptions)))]
pub async fn begin_login(
    state: Data<AppState>,
    origin: Origin,
) -> Result<Json<RequestOptions>, Problem> {
    Ok(Json(login::begin(&state, &origin).await?))
}

/// Logs in with a passkey alone.
#[utoipa::path(post, path = "/api/auth/passkey/verify", tag = "Authentication",
    request_body = LoginWithPasskey, responses((status = 200, body = LoginAnswer)))]
pub async fn finish_login(
    state: Data<AppState>,
    origin: Origin,
    body: Body<LoginWithPasskey>,
) -> Result<HttpResponse, Problem> {
    Ok(answer(login::finish(&state, &origin, body.value).await?))
}
