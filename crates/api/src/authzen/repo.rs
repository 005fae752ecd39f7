//! Queries on users and roles.

use entity::{role, user};
use sea_orm::{
    ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QueryOrder, QuerySelect,
};
use uuid::Uuid;

use crate::{
    database::tx::{Scope, Tx},
    http::text::normalized,
    state::AppState,
};

/// No address and no username is longer.
const LONGEST: usize = 254;

/// The id of the user with this e-mail address, if it has an `@`, or this username.
pub async fn user_id(db: &impl ConnectionTrait, login: &str) -> Result<Option<Uuid>, DbErr> {
    if login.chars().count() > LONGEST {
        return Ok(None);
    }
    let column = if login.contains('@') {
        user::Column::EmailNormalized
    } else {
        user::Column::UsernameNormalized
    };
    user::Entity::find()
        .select_only()
        .column(user::Column::Id)
        .filter(column.eq(normalized(login)))
        .into_tuple()
        .one(db)
        .await
}

/// Roles that the organization has made, the oldest `limit` of them.
pub async fn roles(
    state: &AppState,
    organization: Uuid,
    limit: u64,
) -> Result<Vec<role::Model>, DbErr> {
    let tx = Tx::begin(state, &Scope::Organizations(vec![organization])).await?;
    let rows = role::Entity::find()
        .filter(role::Column::OrganizationId.eq(organization))
        .order_by_asc(role::Column::Id)
        .limit(limit)
        .all(&*tx)
        .await?;
    tx.commit().await?;
    Ok(rows)
}
