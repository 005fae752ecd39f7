//! Page tokens: where the next page begins, sealed, and good for the same request only.

use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::{
    access::actor::Principal, authzen::request::Search, crypto::seal::Sealer, problem::Problem,
};

const LABEL: &str = "search page";
/// Results of a page if the request does not say.
const DEFAULT: u32 = 50;
/// Results that a page has at most.
const MOST: u32 = 500;

/// Which part of the results a request asks for.
#[derive(Debug)]
pub(super) struct Page {
    /// What the client asked for, first or now; none: it never said.
    limit: Option<u32>,
    request: String,
    /// Begins after what has this key; none: at the beginning.
    pub(super) after: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct Content {
    request: String,
    limit: Option<u32>,
    after: String,
}

impl Page {
    /// Reads the token of `search`, which `caller` has sent.
    ///
    /// # Errors
    ///
    /// `400` for a token of another request or caller, or with another limit than was said before.
    pub(super) fn of(search: &Search, caller: Principal, sealer: &Sealer) -> Result<Self, Problem> {
        let request = fingerprint(search, caller)?;
        let Some(token) = &search.token else {
            return Ok(Self {
                limit: search.limit,
                request,
                after: None,
            });
        };
        let wrong = |message: &str| Problem::invalid("page.token", "invalid_token", message);
        let content: Content = URL_SAFE_NO_PAD
            .decode(token)
            .ok()
            .and_then(|sealed| sealer.open(LABEL, &sealed).ok())
            .and_then(|content| serde_json::from_slice(&content).ok())
            .ok_or_else(|| wrong("is not the `next_token` of an answer"))?;
        if content.request != request {
            return Err(wrong(
                "belongs to another request: nothing may change from page to page",
            ));
        }
        if search.limit.is_some() && search.limit != content.limit {
            let message = "must stay the same from page to page, or be left out";
            return Err(Problem::invalid("page.limit", "invalid_value", message));
        }
        Ok(Self {
            limit: content.limit,
            request,
            after: Some(content.after),
        })
    }

    /// Results that the page has at most.
    pub(super) fn limit(&self) -> usize {
        usize::try_from(self.limit.unwrap_or(DEFAULT).min(MOST)).unwrap_or(usize::MAX)
    }

    /// The token of the page that begins after what has the key `after`.
    pub(super) fn next(&self, after: &str, sealer: &Sealer) -> Result<String, Problem> {
        let content = Content {
            request: self.request.clone(),
            limit: self.limit,
            after: after.to_owned(),
        };
        let content = serde_json::to_vec(&content).map_err(Problem::internal)?;
        Ok(URL_SAFE_NO_PAD.encode(sealer.seal(LABEL, &content)))
    }
}

/// Tells one request from another, whatever the order of their members.
fn fingerprint(search: &Search, caller: Principal) -> Result<String, Problem> {
    let whole = json!([caller.to_string(), search.essence()]);
    let canonical = serde_json_canonicalizer::to_vec(&whole).map_err(|_| {
        Problem::invalid(
            "",
            "invalid_value",
            "holds a number that cannot be compared",
        )
    })?;
    Ok(URL_SAFE_NO_PAD.encode(digest(&SHA256, &canonical)))
}
