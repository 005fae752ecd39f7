//! HTTP in, HTTP out.

use actix_web::{
    HttpRequest, HttpResponse,
    web::{Data, Json, Query},
};

use super::{
    custom,
    model::{Create, Delete, DryRun, NewRole, Read, RoleChange, RoleView, Update},
    preview::{AccessChange, Outcome},
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
    state::AppState,
};

/// The roles that can be given in an organization: its own and the built-in ones.
#[utoipa::path(get, path = "/api/organizations/{organization_id}/roles",
    tag = "Organizations, accounts, projects", operation_id = "list_roles",
    params(("organization_id" = uuid::Uuid, Path), Paging),
    responses((status = 200, body = Page<RoleView>)))]
pub async fn list(
    permit: Permit<Read>,
    state: Data<AppState>,
    paging: Query<Paging>,
) -> Result<Json<Page<RoleView>>, Problem> {
    let cut = paging.cut()?;
    Ok(Json(custom::list(&state, &permit, &cut).await?))
}

/// Makes a role of an organization. Nobody makes one that carries what they lack there.
#[utoipa::path(post, path = "/api/organizations/{organization_id}/roles",
    tag = "Organizations, accounts, projects", operation_id = "create_role", request_body = NewRole,
    params(("organization_id" = uuid::Uuid, Path),
        ("Idempotency-Key" = Option<String>, Header, min_length = 1, max_length = 255)),
    responses((status = 201, body = RoleView)))]
pub async fn create(
    permit: Permit<Create>,
    state: Data<AppState>,
    key: IdempotencyKey,
    body: Body<NewRole>,
) -> Result<HttpResponse, Problem> {
    let once = key.of(permit.principal(), body.hash);
    let organization_id = permit.id();
    let made = custom::create(&state, &permit, body.value, &once).await?;
    Ok(made.answer(|view| {
        let location = format!("/api/organizations/{organization_id}/roles/{}", view.id);
        answer::created(location, &view)
    }))
}

/// One role that can be given in an organization.
#[utoipa::path(get, path = "/api/organizations/{organization_id}/roles/{role_id}",
    tag = "Organizations, accounts, projects", operation_id = "read_role",
    params(("organization_id" = uuid::Uuid, Path), ("role_id" = uuid::Uuid, Path)),
    responses((status = 200, body = RoleView)))]
pub async fn read(
    permit: Permit<Read>,
    state: Data<AppState>,
    req: HttpRequest,
) -> Result<HttpResponse, Problem> {
    let id = path::id(&req, "role_id")?;
    Ok(answer::single(&custom::read(&state, &permit, id).await?))
}

/// Changes a role of an organization, for all who hold it; or, with `dry_run`, says what that
/// would do.
#[utoipa::path(patch, path = "/api/organizations/{organization_id}/roles/{role_id}",
    tag = "Organizations, accounts, projects", operation_id = "update_role", request_body = RoleChange,
    params(("organization_id" = uuid::Uuid, Path), ("role_id" = uuid::Uuid, Path), DryRun,
        ("If-Match" = Option<String>, Header)),
    responses((status = 200, body = Outcome<RoleView>)))]
pub async fn update(
    permit: Permit<Update>,
    state: Data<AppState>,
    query: Query<DryRun>,
    if_match: IfMatch,
    body: Body<RoleChange>,
    req: HttpRequest,
) -> Result<HttpResponse, Problem> {
    let id = path::id(&req, "role_id")?;
    if query.dry_run {
        let change: AccessChange =
            custom::preview_update(&state, &permit, id, body.value, &if_match).await?;
        return Ok(HttpResponse::Ok().json(change));
    }
    let changed = custom::update(&state, &permit, id, body.value, &if_match).await?;
    Ok(changed.answer(|view| answer::single(&view)))
}

/// Deletes a role of an organization that nobody holds. Open invitations to it end.
#[utoipa::path(delete, path = "/api/organizations/{organization_id}/roles/{role_id}",
    tag = "Organizations, accounts, projects", operation_id = "delete_role",
    params(("organization_id" = uuid::Uuid, Path), ("role_id" = uuid::Uuid, Path),
        ("If-Match" = Option<String>, Header)),
    responses((status = 204)))]
pub async fn delete(
    permit: Permit<Delete>,
    state: Data<AppState>,
    if_match: IfMatch,
    req: HttpRequest,
) -> Result<HttpResponse, Problem> {
    let id = path::id(&req, "role_id")?;
    let deleted = custom::delete(&state, &permit, id, &if_match).await?;
    Ok(deleted.answer(|()| HttpResponse::NoContent().finish()))
}
