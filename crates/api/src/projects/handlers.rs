//! HTTP in, HTTP out.

use actix_web::{
    HttpResponse,
    web::{Data, Json, Query},
};

use super::{
    model::{
        Create, Delete, List, Move, Moving, NewProject, ProjectChange, ProjectView, Read, Update,
    },
    moving, service,
};
use crate::{
    access::permit::Permit,
    http::{
        answer,
        body::Body,
        etag::IfMatch,
        idempotency::IdempotencyKey,
        page::{NamedPaging, Page},
    },
    problem::Problem,
    roles::{model::DryRun, preview::Outcome},
    state::AppState,
};

/// The projects of an account.
#[utoipa::path(get, path = "/api/accounts/{account_id}/projects",
    tag = "Organizations, accounts, projects", operation_id = "list_projects",
    params(("account_id" = uuid::Uuid, Path), NamedPaging),
    responses((status = 200, body = Page<ProjectView>)))]
pub async fn list(
    permit: Permit<List>,
    state: Data<AppState>,
    query: Query<NamedPaging>,
) -> Result<Json<Page<ProjectView>>, Problem> {
    let cut = query.paging().cut()?;
    Ok(Json(
        service::list(&state, &permit, query.q.as_deref(), &cut).await?,
    ))
}

/// Makes a project in an account.
#[utoipa::path(post, path = "/api/accounts/{account_id}/projects",
    tag = "Organizations, accounts, projects", operation_id = "create_project", request_body = NewProject,
    params(("account_id" = uuid::Uuid, Path),
        ("Idempotency-Key" = Option<String>, Header, min_length = 1, max_length = 255)),
    responses((status = 201, body = ProjectView)))]
pub async fn create(
    permit: Permit<Create>,
    state: Data<AppState>,
    key: IdempotencyKey,
    body: Body<NewProject>,
) -> Result<HttpResponse, Problem> {
    let once = key.of(permit.principal(), body.hash);
    let made = service::create(&state, &permit, body.value, &once).await?;
    Ok(made.answer(|view| answer::created(format!("/api/projects/{}", view.id), &view)))
}

/// One project.
#[utoipa::path(get, path = "/api/projects/{project_id}", tag = "Organizations, accounts, projects",
    operation_id = "read_project", params(("project_id" = uuid::Uuid, Path)),
    responses((status = 200, body = ProjectView)))]
pub async fn read(permit: Permit<Read>, state: Data<AppState>) -> Result<HttpResponse, Problem> {
    Ok(answer::single(&service::read(&state, &permit).await?))
}

/// Changes the name or the owner of a project.
#[utoipa::path(patch, path = "/api/projects/{project_id}", tag = "Organizations, accounts, projects",
    operation_id = "update_project", request_body = ProjectChange,
    params(("project_id" = uuid::Uuid, Path), ("If-Match" = Option<String>, Header)),
    responses((status = 200, body = ProjectView)))]
pub async fn update(
    permit: Permit<Update>,
    state: Data<AppState>,
    if_match: IfMatch,
    body: Body<ProjectChange>,
) -> Result<HttpResponse, Problem> {
    let changed = service::update(&state, &permit, body.value, &if_match).await?;
    Ok(changed.answer(|view| answer::single(&view)))
}

/// Moves a project to another account, or, with `dry_run`, says what that would do.
#[utoipa::path(post, path = "/api/projects/{project_id}/move",
    tag = "Organizations, accounts, projects", operation_id = "move_project", request_body = Moving,
    params(("project_id" = uuid::Uuid, Path), DryRun, ("If-Match" = Option<String>, Header)),
    responses((status = 200, body = Outcome<ProjectView>)))]
pub async fn move_to(
    permit: Permit<Move>,
    state: Data<AppState>,
    query: Query<DryRun>,
    if_match: IfMatch,
    body: Body<Moving>,
) -> Result<HttpResponse, Problem> {
    if query.dry_run {
        let change = moving::preview_move(&state, &permit, &body.value, &if_match).await?;
        return Ok(HttpResponse::Ok().json(change));
    }
    let moved = moving::move_to(&state, &permit, &body.value, &if_match).await?;
    Ok(moved.answer(|view| answer::single(&view)))
}

/// Deletes a project.
#[utoipa::path(delete, path = "/api/projects/{project_id}", tag = "Organizations, accounts, projects",
    operation_id = "delete_project",
    params(("project_id" = uuid::Uuid, Path), ("If-Match" = Option<String>, Header)),
    responses((status = 204)))]
pub async fn delete(
    permit: Permit<Delete>,
    state: Data<AppState>,
    if_match: IfMatch,
) -> Result<HttpResponse, Problem> {
    let deleted = service::delete(&state, &permit, &if_match).await?;
    Ok(deleted.answer(|()| HttpResponse::NoContent().finish()))
}
