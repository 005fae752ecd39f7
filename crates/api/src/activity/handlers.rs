//! HTTP in, HTTP out.

use actix_web::web::{Data, Json, Query};
use entity::user_activity;
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter};

use super::model::{ActivityView, ReadOwnActivity};
use crate::{
    access::permit::Permit,
    http::page::{Page, Paging},
    problem::Problem,
    state::AppState,
};

/// What happened to and by the caller.
#[utoipa::path(get, path = "/api/users/me/activity", tag = "The own account", params(Paging),
    responses((status = 200, body = Page<ActivityView>)))]
pub async fn list_own(
    permit: Permit<ReadOwnActivity>,
    state: Data<AppState>,
    paging: Query<Paging>,
) -> Result<Json<Page<ActivityView>>, Problem> {
    let cut = paging.cut()?;
    let query = user_activity::Entity::find().filter(user_activity::Column::UserId.eq(permit.id()));
    let rows = cut
        .apply(query, user_activity::Column::Id)
        .all(&state.db)
        .await?;
    Ok(Json(cut.page(rows, |row| row.id, ActivityView::from)))
}
