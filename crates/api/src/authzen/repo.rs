//! Queries on users.

use entity::user;
use sea_orm::{ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QuerySelect};
use uuid::Uuid;

use crate::http::text::normalized;

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
