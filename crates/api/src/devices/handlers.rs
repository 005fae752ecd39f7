//! HTTP in, HTTP out.

use actix_web::{
    HttpRequest, HttpResponse,
    web::{Data, Json, Query},
};

use super::{
    model::{DeviceView, ReadOwn, RevokeOwn},
    repo, service,
};
use crate::{
    access::permit::Permit,
    http::{
        page::{Page, Paging},
        path,
    },
    problem::Problem,
    state::AppState,
};

/// The caller's trusted devices.
#[utoipa::path(get, path = "/api/users/me/devices", tag = "The own account", params(Paging),
    responses((status = 200, body = Page<DeviceView>)))]
pub async fn list_own(
    permit: Permit<ReadOwn>,
    state: Data<AppState>,
    paging: Query<Paging>,
) -> Result<Json<Page<DeviceView>>, Problem> {
    let cut = paging.cut()?;
    let rows = repo::trusted(&state.db, permit.id(), state.clock.now(), &cut).await?;
    Ok(Json(cut.page(rows, |row| row.id, DeviceView::from)))
}

/// Takes the trust from one of the caller's devices.
#[utoipa::path(delete, path = "/api/users/me/devices/{device_id}", tag = "The own account",
    params(("device_id" = uuid::Uuid, Path)), responses((status = 204)))]
pub async fn revoke_own(
    permit: Permit<RevokeOwn>,
    state: Data<AppState>,
    req: HttpRequest,
) -> Result<HttpResponse, Problem> {
    let id = path::id(&req, "device_id")?;
    service::revoke_own(&state, &permit, id).await?;
    Ok(HttpResponse::NoContent().finish())
}
