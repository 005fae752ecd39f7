//! HTTP in, HTTP out.

use actix_web::{
    HttpRequest, HttpResponse,
    http::header::{HeaderName, LOCATION},
    web::{Data, Query},
};

use super::{login, model::Asked, service};
use crate::{
    access::authenticate,
    http::origin::Origin,
    problem::{Code, Problem},
    state::AppState,
};

/// Who sent it.
static X_AUTH_USER: HeaderName = HeaderName::from_static("x-auth-user");
/// Their address.
static X_AUTH_EMAIL: HeaderName = HeaderName::from_static("x-auth-email");
/// Their roles, with commas between.
static X_AUTH_ROLES: HeaderName = HeaderName::from_static("x-auth-roles");

/// Says to a proxy whether the request that it asks about may pass, and who sent it.
///
/// The credential is that of the request: an access token, an API key or the session's cookie.
#[utoipa::path(get, path = "/api/auth/forward", tag = "Authentication", params(Asked),
    responses(
        (status = 200, description = "It may pass", headers(
            ("X-Auth-User" = String, description = "Id of the user or service account"),
            ("X-Auth-Email" = String, description = "The user's confirmed address, or nothing; what is not visible ASCII, and `%`, is percent-encoded UTF-8"),
            ("X-Auth-Roles" = String, description = "Keys of the roles held at the system, with commas between"),
        )),
        (status = 302, description = "A browser has to go to the login first", headers(
            ("Location" = String, description = "The login page")))))]
pub async fn forward(
    state: Data<AppState>,
    request: HttpRequest,
    asked: Query<Asked>,
) -> Result<HttpResponse, Problem> {
    let demand = asked.demand()?;
    let actor = match authenticate::identify(&state, &request).await {
        Ok(actor) => actor,
        Err(problem) if problem.code() == Code::Unauthenticated => {
            let redirect = asked.redirect.as_deref();
            let page = login::page(&state.config, &request, redirect).ok_or(problem)?;
            return Ok(HttpResponse::Found()
                .insert_header((LOCATION, page.as_str()))
                .finish());
        }
        Err(problem) => return Err(problem),
    };
    let origin = Origin::of(&request);
    let identity = service::pass(&state, &actor, &origin, demand).await?;
    // All three always, so that a proxy that copies what is there leaves none of the client's own.
    Ok(HttpResponse::Ok()
        .insert_header((X_AUTH_USER.clone(), identity.user))
        .insert_header((X_AUTH_EMAIL.clone(), identity.email.unwrap_or_default()))
        .insert_header((X_AUTH_ROLES.clone(), identity.roles.join(",")))
        .finish())
}
