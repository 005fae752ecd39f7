//! HTTP in, HTTP out.

use actix_web::web::{Data, Json, Query};

use super::{
    model::{Member, OfAccount, OfOrganization, OfProject},
    service,
};
use crate::{
    access::permit::Permit,
    http::page::{Page, Paging},
    problem::Problem,
    state::AppState,
};

/// Who has access to an organization, in the order of their ids.
#[utoipa::path(get, path = "/api/organizations/{organization_id}/members",
    tag = "Organizations, accounts, projects", operation_id = "list_organization_members",
    params(("organization_id" = uuid::Uuid, Path), Paging),
    responses((status = 200, body = Page<Member>)))]
pub async fn of_organization(
    permit: Permit<OfOrganization>,
    state: Data<AppState>,
    paging: Query<Paging>,
) -> Result<Json<Page<Member>>, Problem> {
    let cut = paging.cut()?;
    Ok(Json(service::list(&state, &permit, &cut).await?))
}

/// Who has access to an account, in the order of their ids.
#[utoipa::path(get, path = "/api/accounts/{account_id}/members",
    tag = "Organizations, accounts, projects", operation_id = "list_account_members",
    params(("account_id" = uuid::Uuid, Path), Paging),
    responses((status = 200, body = Page<Member>)))]
pub async fn of_account(
    permit: Permit<OfAccount>,
    state: Data<AppState>,
    paging: Query<Paging>,
) -> Result<Json<Page<Member>>, Problem> {
    let cut = paging.cut()?;
    Ok(Json(service::list(&state, &permit, &cut).await?))
}

/// Who has access to a project, in the order of their ids.
#[utoipa::path(get, path = "/api/projects/{project_id}/members",
    tag = "Organizations, accounts, projects", operation_id = "list_project_members",
    params(("project_id" = uuid::Uuid, Path), Paging),
    responses((status = 200, body = Page<Member>)))]
pub async fn of_project(
    permit: Permit<OfProject>,
    state: Data<AppState>,
    paging: Query<Paging>,
) -> Result<Json<Page<Member>>, Problem> {
    let cut = paging.cut()?;
    Ok(Json(service::list(&state, &permit, &cut).await?))
}
