//! What is done with one user, and what is known of them.

use actix_web::{
    HttpResponse,
    web::{Data, Json, Query},
};

use crate::{
    access::permit::Permit,
    activity::model::ActivityView,
    admin::{
        known,
        model::{
            AdminUserView, ApproveUser, DeleteUser, ReadUser, RejectUser, UpdateUser, UserChange,
            WithReason,
        },
        people,
        steps::{self, Step},
    },
    http::{
        answer::single,
        body::{Body, OptionalBody},
        etag::IfMatch,
        page::{Page, Paging},
    },
    problem::Problem,
    role_assignments::model::EffectiveRole,
    sessions::model::{Ended, SessionView},
    state::AppState,
    users,
};

/// One user.
#[utoipa::path(get, path = "/api/admin/users/{user_id}", tag = "Administration",
    params(("user_id" = uuid::Uuid, Path)), responses((status = 200, body = AdminUserView)))]
pub async fn read_user(
    permit: Permit<ReadUser>,
    state: Data<AppState>,
) -> Result<HttpResponse, Problem> {
    let user = users::service::read(&state, permit.id()).await?;
    Ok(single(&AdminUserView::from(user)))
}

/// Changes a user's profile, address, attributes or metadata.
#[utoipa::path(patch, path = "/api/admin/users/{user_id}", tag = "Administration",
    params(("user_id" = uuid::Uuid, Path)), request_body = UserChange,
    responses((status = 200, body = AdminUserView)))]
pub async fn update_user(
    permit: Permit<UpdateUser>,
    state: Data<AppState>,
    if_match: IfMatch,
    body: Body<UserChange>,
) -> Result<HttpResponse, Problem> {
    let user = people::update(&state, &(&permit).into(), body.value, &if_match).await?;
    Ok(single(&AdminUserView::from(user)))
}

/// Erases a user: the account and all that belongs to it.
#[utoipa::path(delete, path = "/api/admin/users/{user_id}", tag = "Administration",
    params(("user_id" = uuid::Uuid, Path)), responses((status = 204)))]
pub async fn delete_user(
    permit: Permit<DeleteUser>,
    state: Data<AppState>,
    if_match: IfMatch,
) -> Result<HttpResponse, Problem> {
    people::delete(&state, &(&permit).into(), &if_match).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Lets in a user who waits for approval.
#[utoipa::path(put, path = "/api/admin/users/{user_id}/approve", tag = "Administration",
    params(("user_id" = uuid::Uuid, Path)), request_body = Option<WithReason>,
    responses((status = 200, body = AdminUserView)))]
pub async fn approve(
    permit: Permit<ApproveUser>,
    state: Data<AppState>,
    if_match: IfMatch,
    body: OptionalBody<WithReason>,
) -> Result<HttpResponse, Problem> {
    take(&permit, &state, Step::Approve, &if_match, body).await
}

/// Turns away a user who waits for approval; the mail says why, if a reason is given.
#[utoipa::path(put, path = "/api/admin/users/{user_id}/reject", tag = "Administration",
    params(("user_id" = uuid::Uuid, Path)), request_body = Option<WithReason>,
    responses((status = 200, body = AdminUserView)))]
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
    params(("user_id" = uuid::Uuid, Path)), request_body = Option<WithReason>,
    responses((status = 200, body = AdminUserView)))]
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
    params(("user_id" = uuid::Uuid, Path)), request_body = Option<WithReason>,
    responses((status = 200, body = AdminUserView)))]
pub async fn enable(
    permit: Permit<UpdateUser>,
    state: Data<AppState>,
    if_match: IfMatch,
    body: OptionalBody<WithReason>,
) -> Result<HttpResponse, Problem> {
    take(&permit, &state, Step::Enable, &if_match, body).await
}

async fn take<A: crate::access::permit::Action>(
    permit: &Permit<A>,
    state: &AppState,
    step: Step,
    if_match: &IfMatch,
    body: OptionalBody<WithReason>,
) -> Result<HttpResponse, Problem> {
    let user = steps::take(state, &permit.into(), step, if_match, body.0.reason).await?;
    Ok(single(&AdminUserView::from(user)))
}

/// Lifts the lock that wrong passwords brought.
#[utoipa::path(put, path = "/api/admin/users/{user_id}/unlock", tag = "Administration",
    params(("user_id" = uuid::Uuid, Path)), responses((status = 200, body = AdminUserView)))]
pub async fn unlock(
    permit: Permit<UpdateUser>,
    state: Data<AppState>,
    if_match: IfMatch,
) -> Result<HttpResponse, Problem> {
    let user = steps::unlock(&state, &(&permit).into(), &if_match).await?;
    Ok(single(&AdminUserView::from(user)))
}

/// Has the next login set a new password; ends sessions, open links and the trust in devices.
#[utoipa::path(put, path = "/api/admin/users/{user_id}/require-password-change", tag = "Administration",
    params(("user_id" = uuid::Uuid, Path)), request_body = Option<WithReason>,
    responses((status = 200, body = AdminUserView)))]
pub async fn require_password_change(
    permit: Permit<UpdateUser>,
    state: Data<AppState>,
    if_match: IfMatch,
    body: OptionalBody<WithReason>,
) -> Result<HttpResponse, Problem> {
    let (by, reason) = ((&permit).into(), body.0.reason);
    let user = steps::require_password_change(&state, &by, &if_match, reason).await?;
    Ok(single(&AdminUserView::from(user)))
}

/// Removes all second factors of a user and ends their sessions.
#[utoipa::path(put, path = "/api/admin/users/{user_id}/reset-mfa", tag = "Administration",
    params(("user_id" = uuid::Uuid, Path)), request_body = Option<WithReason>,
    responses((status = 200, body = AdminUserView)))]
pub async fn reset_mfa(
    permit: Permit<UpdateUser>,
    state: Data<AppState>,
    if_match: IfMatch,
    body: OptionalBody<WithReason>,
) -> Result<HttpResponse, Problem> {
    let (by, reason) = ((&permit).into(), body.0.reason);
    let user = steps::reset_mfa(&state, &by, &if_match, reason).await?;
    Ok(single(&AdminUserView::from(user)))
}

/// A user's live sessions.
#[utoipa::path(get, path = "/api/admin/users/{user_id}/sessions", tag = "Administration",
    params(("user_id" = uuid::Uuid, Path), Paging), responses((status = 200, body = Page<SessionView>)))]
pub async fn list_sessions(
    permit: Permit<ReadUser>,
    state: Data<AppState>,
    paging: Query<Paging>,
) -> Result<Json<Page<SessionView>>, Problem> {
    let cut = paging.cut()?;
    let rows = known::sessions(&state, &(&permit).into(), &cut).await?;
    let current = permit.actor().session_id();
    Ok(Json(cut.page(
        rows,
        |row| row.id,
        |row| SessionView::of(row, current),
    )))
}

/// Ends a user's sessions.
#[utoipa::path(delete, path = "/api/admin/users/{user_id}/sessions", tag = "Administration",
    params(("user_id" = uuid::Uuid, Path)), responses((status = 200, body = Ended)))]
pub async fn end_sessions(
    permit: Permit<UpdateUser>,
    state: Data<AppState>,
) -> Result<Json<Ended>, Problem> {
    let ended = steps::end_sessions(&state, &(&permit).into()).await?;
    Ok(Json(Ended { ended }))
}

/// What happened to and by a user.
#[utoipa::path(get, path = "/api/admin/users/{user_id}/activity", tag = "Administration",
    params(("user_id" = uuid::Uuid, Path), Paging), responses((status = 200, body = Page<ActivityView>)))]
pub async fn list_activity(
    permit: Permit<ReadUser>,
    state: Data<AppState>,
    paging: Query<Paging>,
) -> Result<Json<Page<ActivityView>>, Problem> {
    let cut = paging.cut()?;
    let rows = known::activity(&state, &(&permit).into(), &cut).await?;
    Ok(Json(cut.page(rows, |row| row.id, ActivityView::from)))
}

/// The roles that a user holds now, each with the path it comes by.
#[utoipa::path(get, path = "/api/admin/users/{user_id}/roles", tag = "Administration",
    params(("user_id" = uuid::Uuid, Path), Paging), responses((status = 200, body = Page<EffectiveRole>)))]
pub async fn list_roles(
    permit: Permit<ReadUser>,
    state: Data<AppState>,
    paging: Query<Paging>,
) -> Result<Json<Page<EffectiveRole>>, Problem> {
    let cut = paging.cut()?;
    Ok(Json(known::roles(&state, &(&permit).into(), &cut).await?))
}
