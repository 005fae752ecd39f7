//! What surrounds every request: its id, its span, its time limit, the
//! security headers of its answer, one line in the log and its metrics.

use std::{sync::Arc, time::Duration};

use actix_web::{
    Error,
    body::{BoxBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    error::InternalError,
    http::{
        StatusCode,
        header::{self, HeaderMap, HeaderValue},
    },
    middleware::Next,
};
use tokio::time::Instant;
use tracing::Instrument;

use super::request_id::{self, CURRENT, Current, X_REQUEST_ID};
use crate::{
    problem::{Code, Problem},
    state::AppState,
};

/// No request takes longer, whatever it waits for.
const REQUEST_LIMIT: Duration = Duration::from_secs(30);

/// The outermost middleware.
pub async fn envelope(
    req: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let started = Instant::now();
    let state = AppState::of(req.request());
    let current = Current {
        id: request_id::choose(req.request()),
        public_url: Arc::clone(&state.public_url),
    };
    let id = Arc::clone(&current.id);
    let method = req.method().clone();
    let path = req.path().to_owned();
    let span = tracing::info_span!("request", request_id = %id);
    let answer = CURRENT
        .scope(current, answer(req, next))
        .instrument(span.clone());
    let (mut result, route) = answer.await;
    let (status, headers) = match &mut result {
        Ok(response) => (response.status(), response.headers_mut()),
        Err((status, response)) => (*status, response.headers_mut()),
    };
    dress(headers, &id);
    let elapsed = started.elapsed();
    count(method.as_str(), &route, status, elapsed);
    span.in_scope(|| {
        let status = status.as_u16();
        let milliseconds = elapsed.as_secs_f64() * 1000.0;
        tracing::info!(%method, path, status, milliseconds, "answered");
    });
    result.map_err(|(_, response)| InternalError::from_response("answered", response).into())
}

type Failed = (StatusCode, actix_web::HttpResponse);

/// Calls the rest, within the time limit, and turns what fails into a problem
/// while the request id is still at hand.
async fn answer(
    req: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> (Result<ServiceResponse<BoxBody>, Failed>, String) {
    match tokio::time::timeout(REQUEST_LIMIT, next.call(req)).await {
        Ok(Ok(response)) => {
            let route = response.request().match_pattern().unwrap_or_default();
            (Ok(response.map_into_boxed_body()), route)
        }
        Ok(Err(error)) => {
            let response = error.error_response();
            (Err((response.status(), response)), String::new())
        }
        Err(_) => {
            let problem = Problem::plain(Code::DatabaseUnavailable).retry_after(5);
            let response = Error::from(problem).error_response();
            (Err((response.status(), response)), String::new())
        }
    }
}

/// Headers that every answer has.
fn dress(headers: &mut HeaderMap, id: &str) {
    if let Ok(value) = HeaderValue::from_str(id) {
        headers.insert(X_REQUEST_ID.clone(), value);
    }
    let fixed = [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (
            header::STRICT_TRANSPORT_SECURITY,
            "max-age=31536000; includeSubDomains",
        ),
    ];
    for (name, value) in fixed {
        headers.insert(name, HeaderValue::from_static(value));
    }
    // Pages say for themselves what they may load, and public documents how long they keep.
    let unless_said = [
        (header::CACHE_CONTROL, "no-store"),
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; frame-ancestors 'none'; base-uri 'none'",
        ),
    ];
    for (name, value) in unless_said {
        if !headers.contains_key(&name) {
            headers.insert(name, HeaderValue::from_static(value));
        }
    }
}

/// The route's pattern and not the path, so that the number of series is bounded.
fn count(method: &str, route: &str, status: StatusCode, elapsed: Duration) {
    let labels = [
        ("method", method.to_owned()),
        ("route", route.to_owned()),
        ("status", status.as_u16().to_string()),
    ];
    metrics::counter!("gatepost_http_requests_total", &labels).increment(1);
    metrics::histogram!("gatepost_http_request_seconds", &labels[..2])
        .record(elapsed.as_secs_f64());
}
