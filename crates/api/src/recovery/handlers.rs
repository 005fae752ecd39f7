//! HTTP in, HTTP out.

use actix_web::{HttpResponse, web::Data};

use super::{
    lockdown as closing,
    model::{Forgot, Lockdown, Reset},
    service,
};
use crate::{
    http::{body::Body, origin::Origin, pace},
    problem::Problem,
    state::AppState,
};

/// Sends a link to set a new password. The answer does not tell whether there is an account.
#[utoipa::path(post, path = "/api/auth/password/forgot", tag = "Authentication",
    operation_id = "forgot_password", request_body = Forgot,
    responses((status = 202, description = "A mail is on its way if there is an open account")))]
pub async fn forgot(
    state: Data<AppState>,
    origin: Origin,
    body: Body<Forgot>,
) -> Result<HttpResponse, Problem> {
    pace::even(service::forgot(&state, &origin, &body.value.email)).await?;
    Ok(HttpResponse::Accepted().finish())
}

/// Sets a new password with the token of the mail, and ends what was there before. Brings no session.
#[utoipa::path(post, path = "/api/auth/password/reset", tag = "Authentication",
    operation_id = "reset_password", request_body = Reset, responses((status = 204)))]
pub async fn reset(
    state: Data<AppState>,
    origin: Origin,
    body: Body<Reset>,
) -> Result<HttpResponse, Problem> {
    service::reset(&state, &origin, body.value).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// "This was not me": ends everything and sends a link to set a new password. Doing it again
/// changes nothing.
#[utoipa::path(post, path = "/api/auth/lockdown", tag = "Authentication", operation_id = "lock_down",
    request_body = Lockdown, responses((status = 204)))]
pub async fn lockdown(
    state: Data<AppState>,
    origin: Origin,
    body: Body<Lockdown>,
) -> Result<HttpResponse, Problem> {
    closing::act(&state, &origin, &body.value.token).await?;
    Ok(HttpResponse::NoContent().finish())
}
