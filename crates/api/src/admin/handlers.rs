//! HTTP in, HTTP out.

mod one;

pub use one::*;

use actix_web::{
    HttpResponse,
    web::{Data, Json, Query},
};

use super::{
    list,
    model::{
        AdminUserView, AuditFilter, AuditView, CreateUser, NewUser, Overview, ReadAudit,
        ReadOverview, ReadUsers, UserFilter,
    },
    overview, people, service,
};
use crate::{
    access::permit::Permit,
    http::{answer::created, body::Body, idempotency::IdempotencyKey, page::Page},
    problem::Problem,
    state::AppState,
};

/// Users, all or those that the filters pick.
#[utoipa::path(get, path = "/api/admin/users", tag = "Administration", params(UserFilter),
    responses((status = 200, body = Page<AdminUserView>)))]
pub async fn list_users(
    permit: Permit<ReadUsers>,
    state: Data<AppState>,
    filter: Query<UserFilter>,
) -> Result<Json<Page<AdminUserView>>, Problem> {
    let cut = filter.paging().cut()?;
    let rows = list::users(&state, &(&permit).into(), &filter, &cut).await?;
    Ok(Json(cut.page(rows, |row| row.id, AdminUserView::from)))
}

/// Makes a user, with a password that has to be changed or with a link in a mail to set one.
#[utoipa::path(post, path = "/api/admin/users", tag = "Administration", request_body = NewUser,
    params(("Idempotency-Key" = Option<String>, Header, min_length = 1, max_length = 255)),
    responses((status = 201, body = AdminUserView)))]
pub async fn create_user(
    permit: Permit<CreateUser>,
    state: Data<AppState>,
    key: IdempotencyKey,
    body: Body<NewUser>,
) -> Result<HttpResponse, Problem> {
    let once = key.of(permit.principal(), body.hash);
    let view = people::create(&state, &(&permit).into(), body.value, &once).await?;
    Ok(created(format!("/api/admin/users/{}", view.user.id), &view))
}

/// Counts, and what happened on each of the last 30 days.
#[utoipa::path(get, path = "/api/admin/overview", tag = "Administration",
    responses((status = 200, body = Overview)))]
pub async fn overview(
    permit: Permit<ReadOverview>,
    state: Data<AppState>,
) -> Result<Json<Overview>, Problem> {
    Ok(Json(overview::overview(&state, &(&permit).into()).await?))
}

/// The audit log, all or what the filters pick.
#[utoipa::path(get, path = "/api/admin/audit", tag = "Administration", params(AuditFilter),
    responses((status = 200, body = Page<AuditView>)))]
pub async fn list_audit(
    _permit: Permit<ReadAudit>,
    state: Data<AppState>,
    filter: Query<AuditFilter>,
) -> Result<Json<Page<AuditView>>, Problem> {
    let cut = filter.paging().cut()?;
    let rows = service::audit_entries(&state, &filter, &cut).await?;
    let mut page = cut.page(rows, |row| row.id, AuditView::from);
    service::add_seals(&state, &mut page.items).await?;
    Ok(Json(page))
}
