//! Builds the actix application. Tests serve exactly this one.

use actix_cors::Cors;
use actix_web::{
    App, Error, HttpResponse,
    body::MessageBody,
    dev::{ServiceFactory, ServiceRequest, ServiceResponse},
    http::{Method, header},
    middleware::{Condition, from_fn},
    web::{self, Data, PathConfig, QueryConfig},
};

use crate::{
    http::{envelope::envelope, request_id::X_REQUEST_ID},
    problem::{Code, Problem},
    roles::revision::GATEPOST_REVISION,
    routes,
    state::AppState,
};

/// The application for one worker.
pub fn build(
    state: Data<AppState>,
) -> App<
    impl ServiceFactory<
        ServiceRequest,
        Config = (),
        Response = ServiceResponse<impl MessageBody + use<>>,
        Error = Error,
        InitError = (),
    > + use<>,
> {
    let has_origins = !state.config.http.cors_origins.is_empty();
    let cors = cors(&state);
    let query = QueryConfig::default().error_handler(|error, _| {
        let message = error.to_string();
        let message = message
            .strip_prefix("Query deserialize error: ")
            .unwrap_or(&message);
        Problem::invalid("", "invalid_query", message).into()
    });
    // What cannot be read names nothing.
    let path = PathConfig::default().error_handler(|_, _| Problem::plain(Code::NotFound).into());
    App::new()
        .app_data(state)
        .app_data(query)
        .app_data(path)
        .configure(routes::register)
        .default_service(web::to(not_found))
        .wrap(Condition::new(has_origins, cors))
        .wrap(from_fn(envelope))
}

async fn not_found() -> Result<HttpResponse, Problem> {
    Err(Problem::plain(Code::NotFound))
}

/// Only the origins of `CORS_ORIGINS`, letter by letter.
fn cors(state: &AppState) -> Cors {
    let mut cors = Cors::default()
        .allowed_methods([
            Method::GET,
            Method::POST,
            Method::PUT,
            Method::PATCH,
            Method::DELETE,
        ])
        .allowed_headers([
            header::AUTHORIZATION,
            header::CONTENT_TYPE,
            header::IF_MATCH,
            X_REQUEST_ID.clone(),
            header::HeaderName::from_static("idempotency-key"),
            header::HeaderName::from_static("x-csrf-token"),
            GATEPOST_REVISION.clone(),
        ])
        .expose_headers([
            header::ETAG,
            header::LOCATION,
            header::RETRY_AFTER,
            X_REQUEST_ID.clone(),
            GATEPOST_REVISION.clone(),
        ])
        .supports_credentials()
        .max_age(3600);
    for origin in &state.config.http.cors_origins {
        cors = cors.allowed_origin(origin);
    }
    cors
}
