//! HTTP in, HTTP out.

use actix_web::{
    HttpResponse,
    http::header::CACHE_CONTROL,
    web::{Data, Json},
};

use super::{
    model::{KeyView, ManageKeys},
    service,
};
use crate::{
    access::permit::Permit,
    http::{
        body::{Nothing, OptionalBody},
        idempotency::IdempotencyKey,
        page::Page,
    },
    problem::Problem,
    state::AppState,
};

/// The public keys of access tokens (RFC 7517): the next one before it signs, old ones until
/// their last token has expired.
#[utoipa::path(get, path = "/.well-known/jwks.json", tag = "Authentication",
    responses((status = 200, description = "A JWK set", body = serde_json::Value)))]
pub async fn jwks(state: Data<AppState>) -> HttpResponse {
    HttpResponse::Ok()
        .insert_header((CACHE_CONTROL, "public, max-age=300"))
        .json(state.keys.jwks(state.clock.now()))
}

/// The signing keys, on one page: there are never many.
#[utoipa::path(get, path = "/api/admin/keys", tag = "Administration",
    responses((status = 200, body = Page<KeyView>)))]
pub async fn list(
    permit: Permit<ManageKeys>,
    state: Data<AppState>,
) -> Result<Json<Page<KeyView>>, Problem> {
    Ok(page(service::list(&state, &permit).await?))
}

/// Makes the next key sign from now on. Tokens of the old one stay good until they expire.
#[utoipa::path(post, path = "/api/admin/keys/rotate", tag = "Administration",
    params(("Idempotency-Key" = Option<String>, Header, min_length = 1, max_length = 255)),
    responses((status = 200, body = Page<KeyView>)))]
pub async fn rotate(
    permit: Permit<ManageKeys>,
    state: Data<AppState>,
    key: IdempotencyKey,
    _body: OptionalBody<Nothing>,
) -> Result<Json<Page<KeyView>>, Problem> {
    let once = key.of(
        permit.principal(),
        Nothing::hash("POST /api/admin/keys/rotate"),
    );
    Ok(page(service::rotate(&state, &permit, &once).await?))
}

fn page(items: Vec<KeyView>) -> Json<Page<KeyView>> {
    Json(Page {
        items,
        next_cursor: None,
    })
}
