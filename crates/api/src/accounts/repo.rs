//! Queries on accounts.

use chrono::{DateTime, Utc};
use entity::account;
use sea_orm::{
    ActiveModelTrait, ActiveValue::Set, ColumnTrait, ConnectionTrait, DbErr, EntityTrait,
    QueryFilter, QuerySelect, sea_query::LockType,
};
use uuid::Uuid;

use super::model::AccountError;
use crate::{
    database::pattern,
    http::{
        page::Cut,
        text::{Name, normalized},
    },
    problem::{constraint, sqlstate},
};

/// Accounts of an organization whose name begins with `prefix`.
pub(super) async fn of_organization(
    txn: &impl ConnectionTrait,
    organization_id: Uuid,
    prefix: Option<&str>,
    cut: &Cut<account::Model>,
) -> Result<Vec<account::Model>, DbErr> {
    let mut query =
        account::Entity::find().filter(account::Column::OrganizationId.eq(organization_id));
    if let Some(prefix) = prefix {
        query = query
            .filter(account::Column::NameNormalized.like(pattern::prefix(&normalized(prefix))));
    }
    cut.apply(query, account::Column::Id).all(txn).await
}

/// One account.
pub(super) async fn find(
    txn: &impl ConnectionTrait,
    id: Uuid,
) -> Result<Option<account::Model>, DbErr> {
    account::Entity::find_by_id(id).one(txn).await
}

/// One account, kept from being changed by others until the transaction ends.
pub(super) async fn lock(
    txn: &impl ConnectionTrait,
    id: Uuid,
    how: LockType,
) -> Result<Option<account::Model>, DbErr> {
    account::Entity::find_by_id(id).lock(how).one(txn).await
}

/// Inserts an account.
pub(super) async fn insert(
    txn: &impl ConnectionTrait,
    organization_id: Uuid,
    name: &Name,
    now: DateTime<Utc>,
) -> Result<account::Model, AccountError> {
    let row = account::ActiveModel {
        id: Set(Uuid::now_v7()),
        organization_id: Set(organization_id),
        name: Set(name.to_string()),
        name_normalized: Set(normalized(name)),
        created_at: Set(now),
        updated_at: Set(now),
        version: Set(1),
    };
    row.insert(txn).await.map_err(judged)
}

/// Writes what was changed.
pub(super) async fn save(
    txn: &impl ConnectionTrait,
    row: account::ActiveModel,
) -> Result<account::Model, AccountError> {
    row.update(txn).await.map_err(judged)
}

/// Deletes an account; roles held on it go along.
pub(super) async fn delete(txn: &impl ConnectionTrait, id: Uuid) -> Result<(), AccountError> {
    match account::Entity::delete_by_id(id).exec(txn).await {
        Ok(_) => Ok(()),
        // 23001 from PostgreSQL 18 on.
        Err(error) if matches!(sqlstate(&error).as_deref(), Some("23503" | "23001")) => {
            Err(AccountError::NotEmpty)
        }
        Err(error) => Err(error.into()),
    }
}

fn judged(error: DbErr) -> AccountError {
    match constraint(&error) {
        Some("accounts_organization_id_name_key") => AccountError::NameTaken,
        Some("accounts_organization_id_fkey") => AccountError::NotFound,
        _ => error.into(),
    }
}
