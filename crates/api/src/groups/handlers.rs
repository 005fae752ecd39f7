//! HTTP in, HTTP out.

use actix_web::{
    HttpRequest, HttpResponse,
    web::{Data, Json, Query},
};

use super::{
    model::{Create, Delete, GroupChange, GroupMember, GroupView, NewGroup, Read, Update},
    service,
};
use crate::{
    access::permit::Permit,
    http::{
        answer,
        body::Body,
        etag::IfMatch,
        idempotency::IdempotencyKey,
        page::{NamedPaging, Page, Paging},
        path,
    },
    problem::Problem,
    state::AppState,
};

/// The groups of an organization.
#[utoipa::path(get, path = "/api/organizations/{organization_id}/groups",
    tag = "Organizations, accounts, projects", operation_id = "list_groups",
    params(("organization_id" = uuid::Uuid, Path), NamedPaging),
    responses((status = 200, body = Page<GroupView>)))]
pub async fn list(
    permit: Permit<Read>,
    state: Data<AppState>,
    query: Query<NamedPaging>,
) -> Result<Json<Page<GroupView>>, Problem> {
    let cut = query.paging().cut()?;
    Ok(Json(
        service::list(&state, &permit, query.q.as_deref(), &cut).await?,
    ))
}

/// Makes a group in an organization. It has no members and holds nothing yet.
#[utoipa::path(post, path = "/api/organizations/{organization_id}/groups",
    tag = "Organizations, accounts, projects", operation_id = "create_group", request_body = NewGroup,
    params(("organization_id" = uuid::Uuid, Path),
        ("Idempotency-Key" = Option<String>, Header, min_length = 1, max_length = 255)),
    responses((status = 201, body = GroupView)))]
pub async fn create(
    permit: Permit<Create>,
    state: Data<AppState>,
    key: IdempotencyKey,
    body: Body<NewGroup>,
) -> Result<HttpResponse, Problem> {
    let once = key.of(permit.principal(), body.hash);
    let made = service::create(&state, &permit, body.value, &once).await?;
    Ok(made.answer(|view| {
        let location = format!(
            "/api/organizations/{}/groups/{}",
            view.organization_id, view.id
        );
        answer::created(location, &view)
    }))
}

/// One group.
#[utoipa::path(get, path = "/api/organizations/{organization_id}/groups/{group_id}",
    tag = "Organizations, accounts, projects", operation_id = "read_group",
    params(("organization_id" = uuid::Uuid, Path), ("group_id" = uuid::Uuid, Path)),
    responses((status = 200, body = GroupView)))]
pub async fn read(
    permit: Permit<Read>,
    state: Data<AppState>,
    req: HttpRequest,
) -> Result<HttpResponse, Problem> {
    let id = path::id(&req, "group_id")?;
    Ok(answer::single(&service::read(&state, &permit, id).await?))
}

/// Changes the name or the description of a group.
#[utoipa::path(patch, path = "/api/organizations/{organization_id}/groups/{group_id}",
    tag = "Organizations, accounts, projects", operation_id = "update_group", request_body = GroupChange,
    params(("organization_id" = uuid::Uuid, Path), ("group_id" = uuid::Uuid, Path),
        ("If-Match" = Option<String>, Header)),
    responses((status = 200, body = GroupView)))]
pub async fn update(
    permit: Permit<Update>,
    state: Data<AppState>,
    if_match: IfMatch,
    body: Body<GroupChange>,
    req: HttpRequest,
) -> Result<HttpResponse, Problem> {
    let id = path::id(&req, "group_id")?;
    let changed = service::update(&state, &permit, id, body.value, &if_match).await?;
    Ok(changed.answer(|view| answer::single(&view)))
}

/// Deletes a group. What it holds ends for all its members.
#[utoipa::path(delete, path = "/api/organizations/{organization_id}/groups/{group_id}",
    tag = "Organizations, accounts, projects", operation_id = "delete_group",
    params(("organization_id" = uuid::Uuid, Path), ("group_id" = uuid::Uuid, Path),
        ("If-Match" = Option<String>, Header)),
    responses((status = 204)))]
pub async fn delete(
    permit: Permit<Delete>,
    state: Data<AppState>,
    if_match: IfMatch,
    req: HttpRequest,
) -> Result<HttpResponse, Problem> {
    let id = path::id(&req, "group_id")?;
    let deleted = service::delete(&state, &permit, id, &if_match).await?;
    Ok(deleted.answer(|()| HttpResponse::NoContent().finish()))
}

/// Who is in a group, in the order of their ids.
#[utoipa::path(get, path = "/api/organizations/{organization_id}/groups/{group_id}/members",
    tag = "Organizations, accounts, projects", operation_id = "list_group_members",
    params(("organization_id" = uuid::Uuid, Path), ("group_id" = uuid::Uuid, Path), Paging),
    responses((status = 200, body = Page<GroupMember>)))]
pub async fn list_members(
    permit: Permit<Read>,
    state: Data<AppState>,
    paging: Query<Paging>,
    req: HttpRequest,
) -> Result<Json<Page<GroupMember>>, Problem> {
    let id = path::id(&req, "group_id")?;
    let cut = paging.cut()?;
    Ok(Json(
        service::list_members(&state, &permit, id, &cut).await?,
    ))
}

/// Puts a user into a group. Takes the right to give them all that the group holds.
#[utoipa::path(put, path = "/api/organizations/{organization_id}/groups/{group_id}/members/{user_id}",
    tag = "Organizations, accounts, projects", operation_id = "add_group_member",
    params(("organization_id" = uuid::Uuid, Path), ("group_id" = uuid::Uuid, Path),
        ("user_id" = uuid::Uuid, Path)),
    responses((status = 204, description = "They are in it; they may have been before")))]
pub async fn add_member(
    permit: Permit<Update>,
    state: Data<AppState>,
    req: HttpRequest,
) -> Result<HttpResponse, Problem> {
    let (id, user_id) = (path::id(&req, "group_id")?, path::id(&req, "user_id")?);
    let added = service::add_member(&state, &permit, id, user_id).await?;
    Ok(added.answer(|()| HttpResponse::NoContent().finish()))
}

/// Takes a user out of a group. Takes the right to take from them all that the group holds.
#[utoipa::path(delete, path = "/api/organizations/{organization_id}/groups/{group_id}/members/{user_id}",
    tag = "Organizations, accounts, projects", operation_id = "remove_group_member",
    params(("organization_id" = uuid::Uuid, Path), ("group_id" = uuid::Uuid, Path),
        ("user_id" = uuid::Uuid, Path)),
    responses((status = 204)))]
pub async fn remove_member(
    permit: Permit<Update>,
    state: Data<AppState>,
    req: HttpRequest,
) -> Result<HttpResponse, Problem> {
    let (id, user_id) = (path::id(&req, "group_id")?, path::id(&req, "user_id")?);
    let removed = service::remove_member(&state, &permit, id, user_id).await?;
    Ok(removed.answer(|()| HttpResponse::NoContent().finish()))
}
