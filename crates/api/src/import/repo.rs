//! Queries of the import.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use entity::user;
use sea_orm::{
    ActiveValue::Set, ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QuerySelect,
};
use uuid::Uuid;

use super::model::{Imported, ImportedStatus};

/// Which of these addresses (in normal form) are somebody's.
pub async fn known_emails(
    db: &impl ConnectionTrait,
    emails: impl IntoIterator<Item = &str>,
) -> Result<HashSet<String>, DbErr> {
    known(db, user::Column::EmailNormalized, emails).await
}

/// Which of these usernames (in normal form) are somebody's.
pub async fn known_usernames(
    db: &impl ConnectionTrait,
    names: impl IntoIterator<Item = &str>,
) -> Result<HashSet<String>, DbErr> {
    known(db, user::Column::UsernameNormalized, names).await
}

async fn known(
    db: &impl ConnectionTrait,
    column: user::Column,
    texts: impl IntoIterator<Item = &str>,
) -> Result<HashSet<String>, DbErr> {
    let found: Vec<String> = user::Entity::find()
        .select_only()
        .column(column)
        .filter(column.is_in(texts))
        .into_tuple()
        .all(db)
        .await?;
    Ok(found.into_iter().collect())
}

/// Adds users, and returns their ids in the same order.
pub async fn insert(
    db: &impl ConnectionTrait,
    users: &[Imported],
    now: DateTime<Utc>,
) -> Result<Vec<Uuid>, DbErr> {
    let ids: Vec<_> = users.iter().map(|_| Uuid::now_v7()).collect();
    let rows = users.iter().zip(&ids).map(|(user, id)| row(user, *id, now));
    user::Entity::insert_many(rows)
        .exec_without_returning(db)
        .await?;
    Ok(ids)
}

fn row(user: &Imported, id: Uuid, now: DateTime<Utc>) -> user::ActiveModel {
    let is_active = user.status == ImportedStatus::Active;
    user::ActiveModel {
        id: Set(id),
        email: Set(user.email.clone()),
        email_normalized: Set(user.email_normalized.clone()),
        username: Set(user.username.clone()),
        username_normalized: Set(user.username_normalized()),
        password_hash: Set(user
            .password
            .as_ref()
            .map(crate::crypto::password::Format::to_text)),
        password_must_change: Set(user.password_must_change),
        password_changed_at: Set(user.password.as_ref().map(|_| now)),
        display_name: Set(user.display_name.clone()),
        locale: Set(user.locale.clone()),
        metadata: Set(user.metadata.clone()),
        attributes: Set(user.attributes.clone()),
        status: Set(user.status.as_str().to_owned()),
        email_verified_at: Set(user.email_verified.then_some(now)),
        approved_at: Set(is_active.then_some(now)),
        created_at: Set(user.created_at.unwrap_or(now)),
        updated_at: Set(now),
        version: Set(1),
        ..Default::default()
    }
}
