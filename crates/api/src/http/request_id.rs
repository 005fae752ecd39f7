//! The id that a request has in the answer, the log and the audit log.

use std::sync::Arc;

use actix_web::{HttpRequest, http::header::HeaderName};
use uuid::Uuid;

/// Carries the id, both ways.
pub static X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

tokio::task_local! {
    /// Set by [`super::envelope`] around everything that a request does.
    pub(super) static CURRENT: Current;
}

/// What every answer and log line of one request share.
#[derive(Clone)]
pub struct Current {
    /// 1 to 128 characters of `[A-Za-z0-9._-]`.
    pub id: Arc<str>,
    /// `PUBLIC_URL` without a slash at its end.
    pub public_url: Arc<str>,
}

/// Whether a request is being answered here, or something that goes on beside the requests.
pub fn is_in_request() -> bool {
    CURRENT.try_with(|_| ()).is_ok()
}

/// The request being answered. Outside of a request its parts are empty.
pub fn current() -> CurrentText {
    CURRENT
        .try_with(|current| CurrentText {
            id: current.id.to_string(),
            public_url: current.public_url.to_string(),
        })
        .unwrap_or_default()
}

/// [`Current`], owned.
#[derive(Default)]
pub struct CurrentText {
    /// See [`Current::id`].
    pub id: String,
    /// See [`Current::public_url`].
    pub public_url: String,
}

/// The id that the client chose, if it is one that may stand in a log, else a new one.
pub(super) fn choose(request: &HttpRequest) -> Arc<str> {
    request
        .headers()
        .get(&X_REQUEST_ID)
        .and_then(|value| value.to_str().ok())
        .filter(|id| is_acceptable(id))
        .map_or_else(|| Uuid::now_v7().to_string().into(), Into::into)
}

fn is_acceptable(id: &str) -> bool {
    (1..=128).contains(&id.len())
        && id
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_that_could_break_a_log_line_is_not_taken() {
        assert!(is_acceptable("req-1_a.B"));
        for id in ["", "a b", "a\nb", "ä", "a\"b", &"x".repeat(129)] {
            assert!(!is_acceptable(id), "{id:?}");
        }
    }
}
