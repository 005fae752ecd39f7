//! Every URL of the service, in two tables: [`public`], each row with the
//! reason why nobody is asked who they are, and [`protected`], each row with
//! the action that the policy is asked about.
//!
//! A protected row cannot be written without an action. The tests walk
//! [`protected`] and demand that every row refuses strangers.

use std::{collections::BTreeMap, future::ready};

use actix_web::{
    FromRequest, Handler, HttpResponse, Resource, Responder, ResponseError, Route,
    http::{Method, header::ALLOW},
    middleware::from_fn,
    web,
};

use crate::{
    access::permit::{Action, Target, authorize},
    accounts::{handlers as accounts, model as account},
    activity::{handlers as activity, model::ReadOwnActivity},
    admin::{handlers as admin, model as administration},
    authzen::{handlers as authzen, model::Evaluate},
    health::handlers as health,
    invitations::{handlers as invitations, model as invitation},
    keys::handlers as keys,
    login::handlers as login,
    openapi,
    organizations::{handlers as organizations, model as organization},
    problem::{Code, Problem},
    problems,
    projects::{handlers as projects, model as project},
    registration::handlers as registration,
    role_assignments::{handlers as role_assignments, model as role_assignment},
    sessions::{handlers as sessions, model as session},
    users::{handlers as users, model as user},
};

/// Routes for everyone.
#[rustfmt::skip]
pub fn public() -> Vec<PublicRow> {
    let (get, post) = (Method::GET, Method::POST);
    vec![
        // How people come in: they have no session yet, or lost it.
        open(post.clone(), "/api/register", "makes the account that one logs in with", registration::register),
        open(post.clone(), "/api/auth/login", "is how one gets a session", login::login),
        open(post.clone(), "/api/auth/refresh", "the refresh token says who asks", sessions::refresh),
        open(post, "/api/auth/password/change", "the password change token says who asks", login::change_password),
        // What other programs need before they can ask anything.
        open(get.clone(), "/.well-known/jwks.json", "holds public keys", keys::jwks),
        open(get.clone(), "/.well-known/authzen-configuration", "says where the endpoints are", authzen::metadata),
        open(get.clone(), "/api/openapi.json", "describes the interface", openapi::serve),
        open(get.clone(), "/problems/{code}", "explains an error", problems::explain),
        // What keeps the service running: probes carry no credentials.
        open(get.clone(), "/api/health", "tells probes and people how it is", health::health),
        open(get.clone(), "/api/health/live", "tells probes that the process is up", health::live),
        open(get, "/api/health/ready", "tells balancers where to send traffic", health::ready),
    ]
}

/// Routes for those who have logged in.
#[rustfmt::skip]
pub fn protected() -> Vec<Row> {
    let (get, post, put) = (Method::GET, Method::POST, Method::PUT);
    let (patch, delete) = (Method::PATCH, Method::DELETE);
    vec![
        row(post.clone(), "/api/auth/logout", session::EndOwn, sessions::logout),
        row(post.clone(), "/api/auth/logout-all", session::EndOwn, sessions::logout_all),
        row(get.clone(), "/api/auth/csrf", session::ReadOwn, sessions::csrf),

        row(get.clone(), "/api/users/me", user::ReadOwn, users::me),
        row(put.clone(), "/api/users/me", user::UpdateOwn, users::update_me),
        row(get.clone(), "/api/users/me/sessions", session::ReadOwn, sessions::list_own),
        row(delete.clone(), "/api/users/me/sessions/{session_id}", session::EndOwn, sessions::end_own),
        row(get.clone(), "/api/users/me/activity", ReadOwnActivity, activity::list_own),
        row(get.clone(), "/api/users/me/roles", role_assignment::ReadOwn, role_assignments::list_own),

        row(get.clone(), "/api/admin/users", administration::ReadUsers, admin::list_users),
        row(get.clone(), "/api/admin/users/{user_id}", administration::ReadUser, admin::read_user),
        row(put.clone(), "/api/admin/users/{user_id}/approve", administration::ApproveUser, admin::approve),
        row(put.clone(), "/api/admin/users/{user_id}/reject", administration::RejectUser, admin::reject),
        row(put.clone(), "/api/admin/users/{user_id}/disable", administration::UpdateUser, admin::disable),
        row(put, "/api/admin/users/{user_id}/enable", administration::UpdateUser, admin::enable),
        row(get.clone(), "/api/admin/audit", administration::ReadAudit, admin::list_audit),

        row(get.clone(), "/api/organizations", organization::List, organizations::list),
        row(post.clone(), "/api/organizations", organization::Create, organizations::create),
        row(get.clone(), "/api/organizations/{organization_id}", organization::Read, organizations::read),
        row(patch.clone(), "/api/organizations/{organization_id}", organization::Update, organizations::update),
        row(delete.clone(), "/api/organizations/{organization_id}", organization::Delete, organizations::delete),
        row(get.clone(), "/api/organizations/{organization_id}/accounts", account::List, accounts::list),
        row(post.clone(), "/api/organizations/{organization_id}/accounts", account::Create, accounts::create),
        row(get.clone(), "/api/organizations/{organization_id}/invitations", invitation::List, invitations::list),
        row(post.clone(), "/api/organizations/{organization_id}/invitations", invitation::Create, invitations::create),
        row(delete.clone(), "/api/organizations/{organization_id}/invitations/{invitation_id}", invitation::Revoke, invitations::revoke),
        row(post.clone(), "/api/invitations/accept", invitation::Accept, invitations::accept),

        row(get.clone(), "/api/accounts/{account_id}", account::Read, accounts::read),
        row(patch.clone(), "/api/accounts/{account_id}", account::Update, accounts::update),
        row(delete.clone(), "/api/accounts/{account_id}", account::Delete, accounts::delete),
        row(get.clone(), "/api/accounts/{account_id}/projects", project::List, projects::list),
        row(post.clone(), "/api/accounts/{account_id}/projects", project::Create, projects::create),

        row(get.clone(), "/api/projects/{project_id}", project::Read, projects::read),
        row(patch, "/api/projects/{project_id}", project::Update, projects::update),
        row(delete.clone(), "/api/projects/{project_id}", project::Delete, projects::delete),

        row(get, "/api/role-assignments", role_assignment::List, role_assignments::list),
        row(post.clone(), "/api/role-assignments", role_assignment::AssignAnywhere, role_assignments::create),
        row(delete, "/api/role-assignments/{assignment_id}", role_assignment::Remove, role_assignments::delete),

        row(post.clone(), "/access/v1/evaluation", Evaluate, authzen::evaluation),
        row(post, "/access/v1/evaluations", Evaluate, authzen::evaluations),
    ]
}

/// A route for everyone, and why it is one.
pub struct PublicRow {
    /// Its method.
    pub method: Method,
    /// Its path.
    pub path: &'static str,
    /// Why nobody is asked who they are.
    pub reason: &'static str,
    route: Route,
}

/// A route for those whom the policy allows it.
pub struct Row {
    /// Its method.
    pub method: Method,
    /// Its path.
    pub path: &'static str,
    /// The permission that the policy is asked for.
    pub permission: &'static str,
    /// What it is asked about.
    pub target: Target,
    route: Route,
}

fn open<F, Args>(method: Method, path: &'static str, reason: &'static str, handler: F) -> PublicRow
where
    F: Handler<Args>,
    Args: FromRequest + 'static,
    F::Output: Responder + 'static,
{
    PublicRow {
        route: web::method(method.clone()).to(handler),
        method,
        path,
        reason,
    }
}

fn row<A, F, Args>(method: Method, path: &'static str, _: A, handler: F) -> Row
where
    A: Action,
    F: Handler<Args>,
    Args: FromRequest + 'static,
    F::Output: Responder + 'static,
{
    Row {
        route: web::method(method.clone())
            .to(handler)
            .wrap(from_fn(authorize::<A>))
            .wrap(from_fn(crate::access::authenticate::authenticate)),
        method,
        path,
        permission: A::NAME,
        target: A::TARGET,
    }
}

/// Registers both tables, one resource for each path, so that a wrong method is a `405`.
pub fn register(cfg: &mut web::ServiceConfig) {
    let public = public()
        .into_iter()
        .map(|row| (row.path, row.method, row.route));
    let protected = protected()
        .into_iter()
        .map(|row| (row.path, row.method, row.route));
    let mut resources: BTreeMap<&str, (Resource, Vec<String>)> = BTreeMap::new();
    for (path, method, route) in public.chain(protected) {
        let (resource, mut methods) = resources
            .remove(path)
            .unwrap_or_else(|| (web::resource(path), Vec::new()));
        methods.push(method.to_string());
        resources.insert(path, (resource.route(route), methods));
    }
    for (resource, methods) in resources.into_values() {
        let allow = methods.join(", ");
        cfg.service(resource.default_service(web::to(move || ready(method_not_allowed(&allow)))));
    }
}

fn method_not_allowed(allow: &str) -> HttpResponse {
    let mut response = Problem::plain(Code::MethodNotAllowed).error_response();
    if let Ok(value) = allow.parse() {
        response.headers_mut().insert(ALLOW, value);
    }
    response
}
