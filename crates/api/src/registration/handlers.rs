//! HTTP in, HTTP out.

use actix_web::{HttpRequest, HttpResponse, web::Data};

use super::{
    model::{Register, Registered},
    service,
};
use crate::{
    http::{body::Body, language::Language, origin::Origin, pace},
    problem::Problem,
    state::AppState,
};

/// Registers a user.
#[utoipa::path(post, path = "/api/register", tag = "Authentication", request_body = Register,
    responses((status = 202, body = Registered)))]
pub async fn register(
    state: Data<AppState>,
    origin: Origin,
    req: HttpRequest,
    body: Body<Register>,
) -> Result<HttpResponse, Problem> {
    let language = Language::of_request(&req);
    let registered = service::register(&state, &origin, language, body.value);
    let status = pace::even(registered).await?;
    Ok(HttpResponse::Accepted().json(Registered { status }))
}
