//! HTTP in, HTTP out.

use actix_web::{
    HttpRequest, HttpResponse,
    web::{Data, Json, Query},
};

use super::{
    model::{Decide, DecisionReason, NewRoleRequest, Own, RequestFilter, RoleRequestView},
    service,
};
use crate::{
    access::permit::Permit,
    http::{
        answer,
        body::{Body, OptionalBody},
        idempotency::IdempotencyKey,
        page::Page,
        path,
    },
    problem::Problem,
    state::AppState,
};

/// The caller's role requests, and those on resources where they hold `role:assign`.
#[utoipa::path(get, path = "/api/role-requests", tag = "Organizations, accounts, projects",
    operation_id = "list_role_requests", params(RequestFilter),
    responses((status = 200, body = Page<RoleRequestView>)))]
pub async fn list(
    permit: Permit<Own>,
    state: Data<AppState>,
    filter: Query<RequestFilter>,
) -> Result<Json<Page<RoleRequestView>>, Problem> {
    let cut = filter.paging().cut()?;
    Ok(Json(service::list(&state, &permit, &filter, &cut).await?))
}

/// Asks for a role for a while.
#[utoipa::path(post, path = "/api/role-requests", tag = "Organizations, accounts, projects",
    operation_id = "create_role_request", request_body = NewRoleRequest,
    params(("Idempotency-Key" = Option<String>, Header, min_length = 1, max_length = 255)),
    responses((status = 201, body = RoleRequestView)))]
pub async fn create(
    permit: Permit<Own>,
    state: Data<AppState>,
    key: IdempotencyKey,
    body: Body<NewRoleRequest>,
) -> Result<HttpResponse, Problem> {
    let once = key.of(permit.principal(), body.hash);
    let view = service::create(&state, &permit, body.value, &once).await?;
    Ok(answer::created(
        format!("/api/role-requests/{}", view.id),
        &view,
    ))
}

/// One role request, to who asked and to those who could decide.
#[utoipa::path(get, path = "/api/role-requests/{request_id}",
    tag = "Organizations, accounts, projects", operation_id = "read_role_request",
    params(("request_id" = uuid::Uuid, Path)),
    responses((status = 200, body = RoleRequestView)))]
pub async fn read(
    permit: Permit<Own>,
    state: Data<AppState>,
    req: HttpRequest,
) -> Result<HttpResponse, Problem> {
    let id = path::id(&req, "request_id")?;
    Ok(answer::single(&service::read(&state, &permit, id).await?))
}

/// Takes the own request back, unless it was decided.
#[utoipa::path(delete, path = "/api/role-requests/{request_id}",
    tag = "Organizations, accounts, projects", operation_id = "withdraw_role_request",
    params(("request_id" = uuid::Uuid, Path)), responses((status = 204)))]
pub async fn withdraw(
    permit: Permit<Own>,
    state: Data<AppState>,
    req: HttpRequest,
) -> Result<HttpResponse, Problem> {
    let id = path::id(&req, "request_id")?;
    service::withdraw(&state, &permit, id).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Gives the role that was asked for, from now on for the time that was asked for.
#[utoipa::path(put, path = "/api/role-requests/{request_id}/approve",
    tag = "Organizations, accounts, projects", operation_id = "approve_role_request",
    params(("request_id" = uuid::Uuid, Path)), request_body = Option<DecisionReason>,
    responses((status = 200, body = RoleRequestView)))]
pub async fn approve(
    permit: Permit<Decide>,
    state: Data<AppState>,
    body: OptionalBody<DecisionReason>,
    req: HttpRequest,
) -> Result<HttpResponse, Problem> {
    let id = path::id(&req, "request_id")?;
    let approved = service::approve(&state, &permit, id, body.0).await?;
    Ok(approved.answer(|view| answer::single(&view)))
}

/// Refuses the role that was asked for.
#[utoipa::path(put, path = "/api/role-requests/{request_id}/refuse",
    tag = "Organizations, accounts, projects", operation_id = "refuse_role_request",
    params(("request_id" = uuid::Uuid, Path)), request_body = Option<DecisionReason>,
    responses((status = 200, body = RoleRequestView)))]
pub async fn refuse(
    permit: Permit<Decide>,
    state: Data<AppState>,
    body: OptionalBody<DecisionReason>,
    req: HttpRequest,
) -> Result<HttpResponse, Problem> {
    let id = path::id(&req, "request_id")?;
    let view = service::refuse(&state, &permit, id, body.0).await?;
    Ok(answer::single(&view))
}
