//! HTTP in, HTTP out.

use actix_web::{
    HttpRequest,
    http::header::{CONTENT_ENCODING, HeaderValue},
    web::{Data, Json, Payload},
};

use super::{
    model::{HandInDecisions, ReplayPolicy, ReplayRequest, Taken},
    opa_log::MOST_BYTES,
    replay::Outcome,
    service,
};
use crate::{
    access::permit::Permit,
    http::body::{self, Body},
    problem::{Code, Problem},
    state::AppState,
};

/// Logged decisions again under another policy: who would gain, who would lose, by which rule.
#[utoipa::path(post, path = "/api/admin/policy/replay", tag = "Administration", request_body = ReplayRequest,
    responses((status = 200, body = Outcome)))]
pub async fn replay(
    permit: Permit<ReplayPolicy>,
    state: Data<AppState>,
    body: Body<ReplayRequest>,
) -> Result<Json<Outcome>, Problem> {
    Ok(Json(service::replay(&state, &permit, body.value).await?))
}

/// Takes in the decision log of an OPA server, as OPA sends it.
#[utoipa::path(post, path = "/api/opa/logs", tag = "Authorization", request_body = Vec<serde_json::Value>,
    params(("Content-Encoding" = Option<String>, Header, description = "`gzip`, or nothing")),
    responses((status = 200, body = Taken)))]
pub async fn take_in(
    permit: Permit<HandInDecisions>,
    state: Data<AppState>,
    request: HttpRequest,
    payload: Payload,
) -> Result<Json<Taken>, Problem> {
    let bytes = body::read(payload.into_inner(), MOST_BYTES).await?;
    if !body::is_json(&request) {
        return Err(Problem::plain(Code::UnsupportedMediaType));
    }
    let encoding = request.headers().get(CONTENT_ENCODING);
    let is_gzip = match encoding.map(HeaderValue::as_bytes) {
        None | Some(b"identity") => false,
        Some(b"gzip") => true,
        Some(_) => return Err(Problem::plain(Code::UnsupportedMediaType)),
    };
    Ok(Json(
        service::take_in(&state, &permit, &bytes, is_gzip).await?,
    ))
}
