//! HTTP in, HTTP out.

use actix_web::{
    HttpRequest, HttpResponse,
    http::header::LOCATION,
    web::{Data, Json, Query},
};

use super::{
    model::{ApiKeyView, MadeKey, ManageOwn, NewApiKey, ReadOwn},
    service,
};
use crate::{
    access::permit::Permit,
    http::{
        body::Body,
        idempotency::IdempotencyKey,
        page::{Page, Paging},
        path,
    },
    problem::Problem,
    state::AppState,
};

/// The caller's API keys, without those that were revoked.
#[utoipa::path(get, path = "/api/users/me/api-keys", tag = "The own account",
    operation_id = "list_own_api_keys", params(Paging),
    responses((status = 200, body = Page<ApiKeyView>)))]
pub async fn list_own(
    permit: Permit<ReadOwn>,
    state: Data<AppState>,
    paging: Query<Paging>,
) -> Result<Json<Page<ApiKeyView>>, Problem> {
    let cut = paging.cut()?;
    Ok(Json(service::list_own(&state, &permit, &cut).await?))
}

/// Makes an API key that acts for the caller. It is shown in this answer and never again.
#[utoipa::path(post, path = "/api/users/me/api-keys", tag = "The own account",
    operation_id = "create_own_api_key", request_body = NewApiKey,
    params(("Idempotency-Key" = Option<String>, Header, min_length = 1, max_length = 255)),
    responses((status = 201, body = MadeKey)))]
pub async fn create_own(
    permit: Permit<ManageOwn>,
    state: Data<AppState>,
    key: IdempotencyKey,
    body: Body<NewApiKey>,
) -> Result<HttpResponse, Problem> {
    let once = key.of(permit.principal(), body.hash);
    let made = service::create_own(&state, &permit, body.value, &once).await?;
    Ok(created("/api/users/me/api-keys", &made))
}

/// `201` with a key that was made below `list`.
pub(crate) fn created(list: &str, made: &MadeKey) -> HttpResponse {
    HttpResponse::Created()
        .insert_header((LOCATION, format!("{list}/{}", made.view.id)))
        .json(made)
}

/// Revokes an API key of the caller's.
#[utoipa::path(delete, path = "/api/users/me/api-keys/{api_key_id}", tag = "The own account",
    operation_id = "revoke_own_api_key", params(("api_key_id" = uuid::Uuid, Path)),
    responses((status = 204)))]
pub async fn revoke_own(
    permit: Permit<ManageOwn>,
    state: Data<AppState>,
    req: HttpRequest,
) -> Result<HttpResponse, Problem> {
    let id = path::id(&req, "api_key_id")?;
    service::revoke_own(&state, &permit, id).await?;
    Ok(HttpResponse::NoContent().finish())
}
