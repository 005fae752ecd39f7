//! HTTP in, HTTP out.

use actix_web::{
    HttpRequest, HttpResponse,
    web::{Data, Json, Query},
};

use super::{
    model::{
        AssignAnywhere, AssignmentFilter, AssignmentView, EffectiveRole, List, NewAssignment,
        ReadOwn, Remove,
    },
    service, trial,
};
use crate::{
    access::permit::Permit,
    http::{
        answer,
        body::Body,
        etag::IfMatch,
        idempotency::IdempotencyKey,
        page::{Page, Paging},
        path,
    },
    problem::Problem,
    roles::{model::DryRun, preview::AccessChange},
    state::AppState,
};

/// The roles that the caller holds, and where each comes from.
#[utoipa::path(get, path = "/api/users/me/roles", tag = "The own account",
    operation_id = "list_own_roles", params(Paging),
    responses((status = 200, body = Page<EffectiveRole>)))]
pub async fn list_own(
    permit: Permit<ReadOwn>,
    state: Data<AppState>,
    paging: Query<Paging>,
) -> Result<Json<Page<EffectiveRole>>, Problem> {
    let cut = paging.cut()?;
    Ok(Json(service::list_own(&state, &permit, &cut).await?))
}

/// The role assignments that the caller may read.
#[utoipa::path(get, path = "/api/role-assignments", tag = "Organizations, accounts, projects",
    operation_id = "list_role_assignments", params(AssignmentFilter),
    responses((status = 200, body = Page<AssignmentView>)))]
pub async fn list(
    permit: Permit<List>,
    state: Data<AppState>,
    filter: Query<AssignmentFilter>,
) -> Result<Json<Page<AssignmentView>>, Problem> {
    let cut = filter.paging().cut()?;
    Ok(Json(service::list(&state, &permit, &filter, &cut).await?))
}

/// Gives someone a role on a resource, or, with `dry_run`, says what that would do. Nobody gives
/// what they do not hold there themselves.
#[utoipa::path(post, path = "/api/role-assignments", tag = "Organizations, accounts, projects",
    operation_id = "create_role_assignment", request_body = NewAssignment,
    params(DryRun, ("Idempotency-Key" = Option<String>, Header, min_length = 1, max_length = 255)),
    responses((status = 201, body = AssignmentView),
        (status = 200, body = AccessChange, description = "With `dry_run=true`")))]
pub async fn create(
    permit: Permit<AssignAnywhere>,
    state: Data<AppState>,
    query: Query<DryRun>,
    key: IdempotencyKey,
    body: Body<NewAssignment>,
) -> Result<HttpResponse, Problem> {
    if query.dry_run {
        let change = trial::preview_create(&state, &permit, body.value).await?;
        return Ok(HttpResponse::Ok().json(change));
    }
    let once = key.of(permit.principal(), body.hash);
    let made = service::create(&state, &permit, body.value, &once).await?;
    Ok(made.answer(|view| answer::created(format!("/api/role-assignments/{}", view.id), &view)))
}

/// Takes a role away, or, with `dry_run`, says what that would do.
#[utoipa::path(delete, path = "/api/role-assignments/{assignment_id}",
    tag = "Organizations, accounts, projects", operation_id = "delete_role_assignment",
    params(("assignment_id" = uuid::Uuid, Path), DryRun, ("If-Match" = Option<String>, Header)),
    responses((status = 204),
        (status = 200, body = AccessChange, description = "With `dry_run=true`")))]
pub async fn delete(
    permit: Permit<Remove>,
    state: Data<AppState>,
    query: Query<DryRun>,
    if_match: IfMatch,
    req: HttpRequest,
) -> Result<HttpResponse, Problem> {
    let id = path::id(&req, "assignment_id")?;
    if query.dry_run {
        let change = trial::preview_delete(&state, &permit, id, &if_match).await?;
        return Ok(HttpResponse::Ok().json(change));
    }
    let deleted = service::delete(&state, &permit, id, &if_match).await?;
    Ok(deleted.answer(|()| HttpResponse::NoContent().finish()))
}
