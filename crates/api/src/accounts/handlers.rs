//! HTTP in, HTTP out.

use actix_web::{
    HttpResponse,
    web::{Data, Json, Query},
};

use super::{
    model::{AccountChange, AccountView, Create, Delete, List, NewAccount, Read, Update},
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

/// The accounts of an organization.
#[utoipa::path(get, path = "/api/organizations/{organization_id}/accounts",
    tag = "Organizations, accounts, projects", operation_id = "list_accounts",
    params(("organization_id" = uuid::Uuid, Path), NamedPaging),
    responses((status = 200, body = Page<AccountView>)))]
pub async fn list(
    permit: Permit<List>,
    state: Data<AppState>,
    query: Query<NamedPaging>,
) -> Result<Json<Page<AccountView>>, Problem> {
    let cut = query.paging().cut()?;
    Ok(Json(
        service::list(&state, &permit, query.q.as_deref(), &cut).await?,
    ))
}

/// Makes an account in an organization.
#[utoipa::path(post, path = "/api/organizations/{organization_id}/accounts",
    tag = "Organizations, accounts, projects", operation_id = "create_account", request_body = NewAccount,
    params(("organization_id" = uuid::Uuid, Path),
        ("Idempotency-Key" = Option<String>, Header, min_length = 1, max_length = 255)),
    responses((status = 201, body = AccountView)))]
pub async fn create(
    permit: Permit<Create>,
    state: Data<AppState>,
    key: IdempotencyKey,
    body: Body<NewAccount>,
) -> Result<HttpResponse, Problem> {
    let once = key.of(permit.principal(), body.hash);
    let made = service::create(&state, &permit, body.value, &once).await?;
    Ok(made.answer(|view| answer::created(format!("/api/accounts/{}", view.id), &view)))
}

/// One account.
#[utoipa::path(get, path = "/api/accounts/{account_id}", tag = "Organizations, accounts, projects",
    operation_id = "read_account", params(("account_id" = uuid::Uuid, Path)),
    responses((status = 200, body = AccountView)))]
pub async fn read(permit: Permit<Read>, state: Data<AppState>) -> Result<HttpResponse, Problem> {
    Ok(answer::single(&service::read(&state, &permit).await?))
}

/// Changes the name of an account.
#[utoipa::path(patch, path = "/api/accounts/{account_id}", tag = "Organizations, accounts, projects",
    operation_id = "update_account", request_body = AccountChange,
    params(("account_id" = uuid::Uuid, Path), ("If-Match" = Option<String>, Header)),
    responses((status = 200, body = AccountView)))]
pub async fn update(
    permit: Permit<Update>,
    state: Data<AppState>,
    if_match: IfMatch,
    body: Body<AccountChange>,
) -> Result<HttpResponse, Problem> {
    let changed = service::update(&state, &permit, body.value, &if_match).await?;
    Ok(changed.answer(|view| answer::single(&view)))
}

/// Deletes an account that has no projects.
#[utoipa::path(delete, path = "/api/accounts/{account_id}", tag = "Organizations, accounts, projects",
    operation_id = "delete_account",
    params(("account_id" = uuid::Uuid, Path), ("If-Match" = Option<String>, Header)),
    responses((status = 204)))]
pub async fn delete(
    permit: Permit<Delete>,
    state: Data<AppState>,
    if_match: IfMatch,
) -> Result<HttpResponse, Problem> {
    let deleted = service::delete(&state, &permit, &if_match).await?;
    Ok(deleted.answer(|()| HttpResponse::NoContent().finish()))
}
