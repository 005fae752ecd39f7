//! HTTP in, HTTP out.

use actix_web::{
    HttpResponse,
    web::{Data, Json, Query},
};

use super::{
    model::{
        Create, Delete, List, NewOrganization, OrganizationChange, OrganizationView, Read, Update,
    },
    service,
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
    state::AppState,
};

/// The organizations that the caller may read.
#[utoipa::path(get, path = "/api/organizations", tag = "Organizations, accounts, projects",
    operation_id = "list_organizations", params(NamedPaging),
    responses((status = 200, body = Page<OrganizationView>)))]
pub async fn list(
    permit: Permit<List>,
    state: Data<AppState>,
    query: Query<NamedPaging>,
) -> Result<Json<Page<OrganizationView>>, Problem> {
    let cut = query.paging().cut()?;
    Ok(Json(
        service::list(&state, &permit, query.q.as_deref(), &cut).await?,
    ))
}

/// Makes an organization; the caller becomes its owner.
#[utoipa::path(post, path = "/api/organizations", tag = "Organizations, accounts, projects",
    operation_id = "create_organization", request_body = NewOrganization,
    params(("Idempotency-Key" = Option<String>, Header, min_length = 1, max_length = 255)),
    responses((status = 201, body = OrganizationView)))]
pub async fn create(
    permit: Permit<Create>,
    state: Data<AppState>,
    key: IdempotencyKey,
    body: Body<NewOrganization>,
) -> Result<HttpResponse, Problem> {
    let once = key.of(permit.principal(), body.hash);
    let made = service::create(&state, &permit, body.value, &once).await?;
    Ok(made.answer(|view| answer::created(format!("/api/organizations/{}", view.id), &view)))
}

/// One organization.
#[utoipa::path(get, path = "/api/organizations/{organization_id}", tag = "Organizations, accounts, projects",
    operation_id = "read_organization", params(("organization_id" = uuid::Uuid, Path)),
    responses((status = 200, body = OrganizationView)))]
pub async fn read(permit: Permit<Read>, state: Data<AppState>) -> Result<HttpResponse, Problem> {
    Ok(answer::single(&service::read(&state, &permit).await?))
}

/// Changes the name or the slug of an organization, or whether it demands a second factor.
#[utoipa::path(patch, path = "/api/organizations/{organization_id}", tag = "Organizations, accounts, projects",
    operation_id = "update_organization", request_body = OrganizationChange,
    params(("organization_id" = uuid::Uuid, Path), ("If-Match" = Option<String>, Header)),
    responses((status = 200, body = OrganizationView)))]
pub async fn update(
    permit: Permit<Update>,
    state: Data<AppState>,
    if_match: IfMatch,
    body: Body<OrganizationChange>,
) -> Result<HttpResponse, Problem> {
    let changed = service::update(&state, &permit, body.value, &if_match).await?;
    Ok(changed.answer(|view| answer::single(&view)))
}

/// Deletes an organization that has no accounts.
#[utoipa::path(delete, path = "/api/organizations/{organization_id}", tag = "Organizations, accounts, projects",
    operation_id = "delete_organization",
    params(("organization_id" = uuid::Uuid, Path), ("If-Match" = Option<String>, Header)),
    responses((status = 204)))]
pub async fn delete(
    permit: Permit<Delete>,
    state: Data<AppState>,
    if_match: IfMatch,
) -> Result<HttpResponse, Problem> {
    let deleted = service::delete(&state, &permit, &if_match).await?;
    Ok(deleted.answer(|()| HttpResponse::NoContent().finish()))
}
