//! HTTP in, HTTP out.

use actix_web::{HttpResponse, web::Data};

use super::{
    model::{Health, Readiness, Status},
    service,
};
use crate::state::AppState;

/// How the service and its parts are.
#[utoipa::path(get, path = "/api/health", tag = "Operations",
    responses((status = 200, body = Health), (status = 503, description = "Some part is down", body = Health)))]
pub async fn health(state: Data<AppState>) -> HttpResponse {
    let health = service::look(&state).await;
    answer(health.status).json(health)
}

/// Whether the process is up.
#[utoipa::path(get, path = "/api/health/live", tag = "Operations", responses((status = 200, body = Readiness)))]
pub async fn live() -> HttpResponse {
    HttpResponse::Ok().json(Readiness {
        status: Status::Ok,
        waiting_for: Vec::new(),
    })
}

/// Whether the service may get traffic.
#[utoipa::path(get, path = "/api/health/ready", tag = "Operations",
    responses((status = 200, body = Readiness), (status = 503, description = "Not now", body = Readiness)))]
pub async fn ready(state: Data<AppState>) -> HttpResponse {
    let readiness = service::readiness(&state).await;
    answer(readiness.status).json(readiness)
}

fn answer(status: Status) -> actix_web::HttpResponseBuilder {
    match status {
        Status::Down => HttpResponse::ServiceUnavailable(),
        Status::Ok | Status::Degraded => HttpResponse::Ok(),
    }
}
