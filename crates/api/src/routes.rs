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
    access::{
        freshness,
        permit::{Action, Target, authorize},
    },
    accounts::{handlers as accounts, model as account},
    activity::{handlers as activity, model::ReadOwnActivity},
    admin::{handlers as admin, model as administration},
    api_keys::{handlers as api_keys, model as api_key},
    audit,
    authzen::{handlers as authzen, model::Evaluate},
    database_admin::{handlers as database_admin, model as database},
    decisions::{handlers as decisions, model as decision},
    devices::{handlers as devices, model as device},
    email::handlers as email,
    forward::handlers as forward,
    groups::{handlers as groups, model as group},
    health::handlers as health,
    invitations::{handlers as invitations, model as invitation},
    keys::{handlers as keys, model::ManageKeys},
    login::handlers as login,
    members::{handlers as members, model as member, review},
    mfa::{handlers as mfa, model as factor, webauthn::handlers as webauthn},
    openapi,
    organizations::{handlers as organizations, model as organization},
    pages::handlers as pages,
    policy_admin::{handlers as policy_admin, model::ReadPolicy},
    problem::{Code, Problem},
    problems,
    projects::{handlers as projects, model as project},
    recovery::handlers as recovery,
    registration::handlers as registration,
    resources::{handlers as resources, model as resource},
    role_assignments::{handlers as role_assignments, model as role_assignment},
    role_requests::{handlers as role_requests, model as role_request},
    roles::{handlers as roles, model as role},
    service_accounts::{handlers as service_accounts, model as service_account},
    sessions::{handlers as sessions, model as session},
    tokens::{handlers as tokens, model::Introspect},
    users::{erasure::DeleteOwn, export::ExportOwn, handlers as users, model as user},
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
        open(post.clone(), "/api/auth/mfa/challenge", "the MFA token says who asks", mfa::challenge),
        open(post.clone(), "/api/auth/mfa/verify", "the MFA token says who asks", mfa::verify),
        open(post.clone(), "/api/auth/passkey/options", "is how one gets a session", webauthn::begin_login),
        open(post.clone(), "/api/auth/passkey/verify", "is how one gets a session", webauthn::finish_login),
        open(post.clone(), "/api/auth/mfa/enrol", "the MFA token says who asks", mfa::enrol),
        open(post.clone(), "/api/auth/mfa/enrol/confirm", "the MFA token says who asks", mfa::confirm_enrolment),
        open(post.clone(), "/api/auth/password/change", "the password change token says who asks", login::change_password),
        // The way back in, and proofs by mail: a link is all that people have.
        open(post.clone(), "/api/auth/password/forgot", "who asks has lost the password", recovery::forgot),
        open(post.clone(), "/api/auth/password/reset", "the token of the mail says who asks", recovery::reset),
        open(post.clone(), "/api/auth/lockdown", "the token of the mail says who asks", recovery::lockdown),
        open(post.clone(), "/api/auth/email/verify", "the token of the mail says who asks", email::verify),
        open(post.clone(), "/api/auth/email/resend", "who asks cannot log in yet", email::resend),
        open(post.clone(), "/api/auth/email/cancel", "the token of the mail says who asks", email::cancel),
        // Pages for those links; asking for one changes nothing.
        open(get.clone(), "/account/verify-email", "shows a button", pages::verify_email),
        open(post.clone(), "/account/verify-email", "the token of the mail says who asks", pages::verify_email_now),
        open(get.clone(), "/account/reset-password", "shows a form", pages::reset_password),
        open(post.clone(), "/account/reset-password", "the token of the mail says who asks", pages::reset_password_now),
        open(get.clone(), "/account/cancel-email-change", "shows a button", pages::cancel_email_change),
        open(post.clone(), "/account/cancel-email-change", "the token of the mail says who asks", pages::cancel_email_change_now),
        open(get.clone(), "/account/lockdown", "shows a button", pages::lockdown),
        open(post.clone(), "/account/lockdown", "the token of the mail says who asks", pages::lockdown_now),
        open(get.clone(), "/account/invitation", "the token of the mail says who asks", pages::invitation),
        open(post, "/account/invitation", "the token of the mail says who asks", pages::invitation_now),
        // What proxies ask about other people's requests.
        open(get.clone(), "/api/auth/forward", "asks by itself who calls, to send browsers to the login", forward::forward),
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
#[expect(clippy::too_many_lines, reason = "a table, with one line for each route")]
#[rustfmt::skip]
pub fn protected() -> Vec<Row> {
    let (get, post, put) = (Method::GET, Method::POST, Method::PUT);
    let (patch, delete) = (Method::PATCH, Method::DELETE);
    vec![
        row(post.clone(), "/api/auth/logout", session::EndOwn, sessions::logout),
        row(post.clone(), "/api/auth/logout-all", session::EndOwn, sessions::logout_all),
        row(post.clone(), "/api/auth/introspect", Introspect, tokens::introspect),
        row(post.clone(), "/api/auth/revoke", Introspect, tokens::revoke),
        row(get.clone(), "/api/auth/csrf", session::ReadOwn, sessions::csrf),

        row(post.clone(), "/api/auth/step-up", factor::StepUp, mfa::prove_again),
        row(post.clone(), "/api/auth/step-up/challenge", factor::StepUp, mfa::challenge_own),

        row(get.clone(), "/api/users/me", user::ReadOwn, users::me),
        row(put.clone(), "/api/users/me", user::UpdateOwn, users::update_me),
        row(delete.clone(), "/api/users/me", DeleteOwn, users::delete_me),
        row(get.clone(), "/api/users/me/export", ExportOwn, users::export_me),
        row(get.clone(), "/api/users/me/sessions", session::ReadOwn, sessions::list_own),
        row(delete.clone(), "/api/users/me/sessions/{session_id}", session::EndOwn, sessions::end_own),
        row(get.clone(), "/api/users/me/devices", device::ReadOwn, devices::list_own),
        row(delete.clone(), "/api/users/me/devices/{device_id}", device::RevokeOwn, devices::revoke_own),
        row(get.clone(), "/api/users/me/activity", ReadOwnActivity, activity::list_own),
        row(get.clone(), "/api/users/me/api-keys", api_key::ReadOwn, api_keys::list_own),
        row(post.clone(), "/api/users/me/api-keys", api_key::ManageOwn, api_keys::create_own),
        row(delete.clone(), "/api/users/me/api-keys/{api_key_id}", api_key::ManageOwn, api_keys::revoke_own),
        row(get.clone(), "/api/users/me/mfa", factor::ReadOwn, mfa::own),
        row(post.clone(), "/api/users/me/mfa/totp", factor::ChangeOwn, mfa::begin_totp),
        row(post.clone(), "/api/users/me/mfa/totp/confirm", factor::ChangeOwn, mfa::confirm_totp),
        row(post.clone(), "/api/users/me/mfa/email", factor::ChangeOwn, mfa::begin_email),
        row(post.clone(), "/api/users/me/mfa/email/confirm", factor::ChangeOwn, mfa::confirm_email),
        row(post.clone(), "/api/users/me/mfa/webauthn/options", factor::ChangeOwn, webauthn::begin_own),
        row(post.clone(), "/api/users/me/mfa/webauthn", factor::ChangeOwn, webauthn::finish_own),
        row(post.clone(), "/api/users/me/mfa/recovery-codes", factor::ChangeOwn, mfa::renew_codes),
        row(delete.clone(), "/api/users/me/mfa/factors/{factor_id}", factor::ChangeOwn, mfa::remove),
        row(get.clone(), "/api/users/me/roles", role_assignment::ReadOwn, role_assignments::list_own),

        row(get.clone(), "/api/admin/users", administration::ReadUsers, admin::list_users),
        row(post.clone(), "/api/admin/users", administration::CreateUser, admin::create_user),
        row(get.clone(), "/api/admin/users/{user_id}", administration::ReadUser, admin::read_user),
        row(patch.clone(), "/api/admin/users/{user_id}", administration::UpdateUser, admin::update_user),
        row(delete.clone(), "/api/admin/users/{user_id}", administration::DeleteUser, admin::delete_user),
        row(put.clone(), "/api/admin/users/{user_id}/approve", administration::ApproveUser, admin::approve),
        row(put.clone(), "/api/admin/users/{user_id}/reject", administration::RejectUser, admin::reject),
        row(put.clone(), "/api/admin/users/{user_id}/disable", administration::UpdateUser, admin::disable),
        row(put.clone(), "/api/admin/users/{user_id}/enable", administration::UpdateUser, admin::enable),
        row(put.clone(), "/api/admin/users/{user_id}/unlock", administration::UpdateUser, admin::unlock),
        row(put.clone(), "/api/admin/users/{user_id}/require-password-change", administration::UpdateUser, admin::require_password_change),
        row(put.clone(), "/api/admin/users/{user_id}/reset-mfa", administration::UpdateUser, admin::reset_mfa),
        row(get.clone(), "/api/admin/users/{user_id}/sessions", administration::ReadUser, admin::list_sessions),
        row(delete.clone(), "/api/admin/users/{user_id}/sessions", administration::UpdateUser, admin::end_sessions),
        row(get.clone(), "/api/admin/users/{user_id}/activity", administration::ReadUser, admin::list_activity),
        row(get.clone(), "/api/admin/users/{user_id}/roles", administration::ReadUser, admin::list_roles),
        row(get.clone(), "/api/admin/overview", administration::ReadOverview, admin::overview),
        row(get.clone(), "/api/admin/keys", ManageKeys, keys::list),
        row(post.clone(), "/api/admin/keys/rotate", ManageKeys, keys::rotate),
        row(get.clone(), "/api/admin/service-accounts", service_account::Manage, service_accounts::list),
        row(post.clone(), "/api/admin/service-accounts", service_account::Manage, service_accounts::create),
        row(get.clone(), "/api/admin/service-accounts/{service_account_id}", service_account::ManageOne, service_accounts::read),
        row(patch.clone(), "/api/admin/service-accounts/{service_account_id}", service_account::ManageOne, service_accounts::update),
        row(delete.clone(), "/api/admin/service-accounts/{service_account_id}", service_account::ManageOne, service_accounts::delete),
        row(get.clone(), "/api/admin/service-accounts/{service_account_id}/api-keys", service_account::ReadKeys, service_accounts::list_keys),
        row(post.clone(), "/api/admin/service-accounts/{service_account_id}/api-keys", service_account::ManageKeys, service_accounts::create_key),
        row(delete.clone(), "/api/admin/service-accounts/{service_account_id}/api-keys/{api_key_id}", service_account::ManageKeys, service_accounts::revoke_key),
        row(get.clone(), "/api/admin/audit", administration::ReadAudit, admin::list_audit),
        row(get.clone(), "/api/admin/audit/verify", audit::model::VerifyAudit, audit::handlers::verify),

        row(get.clone(), "/api/admin/database", database::ReadDatabase, database_admin::show),
        row(post.clone(), "/api/admin/database/test", database::TestDatabase, database_admin::test),
        row(get.clone(), "/api/admin/policy", ReadPolicy, policy_admin::show),
        row(post.clone(), "/api/admin/policy/replay", decision::ReplayPolicy, decisions::replay),
        row(get.clone(), "/api/opa/bundles/gatepost.tar.gz", ReadPolicy, policy_admin::bundle),
        row(post.clone(), "/api/opa/logs", decision::HandInDecisions, decisions::take_in),

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
        row(get.clone(), "/api/organizations/{organization_id}/groups", group::Read, groups::list),
        row(post.clone(), "/api/organizations/{organization_id}/groups", group::Create, groups::create),
        row(get.clone(), "/api/organizations/{organization_id}/groups/{group_id}", group::Read, groups::read),
        row(patch.clone(), "/api/organizations/{organization_id}/groups/{group_id}", group::Update, groups::update),
        row(delete.clone(), "/api/organizations/{organization_id}/groups/{group_id}", group::Delete, groups::delete),
        row(get.clone(), "/api/organizations/{organization_id}/groups/{group_id}/members", group::Read, groups::list_members),
        row(put.clone(), "/api/organizations/{organization_id}/groups/{group_id}/members/{user_id}", group::Update, groups::add_member),
        row(delete.clone(), "/api/organizations/{organization_id}/groups/{group_id}/members/{user_id}", group::Update, groups::remove_member),
        row(get.clone(), "/api/organizations/{organization_id}/roles", role::Read, roles::list),
        row(post.clone(), "/api/organizations/{organization_id}/roles", role::Create, roles::create),
        row(get.clone(), "/api/organizations/{organization_id}/roles/{role_id}", role::Read, roles::read),
        row(patch.clone(), "/api/organizations/{organization_id}/roles/{role_id}", role::Update, roles::update),
        row(delete.clone(), "/api/organizations/{organization_id}/roles/{role_id}", role::Delete, roles::delete),
        row(get.clone(), "/api/organizations/{organization_id}/members", member::OfOrganization, members::of_organization),
        row(get.clone(), "/api/organizations/{organization_id}/access-review", review::Review, review::handler),
        row(get.clone(), "/api/accounts/{account_id}/members", member::OfAccount, members::of_account),
        row(get.clone(), "/api/projects/{project_id}/members", member::OfProject, members::of_project),
        row(post.clone(), "/api/invitations/accept", invitation::Accept, invitations::accept),

        row(get.clone(), "/api/accounts/{account_id}", account::Read, accounts::read),
        row(patch.clone(), "/api/accounts/{account_id}", account::Update, accounts::update),
        row(delete.clone(), "/api/accounts/{account_id}", account::Delete, accounts::delete),
        row(get.clone(), "/api/accounts/{account_id}/projects", project::List, projects::list),
        row(post.clone(), "/api/accounts/{account_id}/projects", project::Create, projects::create),

        row(get.clone(), "/api/projects/{project_id}", project::Read, projects::read),
        row(patch, "/api/projects/{project_id}", project::Update, projects::update),
        row(delete.clone(), "/api/projects/{project_id}", project::Delete, projects::delete),
        row(post.clone(), "/api/projects/{project_id}/move", project::Move, projects::move_to),

        row(get.clone(), "/api/role-requests", role_request::Own, role_requests::list),
        row(post.clone(), "/api/role-requests", role_request::Own, role_requests::create),
        row(get.clone(), "/api/role-requests/{request_id}", role_request::Own, role_requests::read),
        row(delete.clone(), "/api/role-requests/{request_id}", role_request::Own, role_requests::withdraw),
        row(put.clone(), "/api/role-requests/{request_id}/approve", role_request::Decide, role_requests::approve),
        row(put.clone(), "/api/role-requests/{request_id}/refuse", role_request::Decide, role_requests::refuse),

        row(get.clone(), "/api/resources", resource::ReadAnywhere, resources::list),
        row(post.clone(), "/api/resources/batch", resource::ManageAnywhere, resources::register),
        row(get.clone(), "/api/resources/{type}/{id}", resource::ReadAnywhere, resources::read),
        row(put, "/api/resources/{type}/{id}", resource::ManageAnywhere, resources::put),
        row(delete.clone(), "/api/resources/{type}/{id}", resource::ManageAnywhere, resources::delete),

        row(get, "/api/role-assignments", role_assignment::List, role_assignments::list),
        row(post.clone(), "/api/role-assignments", role_assignment::AssignAnywhere, role_assignments::create),
        row(delete, "/api/role-assignments/{assignment_id}", role_assignment::Remove, role_assignments::delete),

        row(post.clone(), "/access/v1/evaluation", Evaluate, authzen::evaluation),
        row(post.clone(), "/access/v1/evaluations", Evaluate, authzen::evaluations),
        row(post.clone(), "/access/v1/search/subject", Evaluate, authzen::search_subjects),
        row(post.clone(), "/access/v1/search/resource", Evaluate, authzen::search_resources),
        row(post, "/access/v1/search/action", Evaluate, authzen::search_actions),
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
    /// Whether an API key opens it, too.
    pub by_key: bool,
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
        by_key: A::BY_KEY,
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
    for (path, (resource, methods)) in resources {
        let allow = methods.join(", ");
        let resource = resource.default_service(web::to(move || ready(method_not_allowed(&allow))));
        if path.starts_with("/access/v1/") {
            cfg.service(resource.wrap(from_fn(freshness::keep)));
        } else {
            cfg.service(resource);
        }
    }
}

fn method_not_allowed(allow: &str) -> HttpResponse {
    let mut response = Problem::plain(Code::MethodNotAllowed).error_response();
    if let Ok(value) = allow.parse() {
        response.headers_mut().insert(ALLOW, value);
    }
    response
}
