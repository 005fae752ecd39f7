//! HTTP in, HTTP out.

use actix_web::{HttpResponse, http::header::CACHE_CONTROL, web::Data};

use crate::state::AppState;

/// The public keys of access tokens (RFC 7517): the next one before it signs, old ones until
/// their last token has expired.
#[utoipa::path(get, path = "/.well-known/jwks.json", tag = "Authentication",
    responses((status = 200, description = "A JWK set", body = serde_json::Value)))]
pub async fn jwks(state: Data<AppState>) -> HttpResponse {
    HttpResponse::Ok()
        .insert_header((CACHE_CONTROL, "public, max-age=300"))
        .json(state.keys.jwks(state.clock.now()))
}
