//! HTTP in, HTTP out.

use actix_web::{
    HttpResponse,
    web::{Data, Json},
};

use super::{
    change,
    model::{Cancelled, EmailToken, Resend, Verified},
    service,
};
use crate::{
    http::{body::Body, origin::Origin, pace},
    problem::Problem,
    state::AppState,
};

/// Proves an address with the token of a mail: that of a registration, or the new one of a change.
#[utoipa::path(post, path = "/api/auth/email/verify", tag = "Authentication",
    operation_id = "verify_email", request_body = EmailToken,
    responses((status = 200, body = Verified)))]
pub async fn verify(
    state: Data<AppState>,
    origin: Origin,
    body: Body<EmailToken>,
) -> Result<Json<Verified>, Problem> {
    let status = service::verify(&state, &origin, &body.value.token).await?;
    Ok(Json(Verified { status }))
}

/// Sends the link that proves an address once more. The answer does not tell whether it did.
#[utoipa::path(post, path = "/api/auth/email/resend", tag = "Authentication",
    operation_id = "resend_email_verification", request_body = Resend,
    responses((status = 202, description = "A mail is on its way if the address waits for a proof")))]
pub async fn resend(
    state: Data<AppState>,
    origin: Origin,
    body: Body<Resend>,
) -> Result<HttpResponse, Problem> {
    pace::even(service::resend(&state, &origin, &body.value.email)).await?;
    Ok(HttpResponse::Accepted().finish())
}

/// Stops a change of address with the token that the old address got, or undoes it.
#[utoipa::path(post, path = "/api/auth/email/cancel", tag = "Authentication",
    operation_id = "cancel_email_change", request_body = EmailToken,
    responses((status = 200, body = Cancelled)))]
pub async fn cancel(
    state: Data<AppState>,
    origin: Origin,
    body: Body<EmailToken>,
) -> Result<Json<Cancelled>, Problem> {
    let status = change::cancel(&state, &origin, &body.value.token).await?;
    Ok(Json(Cancelled { status }))
}
