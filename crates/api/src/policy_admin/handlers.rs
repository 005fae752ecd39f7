//! HTTP in, HTTP out.

use std::time::Duration;

use actix_web::{
    HttpRequest, HttpResponse,
    http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, HeaderName, IF_NONE_MATCH},
    web::{Data, Json},
};

use super::{
    model::{PolicyView, ReadPolicy},
    service::{self, Answer},
};
use crate::{access::permit::Permit, problem::Problem, state::AppState};

const PREFER: HeaderName = HeaderName::from_static("prefer");
/// By this type OPA servers know that a question may be left waiting.
const LONG_POLLED: &str = "application/vnd.openpolicyagent.bundles";

/// The policy of this instance: what decides, its files, and why newer ones were refused.
#[utoipa::path(get, path = "/api/admin/policy", tag = "Administration",
    responses((status = 200, body = PolicyView)))]
pub async fn show(permit: Permit<ReadPolicy>, state: Data<AppState>) -> Json<PolicyView> {
    Json(service::show(&state, &permit))
}

/// The policy as a signed bundle for OPA servers.
///
/// With `Prefer: wait=<seconds>` and the current entity tag, the answer waits for the next policy.
#[utoipa::path(get, path = "/api/opa/bundles/gatepost.tar.gz", tag = "Authorization",
    params(("If-None-Match" = Option<String>, Header), ("Prefer" = Option<String>, Header)),
    responses(
        (status = 200, description = "A gzipped tar with its entity tag",
            content((Vec<u8> = "application/gzip"), (Vec<u8> = "application/vnd.openpolicyagent.bundles"))),
        (status = 304, description = "The caller has the newest one")))]
pub async fn bundle(
    permit: Permit<ReadPolicy>,
    state: Data<AppState>,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    let known = listed(&request, &IF_NONE_MATCH, &[',']);
    let wait = wait(&request);
    let answer = service::bundle(&state, &permit, &known, wait.unwrap_or_default()).await?;
    let kind = wait.map_or("application/gzip", |_| LONG_POLLED);
    let (mut response, tag, body) = match answer {
        Answer::Snapshot(tag, bytes) => (HttpResponse::Ok(), tag, Some(bytes)),
        Answer::Known(tag) => (HttpResponse::NotModified(), tag, None),
    };
    response
        .insert_header((CONTENT_TYPE, kind))
        .insert_header((ETAG, tag))
        .insert_header((CACHE_CONTROL, "private, no-cache"));
    Ok(match body {
        Some(bytes) => response.body(bytes),
        None => response.finish(),
    })
}

/// How long the answer may be left waiting (RFC 7240, section 4.3).
fn wait(request: &HttpRequest) -> Option<Duration> {
    listed(request, &PREFER, &[',', ';'])
        .iter()
        .find_map(|part| part.strip_prefix("wait=")?.parse().ok())
        .map(Duration::from_secs)
}

fn listed(request: &HttpRequest, name: &HeaderName, separators: &[char]) -> Vec<String> {
    let values = request.headers().get_all(name);
    let texts = values.filter_map(|value| value.to_str().ok());
    texts
        .flat_map(|text| text.split(separators))
        .map(|part| part.trim().trim_start_matches("W/").to_owned())
        .collect()
}
