//! HTTP in, HTTP out.

use actix_web::{
    HttpResponse,
    web::{Data, Json},
};

use super::{
    model::{Introspect, Introspection, TokenForm},
    service,
};
use crate::{access::permit::Permit, http::form::Form, problem::Problem, state::AppState};

/// Whether a token counts now, and what is known of it (RFC 7662).
///
/// Takes access tokens, refresh tokens and API keys. Of anything else, and of what has expired
/// or was revoked, the answer is `{"active": false}` and nothing more.
#[utoipa::path(post, path = "/api/auth/introspect", tag = "Authentication",
    request_body(content = TokenForm, content_type = "application/x-www-form-urlencoded"),
    responses((status = 200, body = Introspection)))]
pub async fn introspect(
    permit: Permit<Introspect>,
    state: Data<AppState>,
    form: Form,
) -> Result<Json<Introspection>, Problem> {
    form.parameter("token_type_hint")?;
    let token = form.required("token")?;
    Ok(Json(service::introspect(&state, &permit, token).await?))
}

/// Makes a token count no more (RFC 7009).
///
/// With an access or refresh token its whole session ends. A token that did not count anyway
/// is a `200`, too.
#[utoipa::path(post, path = "/api/auth/revoke", tag = "Authentication",
    request_body(content = TokenForm, content_type = "application/x-www-form-urlencoded"),
    responses((status = 200, description = "It does not count, or does no more")))]
pub async fn revoke(
    permit: Permit<Introspect>,
    state: Data<AppState>,
    form: Form,
) -> Result<HttpResponse, Problem> {
    form.parameter("token_type_hint")?;
    let token = form.required("token")?;
    service::revoke(&state, &permit, token).await?;
    Ok(HttpResponse::Ok().finish())
}
