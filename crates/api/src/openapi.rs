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
        crate::admin::handlers::create_user,
        crate::admin::handlers::delete_user,
        crate::admin::handlers::disable,
        crate::admin::handlers::enable,
        crate::admin::handlers::end_sessions,
        crate::admin::handlers::list_activity,
        crate::admin::handlers::list_audit,
        crate::admin::handlers::list_roles,
        crate::admin::handlers::list_sessions,
        crate::admin::handlers::list_users,
        crate::admin::handlers::overview,
        crate::admin::handlers::read_user,
        crate::admin::handlers::reject,
        crate::admin::handlers::reset_mfa,
        crate::admin::handlers::require_password_change,
        crate::admin::handlers::unlock,
        crate::admin::handlers::update_user,
        crate::api_keys::handlers::create_own,
        crate::api_keys::handlers::list_own,
        crate::api_keys::handlers::revoke_own,
        crate::audit::handlers::verify,
        crate::authzen::handlers::evaluation,
        crate::authzen::handlers::evaluations,
        crate::authzen::handlers::metadata,
        crate::authzen::handlers::search_actions,
        crate::authzen::handlers::search_resources,
        crate::authzen::handlers::search_subjects,
        crate::database_admin::handlers::show,
        crate::database_admin::handlers::test,
        crate::decisions::handlers::replay,
        crate::decisions::handlers::take_in,
        crate::devices::handlers::list_own,
        crate::devices::handlers::revoke_own,
        crate::email::handlers::cancel,
        crate::email::handlers::resend,
        crate::email::handlers::verify,
        crate::forward::handlers::forward,
        crate::groups::handlers::add_member,
        crate::groups::handlers::create,
        crate::groups::handlers::delete,
        crate::groups::handlers::list,
        crate::groups::handlers::list_members,
        crate::groups::handlers::read,
        crate::groups::handlers::remove_member,
        crate::groups::handlers::update,
        crate::health::handlers::health,
        crate::health::handlers::live,
        crate::health::handlers::ready,
        crate::invitations::handlers::accept,
        crate::invitations::handlers::create,
        crate::invitations::handlers::list,
        crate::invitations::handlers::revoke,
        crate::keys::handlers::jwks,
        crate::keys::handlers::list,
        crate::keys::handlers::rotate,
        crate::login::handlers::change_password,
        crate::login::handlers::login,
        crate::members::handlers::of_account,
        crate::members::handlers::of_organization,
        crate::members::handlers::of_project,
        crate::members::review::handler,
        crate::mfa::handlers::begin_email,
        crate::mfa::handlers::begin_totp,
        crate::mfa::handlers::challenge,
        crate::mfa::handlers::challenge_own,
        crate::mfa::handlers::confirm_email,
        crate::mfa::handlers::confirm_enrolment,
        crate::mfa::handlers::confirm_totp,
        crate::mfa::handlers::enrol,
        crate::mfa::handlers::own,
        crate::mfa::handlers::prove_again,
        crate::mfa::handlers::remove,
        crate::mfa::handlers::renew_codes,
        crate::mfa::handlers::verify,
        crate::mfa::webauthn::handlers::begin_login,
        crate::mfa::webauthn::handlers::begin_own,
        crate::mfa::webauthn::handlers::finish_login,
        crate::mfa::webauthn::handlers::finish_own,
        crate::openapi::serve,
        crate::organizations::handlers::create,
        crate::organizations::handlers::delete,
        crate::organizations::handlers::list,
        crate::organizations::handlers::read,
        crate::organizations::handlers::update,
        crate::pages::handlers::cancel_email_change,
        crate::pages::handlers::cancel_email_change_now,
        crate::pages::handlers::invitation,
        crate::pages::handlers::invitation_now,
        crate::pages::handlers::lockdown,
        crate::pages::handlers::lockdown_now,
        crate::pages::handlers::reset_password,
        crate::pages::handlers::reset_password_now,
        crate::pages::handlers::verify_email,
        crate::pages::handlers::verify_email_now,
        crate::policy_admin::handlers::bundle,
        crate::policy_admin::handlers::show,
        crate::problems::explain,
        crate::projects::handlers::create,
        crate::projects::handlers::delete,
        crate::projects::handlers::list,
        crate::projects::handlers::move_to,
        crate::projects::handlers::read,
        crate::projects::handlers::update,
        crate::recovery::handlers::forgot,
        crate::recovery::handlers::lockdown,
        crate::recovery::handlers::reset,
        crate::registration::handlers::register,
        crate::resources::handlers::delete,
        crate::resources::handlers::list,
        crate::resources::handlers::put,
        crate::resources::handlers::read,
        crate::resources::handlers::register,
        crate::role_assignments::handlers::create,
        crate::role_assignments::handlers::delete,
        crate::role_assignments::handlers::list,
        crate::role_assignments::handlers::list_own,
        crate::role_requests::handlers::approve,
        crate::role_requests::handlers::create,
        crate::role_requests::handlers::list,
        crate::role_requests::handlers::read,
        crate::role_requests::handlers::refuse,
        crate::role_requests::handlers::withdraw,
        crate::roles::handlers::create,
        crate::roles::handlers::delete,
        crate::roles::handlers::list,
        crate::roles::handlers::read,
        crate::roles::handlers::update,
        crate::service_accounts::handlers::create,
        crate::service_accounts::handlers::create_key,
        crate::service_accounts::handlers::delete,
        crate::service_accounts::handlers::list,
        crate::service_accounts::handlers::list_keys,
        crate::service_accounts::handlers::read,
        crate::service_accounts::handlers::revoke_key,
        crate::service_accounts::handlers::update,
        crate::sessions::handlers::csrf,
        crate::sessions::handlers::end_own,
        crate::sessions::handlers::list_own,
        crate::sessions::handlers::logout,
        crate::sessions::handlers::logout_all,
        crate::sessions::handlers::refresh,
        crate::tokens::handlers::introspect,
        crate::tokens::handlers::revoke,
        crate::users::handlers::delete_me,
        crate::users::handlers::export_me,
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
        .map(|row| (row.path, row.method.to_string(), row.by_key))
        .collect();
    for (path, item) in &mut document.paths.paths {
        for (method, operation) in operations(item) {
            let row = protected.iter().find(|(p, m, _)| p == path && m == method);
            complete(operation, method, row.map(|(_, _, by_key)| *by_key));
        }
    }
    if let Some(components) = &mut document.components {
        let mut scheme = Http::new(HttpAuthScheme::Bearer);
        scheme.bearer_format = Some("at+jwt".to_owned());
        components.add_security_scheme("access_token", SecurityScheme::Http(scheme));
        let mut scheme = Http::new(HttpAuthScheme::Bearer);
        scheme.bearer_format = Some("gp_…".to_owned());
        scheme.description = Some("An API key".to_owned());
        components.add_security_scheme("api_key", SecurityScheme::Http(scheme));
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

/// Adds to one operation what is common to its kind. `by_key` says of a protected one whether API
/// keys open it.
fn complete(operation: &mut Operation, method: &str, by_key: Option<bool>) {
    let mut common = ALWAYS.to_vec();
    if let Some(by_key) = by_key {
        common.extend(PROTECTED);
        let mut schemes = vec!["access_token", "session_cookie"];
        schemes.extend(by_key.then_some("api_key"));
        let requirement = |scheme| SecurityRequirement::new::<_, [&str; 0], &str>(scheme, []);
        operation.security = Some(schemes.into_iter().map(requirement).collect());
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
