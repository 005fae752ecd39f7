//! HTTP in, HTTP out.

use actix_web::{HttpResponse, web::Data};

use super::{
    model::{Register, Registered},
    service,
};
use crate::{
    http::{body::Body, origin::Origin, pace},
    problem::Problem,
    state::AppState,
};

/// Registers a user.
#[utoipa::path(post, path = "/api/register", tag = "Authentication", request_body = Register,
    responses((status = 202, body = Registered)))]
pub async fn register(
    state: Data<AppState>,
    origin: Origin,
    body: Body<Register>,
) -> Result<HttpResponse, Problem> {
    let status = pace::even(service::register(&state, &origin, body.value)).await?;
    Ok(HttpResponse::Accepted().json(Registered { status }))
}
