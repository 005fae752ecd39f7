//! Ids in paths. What is no id names nothing: `404`, as for an unknown one.

use actix_web::HttpRequest;
use uuid::Uuid;

use crate::problem::{Code, Problem};

/// The id that stands at `{name}`.
///
/// # Errors
///
/// `404` if it is not a UUID.
pub fn id(req: &HttpRequest, name: &str) -> Result<Uuid, Problem> {
    req.match_info()
        .get(name)
        .and_then(|text| Uuid::try_parse(text).ok())
        .ok_or_else(|| Problem::plain(Code::NotFound))
}
