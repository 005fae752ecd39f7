//! HTTP in, HTTP out.

use actix_web::{
    HttpResponse,
    web::{Data, Json, Query},
};

use super::{
    model::{
        ApproveUser, AuditFilter, AuditView, ReadAudit, ReadUser, ReadUsers, RejectUser,
        UpdateUser, UserFilter, WithReason,
    },
    service::{self, Step},
};
use crate::{
    access::permit::Permit,
    http::{answer::single, body::OptionalBody, etag::IfMatch, page::Page},
    problem::Problem,
    state::AppState,
    users::{self, model::UserView},
};

/// Users, all or those that the filters pick.
#[utoipa::path(get, path = "/api/admin/users", tag = "Administration", params(UserFilter),
    responses((status = 200, body = Page<UserView>)))]
pub async fn list_users(
    _permit: Permit<ReadUsers>,
    state: Data<AppState>,
    filter: Query<UserFilter>,
) -> Result<Json<Page<UserView>>, Problem> {
    let cut = filter.paging().cut()?;
    let rows = service::users(&state, &filter, &cut).await?;
    Ok(Json(cut.page(rows, |row| row.id, UserView::from)))
}

/// One user.
#[utoipa::path(get, path = "/api/admin/users/{user_id}", tag = "Administration",
    params(("user_id" = uuid::Uuid, Path)), responses((status = 200, body = UserView)))]
pub async fn read_user(
    permit: Permit<ReadUser>,
    state: Data<AppState>,
) -> Result<HttpResponse, Problem> {
    let user = users::service::read(&state, permit.id()).await?;
    Ok(single(&UserView::from(user)))
}

/// Lets in a user who waits for approval.
#[utoipa::path(put, path = "/api/admin/users/{user_id}/approve", tag = "Administration",
    params(("user_id" = uuid::Uuid, Path)), responses((status = 200, body = UserView)))]
pub async fn approve(
    permit: Permit<ApproveUser>,
    state: Data<AppState>,
    if_match: IfMatch,
    body: OptionalBody<WithReason>,
) -> Result<HttpResponse, Problem> {
    take(&permit, &state, Step::Approve, &if_match, body).await
}

/// Turns away a user who waits for approval.
#[utoipa::path(put, path = "/api/admin/users/{user_id}/reject", tag = "Administration",
    params(("user_id" = uuid::Uuid, Path)), request_body = Option<WithReason>, responses((status = 200, body = UserView)))]
pub async fn reject(
    permit: Permit<RejectUser>,
    state: Data<AppState>,
    if_match: IfMatch,
    body: OptionalBody<WithReason>,
) -> Result<HttpResponse, Problem> {
    take(&permit, &state, Step::Reject, &if_match, body).await
}

/// Closes a user's account and ends their sessions.
#[utoipa::path(put, path = "/api/admin/users/{user_id}/disable", tag = "Administration",
    params(("user_id" = uuid::Uuid, Path)), request_body = Option<WithReason>, responses((status = 200, body = UserView)))]
pub async fn disable(
    permit: Permit<UpdateUser>,
    state: Data<AppState>,
    if_match: IfMatch,
    body: OptionalBody<WithReason>,
) -> Result<HttpResponse, Problem> {
    take(&permit, &state, Step::Disable, &if_match, body).await
}

/// Opens a closed account again, and forgets its wrong passwords.
#[utoipa::path(put, path = "/api/admin/users/{user_id}/enable", tag = "Administration",
    params(("user_id" = uuid::Uuid, Path)), responses((status = 200, body = UserView)))]
pub async fn enable(
    permit: Permit<UpdateUser>,
    state: Data<AppState>,
    if_match: IfMatch,
    body: OptionalBody<WithReason>,
) -> Result<HttpResponse, Problem> {
    take(&permit, &state, Step::Enable, &if_match, body).await
}

async fn take<A>(
    permit: &Permit<A>,
    state: &AppState,
    step: Step,
    if_match: &IfMatch,
    body: OptionalBody<WithReason>,
) -> Result<HttpResponse, Problem> {
    let user = service::take(state, permit, step, if_match, body.0.reason).await?;
    Ok(single(&UserView::from(user)))
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
    Ok(Json(cut.page(rows, |row| row.id, AuditView::from)))
}
