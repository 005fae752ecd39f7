//! `GET /problems/{code}`: what a problem means, for whoever follows its `type`.

use actix_web::{HttpRequest, HttpResponse, http::header::CACHE_CONTROL};
use serde::Serialize;
use utoipa::ToSchema;

use crate::problem::{Code, Problem};

/// What a problem means.
#[derive(Serialize, ToSchema)]
pub struct Explanation {
    /// Its stable name.
    pub code: &'static str,
    /// The HTTP status it comes with.
    pub status: u16,
    /// The same for every problem of this code.
    pub title: &'static str,
    /// What it means, and what to do.
    pub meaning: &'static str,
}

/// Explains an error code.
///
/// # Errors
///
/// `404` for a code that there is not.
#[utoipa::path(get, path = "/problems/{code}", tag = "Operations", params(("code" = String, Path)),
    responses((status = 200, body = Explanation)))]
pub async fn explain(req: HttpRequest) -> Result<HttpResponse, Problem> {
    let name = req.match_info().get("code").unwrap_or_default();
    let code = Code::ALL
        .iter()
        .find(|code| code.slug() == name)
        .ok_or_else(|| Problem::plain(Code::NotFound))?;
    Ok(HttpResponse::Ok()
        .insert_header((CACHE_CONTROL, "public, max-age=3600"))
        .json(Explanation {
            code: code.slug(),
            status: code.status().as_u16(),
            title: code.title(),
            meaning: code.meaning(),
        }))
}
