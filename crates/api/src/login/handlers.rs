//! HTTP in, HTTP out.

use actix_web::{HttpResponse, web::Data};

use super::{
    change,
    grant::Outcome,
    model::{ChangePassword, Login, LoginAnswer, LoginError},
    service,
};
use crate::{
    http::{body::Body, origin::Origin, pace},
    problem::Problem,
    sessions::cookie,
    state::AppState,
};

/// Logs in with an e-mail address or a username, and a password.
#[utoipa::path(post, path = "/api/auth/login", tag = "Authentication", request_body = Login,
    responses((status = 200, body = LoginAnswer)))]
pub async fn login(
    state: Data<AppState>,
    origin: Origin,
    body: Body<Login>,
) -> Result<HttpResponse, Problem> {
    let login = service::login(&state, &origin, body.value);
    let refused = |result: &Result<_, _>| matches!(result, Err(LoginError::InvalidCredentials));
    Ok(answer(pace::even_if(login, refused).await?))
}

/// Changes a password that has to be changed, and logs in.
#[utoipa::path(post, path = "/api/auth/password/change", tag = "Authentication", request_body = ChangePassword,
    responses((status = 200, body = LoginAnswer)))]
pub async fn change_password(
    state: Data<AppState>,
    origin: Origin,
    body: Body<ChangePassword>,
) -> Result<HttpResponse, Problem> {
    Ok(answer(
        change::change_password(&state, &origin, body.value).await?,
    ))
}

/// The answer to any step of a login.
pub(crate) fn answer(outcome: Outcome) -> HttpResponse {
    let mut response = HttpResponse::Ok();
    if let Some((token, lifetime)) = &outcome.cookie {
        response.cookie(cookie::set(token, *lifetime));
    }
    response.json(outcome.answer)
}
