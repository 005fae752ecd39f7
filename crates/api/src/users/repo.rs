//! Queries on users.

use entity::user;
use sea_orm::{ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QuerySelect};
use uuid::Uuid;

use crate::http::text::normalized;

/// The user who logs in as `login`: an e-mail address if it has an `@`, else a username.
pub async fn find_by_login(
    db: &impl ConnectionTrait,
    login: &str,
) -> Result<Option<user::Model>, DbErr> {
    let column = if login.contains('@') {
        user::Column::EmailNormalized
    } else {
        user::Column::UsernameNormalized
    };
    user::Entity::find()
        .filter(column.eq(normalized(login)))
        .one(db)
        .await
}

/// A user, locked until the transaction ends.
pub async fn find_for_update(
    txn: &impl ConnectionTrait,
    id: Uuid,
) -> Result<Option<user::Model>, DbErr> {
    user::Entity::find_by_id(id).lock_exclusive().one(txn).await
}

/// When a user last showed a sign of life, counted from the last time that an administrator let
/// them in. The index `users_last_active_idx` is on this expression.
pub const LAST_ACTIVE: &str =
    "GREATEST(last_seen_at, last_login_at, approved_at, enabled_at, created_at)";
