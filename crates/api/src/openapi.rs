//! The OpenAPI document, made from the handlers.
//!
//! What all operations share is added here once: how callers show who they
//! are, and the problems that any of them can answer with. A test compares
//! the operations with [`crate::routes`].

use actix_web::{HttpResponse, http::header::CACHE_CONTROL, web::Data};
use utoipa::{
    OpenApi,
    openapi::{
        ContentBuilder, Ref, RefOr, ResponseBuilder,
        path::Operation,
        security::{
            ApiKey, ApiKeyValue, Http, HttpAuthScheme, SecurityRequirement, SecurityScheme,
        },
        server::ServerBuilder,
    },
};

use crate::{problem::ProblemDocument, routes, state::AppState};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Gatepost",
        description = "Authentication and role-based access control on PostgreSQL.",
        license(name = "Apache-2.0", identifier = "Apache-2.0")
    ),
    components(schemas(ProblemDocument)),
    paths(
        crate::accounts::handlers::create,
        crate::accounts::handlers::delete,
        crate::accounts::handlers::list,
        crate::accounts::handlers::read,
        crate::accounts::handlers::update,
        crate::activity::handlers::list_own,
        crate::admin::handlers::approve,
        crate::admin::handlers::disable,
        crate::admin::handlers::enable,
        crate::admin::handlers::list_audit,
        crate::admin::handlers::list_users,
        crate::admin::handlers::read_user,
        crate::admin::handlers::reject,
        crate::authzen::handlers::evaluation,
        crate::authzen::handlers::evaluations,
        crate::authzen::handlers::metadata,
        crate::health::handlers::health,
        crate::health::handlers::live,
        crate::health::handlers::ready,
        crate::invitations::handlers::accept,
        crate::invitations::handlers::create,
        crate::invitations::handlers::list,
        crate::invitations::handlers::revoke,
        crate::keys::handlers::jwks,
        crate::login::handlers::change_password,
        crate::login::handlers::login,
        crate::openapi::serve,
        crate::organizations::handlers::create,
        crate::organizations::handlers::delete,
        crate::organizations::handlers::list,
        crate::organizations::handlers::read,
        crate::organizations::handlers::update,
        crate::problems::explain,
        crate::projects::handlers::create,
        crate::projects::handlers::delete,
        crate::projects::handlers::list,
        crate::projects::handlers::read,
        crate::projects::handlers::update,
        crate::registration::handlers::register,
        crate::role_assignments::handlers::create,
        crate::role_assignments::handlers::delete,
        crate::role_assignments::handlers::list,
        crate::role_assignments::handlers::list_own,
        crate::sessions::handlers::csrf,
        crate::sessions::handlers::end_own,
        crate::sessions::handlers::list_own,
        crate::sessions::handlers::logout,
        crate::sessions::handlers::logout_all,
        crate::sessions::handlers::refresh,
        crate::users::handlers::me,
        crate::users::handlers::update_me,
    )
)]
struct Documented;

/// Problems that any operation can answer with.
const ALWAYS: [(&str, &str); 4] = [
    ("400", "Some input is not acceptable"),
    ("429", "Too many attempts"),
    ("500", "A fault of ours"),
    (
        "503",
        "The database or the policy cannot be asked, or too much comes at once",
    ),
];
/// Problems of operations that ask who calls and what they may do.
const PROTECTED: [(&str, &str); 3] = [
    ("401", "Who are you?"),
    ("403", "Known, but not allowed"),
    ("404", "Does not exist, or you may not know that it does"),
];
/// Problems of operations that change something.
const WRITING: [(&str, &str); 6] = [
    ("408", "The body came too slowly"),
    ("409", "Something else is in the way"),
    ("412", "It was changed in the meantime"),
    ("413", "The body is too large"),
    ("415", "The content type does not fit"),
    ("422", "The idempotency key was used for another request"),
];

/// The document, for the instance at `PUBLIC_URL` or any other.
pub fn document() -> utoipa::openapi::OpenApi {
    let mut document = Documented::openapi();
    let protected: Vec<_> = routes::protected()
        .into_iter()
        .map(|row| (row.path, row.method.to_string()))
        .collect();
    for (path, item) in &mut document.paths.paths {
        for (method, operation) in operations(item) {
            let is_protected = protected.iter().any(|(p, m)| p == path && m == method);
            complete(operation, method, is_protected);
        }
    }
    if let Some(components) = &mut document.components {
        let mut scheme = Http::new(HttpAuthScheme::Bearer);
        scheme.bearer_format = Some("at+jwt".to_owned());
        components.add_security_scheme("access_token", SecurityScheme::Http(scheme));
        let cookie = ApiKeyValue::new("__Host-gatepost_session");
        components.add_security_scheme(
            "session_cookie",
            SecurityScheme::ApiKey(ApiKey::Cookie(cookie)),
        );
    }
    document
}

fn operations(
    item: &mut utoipa::openapi::PathItem,
) -> impl Iterator<Item = (&'static str, &mut Operation)> {
    [
        ("GET", &mut item.get),
        ("POST", &mut item.post),
        ("PUT", &mut item.put),
        ("PATCH", &mut item.patch),
        ("DELETE", &mut item.delete),
    ]
    .into_iter()
    .filter_map(|(method, operation)| operation.as_mut().map(|operation| (method, operation)))
}

/// Adds to one operation what is common to its kind.
fn complete(operation: &mut Operation, method: &str, is_protected: bool) {
    let mut common = ALWAYS.to_vec();
    if is_protected {
        common.extend(PROTECTED);
        operation.security = Some(vec![
            SecurityRequirement::new::<_, [&str; 0], &str>("access_token", []),
            SecurityRequirement::new::<_, [&str; 0], &str>("session_cookie", []),
        ]);
    } else {
        // Tokens in bodies, closed registrations, codes that there are not.
        common.extend(PROTECTED);
        operation.security = Some(Vec::new());
    }
    if method != "GET" {
        common.extend(WRITING);
    }
    for (status, description) in common {
        operation
            .responses
            .responses
            .entry(status.to_owned())
            .or_insert_with(|| RefOr::T(problem(description)));
    }
}

fn problem(description: &str) -> utoipa::openapi::Response {
    let content = ContentBuilder::new()
        .schema(Some(Ref::from_schema_name("Problem")))
        .build();
    ResponseBuilder::new()
        .description(description)
        .content("application/problem+json", content)
        .build()
}

/// This interface, as OpenAPI 3.1.
#[utoipa::path(get, path = "/api/openapi.json", tag = "Operations",
    responses((status = 200, description = "An OpenAPI document", body = serde_json::Value)))]
pub async fn serve(state: Data<AppState>) -> HttpResponse {
    let mut document = document();
    document.servers = Some(vec![ServerBuilder::new().url(&*state.public_url).build()]);
    HttpResponse::Ok()
        .insert_header((CACHE_CONTROL, "public, max-age=300"))
        .json(document)
}
