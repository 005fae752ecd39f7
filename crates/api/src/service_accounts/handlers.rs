//! HTTP in, HTTP out.

use actix_web::{
    HttpRequest, HttpResponse,
    web::{Data, Json, Query},
};

use super::{
    model::{
        Manage, ManageKeys, ManageOne, NewServiceAccount, ReadKeys, ServiceAccountChange,
        ServiceAccountView,
    },
    service,
};
use crate::{
    access::permit::Permit,
    api_keys::{
        handlers::created,
        model::{ApiKeyView, MadeKey, NewApiKey},
    },
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

/// All service accounts.
#[utoipa::path(get, path = "/api/admin/service-accounts", tag = "Administration",
    operation_id = "list_service_accounts", params(NamedPaging),
    responses((status = 200, body = Page<ServiceAccountView>)))]
pub async fn list(
    permit: Permit<Manage>,
    state: Data<AppState>,
    query: Query<NamedPaging>,
) -> Result<Json<Page<ServiceAccountView>>, Problem> {
    let cut = query.paging().cut()?;
    let page = service::list(&state, &permit, query.q.as_deref(), &cut).await?;
    Ok(Json(page))
}

/// Makes a service account, which holds no role yet.
#[utoipa::path(post, path = "/api/admin/service-accounts", tag = "Administration",
    operation_id = "create_service_account", request_body = NewServiceAccount,
    params(("Idempotency-Key" = Option<String>, Header, min_length = 1, max_length = 255)),
    responses((status = 201, body = ServiceAccountView)))]
pub async fn create(
    permit: Permit<Manage>,
    state: Data<AppState>,
    key: IdempotencyKey,
    body: Body<NewServiceAccount>,
) -> Result<HttpResponse, Problem> {
    let once = key.of(permit.principal(), body.hash);
    let view = service::create(&state, &permit, body.value, &once).await?;
    let location = format!("/api/admin/service-accounts/{}", view.id);
    Ok(answer::created(location, &view))
}

/// One service account.
#[utoipa::path(get, path = "/api/admin/service-accounts/{service_account_id}", tag = "Administration",
    operation_id = "read_service_account", params(("service_account_id" = uuid::Uuid, Path)),
    responses((status = 200, body = ServiceAccountView)))]
pub async fn read(
    permit: Permit<ManageOne>,
    state: Data<AppState>,
) -> Result<HttpResponse, Problem> {
    Ok(answer::single(&service::read(&state, &permit).await?))
}

/// Changes a service account, disables it, or enables it again.
#[utoipa::path(patch, path = "/api/admin/service-accounts/{service_account_id}", tag = "Administration",
    operation_id = "update_service_account", request_body = ServiceAccountChange,
    params(("service_account_id" = uuid::Uuid, Path), ("If-Match" = Option<String>, Header)),
    responses((status = 200, body = ServiceAccountView)))]
pub async fn update(
    permit: Permit<ManageOne>,
    state: Data<AppState>,
    if_match: IfMatch,
    body: Body<ServiceAccountChange>,
) -> Result<HttpResponse, Problem> {
    let view = service::update(&state, &permit, body.value, &if_match).await?;
    Ok(answer::single(&view))
}

/// Deletes a service account, its keys and the roles that it holds.
#[utoipa::path(delete, path = "/api/admin/service-accounts/{service_account_id}", tag = "Administration",
    operation_id = "delete_service_account",
    params(("service_account_id" = uuid::Uuid, Path), ("If-Match" = Option<String>, Header)),
    responses((status = 204)))]
pub async fn delete(
    permit: Permit<ManageOne>,
    state: Data<AppState>,
    if_match: IfMatch,
) -> Result<HttpResponse, Problem> {
    service::delete(&state, &permit, &if_match).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// The API keys of a service account, without those that were revoked.
#[utoipa::path(get, path = "/api/admin/service-accounts/{service_account_id}/api-keys",
    tag = "Administration", operation_id = "list_service_account_api_keys",
    params(("service_account_id" = uuid::Uuid, Path), Paging),
    responses((status = 200, body = Page<ApiKeyView>)))]
pub async fn list_keys(
    permit: Permit<ReadKeys>,
    state: Data<AppState>,
    paging: Query<Paging>,
) -> Result<Json<Page<ApiKeyView>>, Problem> {
    let cut = paging.cut()?;
    Ok(Json(service::list_keys(&state, &permit, &cut).await?))
}

/// Makes an API key of a service account. It is shown in this answer and never again.
#[utoipa::path(post, path = "/api/admin/service-accounts/{service_account_id}/api-keys",
    tag = "Administration", operation_id = "create_service_account_api_key", request_body = NewApiKey,
    params(("service_account_id" = uuid::Uuid, Path),
        ("Idempotency-Key" = Option<String>, Header, min_length = 1, max_length = 255)),
    responses((status = 201, body = MadeKey)))]
pub async fn create_key(
    permit: Permit<ManageKeys>,
    state: Data<AppState>,
    key: IdempotencyKey,
    body: Body<NewApiKey>,
) -> Result<HttpResponse, Problem> {
    let once = key.of(permit.principal(), body.hash);
    let made = service::create_key(&state, &permit, body.value, &once).await?;
    let list = format!("/api/admin/service-accounts/{}/api-keys", permit.id());
    Ok(created(&list, &made))
}

/// Revokes an API key of a service account.
#[utoipa::path(delete, path = "/api/admin/service-accounts/{service_account_id}/api-keys/{api_key_id}",
    tag = "Administration", operation_id = "revoke_service_account_api_key",
    params(("service_account_id" = uuid::Uuid, Path), ("api_key_id" = uuid::Uuid, Path)),
    responses((status = 204)))]
pub async fn revoke_key(
    permit: Permit<ManageKeys>,
    state: Data<AppState>,
    req: HttpRequest,
) -> Result<HttpResponse, Problem> {
    let id = path::id(&req, "api_key_id")?;
    service::revoke_key(&state, &permit, id).await?;
    Ok(HttpResponse::NoContent().finish())
}
