//! HTTP in, HTTP out.

use actix_web::{HttpResponse, web::Data};

use super::{
    model::{ReadOwn, UpdateMe, UpdateOwn, UserView},
    service,
};
use crate::{
    access::permit::Permit,
    http::{answer::single, body::Body, etag::IfMatch},
    problem::Problem,
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
