//! Queries on organizations.

use chrono::{DateTime, Utc};
use entity::organization;
use sea_orm::{
    ActiveModelTrait,
    ActiveValue::Set,
    ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QuerySelect,
    sea_query::{LockType, OnConflict},
};
use serde_json::json;
use uuid::Uuid;

use super::model::OrganizationError;
use crate::{
    database::pattern,
    http::{
        page::Cut,
        text::{Name, Slug, normalized},
    },
    problem::{constraint, sqlstate},
    roles::reach::Reach,
};

/// Organizations within reach whose name begins with `prefix`.
pub(super) async fn within(
    txn: &impl ConnectionTrait,
    reach: &Reach,
    prefix: Option<&str>,
    cut: &Cut<organization::Model>,
) -> Result<Vec<organization::Model>, DbErr> {
    let mut query = cut.apply(organization::Entity::find(), organization::Column::Id);
    if !reach.everywhere {
        let ids = reach.organizations.clone();
        query = query.filter(organization::Column::Id.eq_any(ids));
    }
    if let Some(prefix) = prefix {
        query = query.filter(
            organization::Column::NameNormalized.like(pattern::prefix(&normalized(prefix))),
        );
    }
    query.all(txn).await
}

/// One organization.
pub(super) async fn find(
    txn: &impl ConnectionTrait,
    id: Uuid,
) -> Result<Option<organization::Model>, DbErr> {
    organization::Entity::find_by_id(id).one(txn).await
}

/// One organization, kept from being changed by others until the transaction ends.
pub(super) async fn lock(
    txn: &impl ConnectionTrait,
    id: Uuid,
    how: LockType,
) -> Result<Option<organization::Model>, DbErr> {
    organization::Entity::find_by_id(id)
        .lock(how)
        .one(txn)
        .await
}

/// Inserts an organization; `false` if the slug is in use.
pub(super) async fn insert(
    txn: &impl ConnectionTrait,
    id: Uuid,
    name: &Name,
    slug: &Slug,
    now: DateTime<Utc>,
) -> Result<bool, OrganizationError> {
    let row = organization::ActiveModel {
        id: Set(id),
        name: Set(name.to_string()),
        name_normalized: Set(normalized(name)),
        slug: Set(slug.to_string()),
        settings: Set(json!({})),
        created_at: Set(now),
        updated_at: Set(now),
        version: Set(1),
    };
    let mut free = OnConflict::column(organization::Column::Slug);
    free.do_nothing();
    let inserted = organization::Entity::insert(row)
        .on_conflict(free)
        .exec_without_returning(txn)
        .await
        .map_err(judged)?;
    Ok(inserted == 1)
}

/// Writes what was changed.
pub(super) async fn save(
    txn: &impl ConnectionTrait,
    row: organization::ActiveModel,
) -> Result<organization::Model, OrganizationError> {
    row.update(txn).await.map_err(judged)
}

/// Deletes an organization, and with it the roles, invitations and assignments in it.
pub(super) async fn delete(txn: &impl ConnectionTrait, id: Uuid) -> Result<(), OrganizationError> {
    let deleted = organization::Entity::delete_by_id(id).exec(txn).await;
    match deleted {
        Ok(_) => Ok(()),
        // 23001 from PostgreSQL 18 on.
        Err(error) if matches!(sqlstate(&error).as_deref(), Some("23503" | "23001")) => {
            Err(OrganizationError::NotEmpty)
        }
        Err(error) => Err(error.into()),
    }
}

fn judged(error: DbErr) -> OrganizationError {
    match constraint(&error) {
        Some("organizations_name_key") => OrganizationError::NameTaken,
        Some("organizations_slug_key") => OrganizationError::SlugTaken,
        _ => error.into(),
    }
}
