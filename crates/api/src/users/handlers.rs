//! HTTP in, HTTP out.

use actix_web::{HttpResponse, http::header::CONTENT_DISPOSITION, web::Data};

use super::{
    erasure::{self, DeleteOwn},
    export::{self, ExportOwn},
    model::{ReadOwn, UpdateMe, UpdateOwn, UserView},
    service,
};
use crate::{
    access::permit::Permit,
    http::{answer::single, body::Body, etag::IfMatch},
    problem::Problem,
    sessions::cookie,
    state::AppState,
};

/// The caller's profile.
#[utoipa::path(get, path = "/api/users/me", tag = "The own account", responses((status = 200, body = UserView)))]
pub async fn me(permit: Permit<ReadOwn>, state: Data<AppState>) -> Result<HttpResponse, Problem> {
    let user = service::read(&state, permit.id()).await?;
    Ok(single(&UserView::from(user)))
}

/// Changes the caller's profile or password.
#[utoipa::path(put, path = "/api/users/me", tag = "The own account", request_body = UpdateMe,
    responses((status = 200, body = UserView)))]
pub async fn update_me(
    permit: Permit<UpdateOwn>,
    state: Data<AppState>,
    if_match: IfMatch,
    body: Body<UpdateMe>,
) -> Result<HttpResponse, Problem> {
    let user = service::update_own(&state, &permit, &if_match, body.value).await?;
    Ok(single(&UserView::from(user)))
}

/// Erases the caller: the account and all that belongs to it. All sessions stop at once.
#[utoipa::path(delete, path = "/api/users/me", tag = "The own account", responses((status = 204)))]
pub async fn delete_me(
    permit: Permit<DeleteOwn>,
    state: Data<AppState>,
    if_match: IfMatch,
) -> Result<HttpResponse, Problem> {
    erasure::erase_own(&state, &permit, &if_match).await?;
    Ok(HttpResponse::NoContent().cookie(cookie::remove()).finish())
}

/// Everything that is stored about the caller but secrets.
#[utoipa::path(get, path = "/api/users/me/export", tag = "The own account",
    responses((status = 200, description = "A JSON document", body = serde_json::Value)))]
pub async fn export_me(
    permit: Permit<ExportOwn>,
    state: Data<AppState>,
) -> Result<HttpResponse, Problem> {
    let document = export::export(state, &permit).await?;
    Ok(HttpResponse::Ok()
        .insert_header((CONTENT_DISPOSITION, "attachment; filename=\"account.json\""))
        .content_type("application/json")
        .streaming(document))
}
