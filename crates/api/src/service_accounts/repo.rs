//! Queries on service accounts.

use chrono::{DateTime, Utc};
use entity::service_account::{ActiveModel, Column, Entity, Model};
use sea_orm::{
    ActiveModelTrait, ActiveValue::Set, ColumnTrait, ConnectionTrait, DbErr, EntityTrait,
    QueryFilter, QuerySelect,
};
use uuid::Uuid;

use super::model::{NewServiceAccount, ServiceAccountError, Status};
use crate::{
    database::pattern,
    http::{page::Cut, text::normalized},
    problem::{constraint, sqlstate},
};

/// What PostgreSQL says when an organization would lose its last owner.
const LAST_OWNER: &str = "GP001";

/// Service accounts whose name begins with `prefix`.
pub(super) async fn all(
    txn: &impl ConnectionTrait,
    prefix: Option<&str>,
    cut: &Cut<Model>,
) -> Result<Vec<Model>, DbErr> {
    let mut query = Entity::find();
    if let Some(prefix) = prefix {
        query = query.filter(Column::NameNormalized.like(pattern::prefix(&normalized(prefix))));
    }
    cut.apply(query, Column::Id).all(txn).await
}

/// One service account.
pub(super) async fn find(txn: &impl ConnectionTrait, id: Uuid) -> Result<Option<Model>, DbErr> {
    Entity::find_by_id(id).one(txn).await
}

/// One service account, kept from being changed by others until the transaction ends.
pub(super) async fn lock(txn: &impl ConnectionTrait, id: Uuid) -> Result<Option<Model>, DbErr> {
    Entity::find_by_id(id).lock_exclusive().one(txn).await
}

/// Inserts a service account.
pub(super) async fn insert(
    txn: &impl ConnectionTrait,
    new: NewServiceAccount,
    created_by: Uuid,
    now: DateTime<Utc>,
) -> Result<Model, ServiceAccountError> {
    let row = ActiveModel {
        id: Set(Uuid::now_v7()),
        name_normalized: Set(normalized(&new.name)),
        name: Set(new.name.into()),
        description: Set(new.description.map(Into::into).unwrap_or_default()),
        status: Set(Status::Active.as_str().to_owned()),
        created_by: Set(Some(created_by)),
        created_at: Set(now),
        updated_at: Set(now),
        version: Set(1),
    };
    row.insert(txn).await.map_err(judged)
}

/// Writes what was changed.
pub(super) async fn save(
    txn: &impl ConnectionTrait,
    row: ActiveModel,
) -> Result<Model, ServiceAccountError> {
    row.update(txn).await.map_err(judged)
}

/// Deletes a service account, and with it its keys and the roles that it holds.
pub(super) async fn delete(
    txn: &impl ConnectionTrait,
    id: Uuid,
) -> Result<(), ServiceAccountError> {
    Entity::delete_by_id(id).exec(txn).await?;
    // Lets the database judge now whether owners are left, and not when the transaction commits.
    match txn
        .execute_unprepared("SET CONSTRAINTS ALL IMMEDIATE")
        .await
    {
        Ok(_) => Ok(()),
        Err(error) if sqlstate(&error).as_deref() == Some(LAST_OWNER) => {
            Err(ServiceAccountError::LastOwner)
        }
        Err(error) => Err(error.into()),
    }
}

fn judged(error: DbErr) -> ServiceAccountError {
    match constraint(&error) {
        Some("service_accounts_name_key") => ServiceAccountError::NameTaken,
        _ => error.into(),
    }
}
