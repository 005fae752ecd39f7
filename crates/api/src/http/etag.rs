//! Entity tags: the version of a row, and what to do when it moved on
//! (RFC 9110, sections 8.8.3 and 13.1.1).

use std::future::{Ready, ready};

use actix_web::{FromRequest, HttpRequest, dev::Payload, http::header::IF_MATCH};

use crate::problem::{Code, Problem};

/// The `ETag` of version `version`.
pub fn of(version: i64) -> String {
    format!("\"v{version}\"")
}

/// The `If-Match` of a request: the version that the client has seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IfMatch {
    /// No such header, or `*`: the last write wins.
    Any,
    /// One of these tags.
    OneOf(Vec<String>),
}

impl IfMatch {
    /// Whether a row of `version` may be changed.
    ///
    /// # Errors
    ///
    /// `412` if the client has seen another version.
    pub fn check(&self, version: i64) -> Result<(), Problem> {
        match self {
            Self::OneOf(tags) if !tags.contains(&of(version)) => {
                Err(Problem::plain(Code::PreconditionFailed))
            }
            _ => Ok(()),
        }
    }
}

impl FromRequest for IfMatch {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(req: &HttpRequest, _: &mut Payload) -> Self::Future {
        let mut tags = Vec::new();
        for value in req.headers().get_all(IF_MATCH) {
            let Ok(text) = value.to_str() else {
                // Not a tag of ours, so it matches nothing.
                tags.push(String::new());
                continue;
            };
            tags.extend(text.split(',').map(|tag| tag.trim().to_owned()));
        }
        ready(Ok(
            if tags.is_empty() || tags.iter().any(|tag| tag == "*") {
                Self::Any
            } else {
                Self::OneOf(tags)
            },
        ))
    }
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    async fn parsed(value: &str) -> IfMatch {
        let req = TestRequest::default()
            .insert_header((IF_MATCH, value))
            .to_http_request();
        IfMatch::extract(&req).await.unwrap()
    }

    #[actix_web::test]
    async fn a_stale_or_foreign_tag_does_not_match() {
        assert!(parsed("\"v3\"").await.check(3).is_ok());
        assert!(parsed("*").await.check(3).is_ok());
        assert!(parsed("\"x\", \"v3\"").await.check(3).is_ok());
        for stale in ["\"v2\"", "v3", "W/\"v3\"", "garbage"] {
            assert!(parsed(stale).await.check(3).is_err(), "{stale}");
        }
    }
}
