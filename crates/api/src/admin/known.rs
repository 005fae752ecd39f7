//! What is known of one user: sessions, activity, roles.

use entity::{session, user_activity};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter};

use super::model::{AdminError, ReadUser};
use crate::{
    access::authority::Authority,
    http::page::{Cut, Page},
    role_assignments::{self, model::EffectiveRole},
    sessions,
    state::AppState,
    users,
};

/// A page of a user's live sessions.
///
/// # Errors
///
/// [`AdminError::NotFound`].
pub async fn sessions(
    state: &AppState,
    by: &Authority<'_, ReadUser>,
    cut: &Cut<session::Model>,
) -> Result<Vec<session::Model>, AdminError> {
    must_exist(state, by).await?;
    Ok(sessions::repo::live(&state.db, by.id(), state.clock.now(), cut).await?)
}

/// A page of what happened to and by a user.
///
/// # Errors
///
/// [`AdminError::NotFound`].
pub async fn activity(
    state: &AppState,
    by: &Authority<'_, ReadUser>,
    cut: &Cut<user_activity::Model>,
) -> Result<Vec<user_activity::Model>, AdminError> {
    must_exist(state, by).await?;
    let query = user_activity::Entity::find().filter(user_activity::Column::UserId.eq(by.id()));
    let query = cut.apply(query, user_activity::Column::Id);
    Ok(query.all(&state.db).await?)
}

/// A page of the roles that a user holds now.
///
/// # Errors
///
/// [`AdminError::NotFound`].
pub async fn roles(
    state: &AppState,
    by: &Authority<'_, ReadUser>,
    cut: &Cut<EffectiveRole>,
) -> Result<Page<EffectiveRole>, AdminError> {
    must_exist(state, by).await?;
    Ok(role_assignments::service::held_by(state, by.id(), cut).await?)
}

async fn must_exist(state: &AppState, by: &Authority<'_, ReadUser>) -> Result<(), AdminError> {
    users::service::read(state, by.id()).await?;
    Ok(())
}
