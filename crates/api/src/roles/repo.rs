//! Queries on roles.

use chrono::{DateTime, Utc};
use entity::role;
use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, Condition, ConnectionTrait, DbErr, EntityTrait, Order, QueryFilter, QueryOrder,
    sea_query::{NullOrdering, OnConflict},
};
use uuid::Uuid;

use crate::policy::BuiltinRole;

/// Roles called `key` that are built in or belong to the organization, built-in ones first.
pub(super) async fn called(
    txn: &impl ConnectionTrait,
    key: &str,
    organization_id: Option<Uuid>,
) -> Result<Vec<role::Model>, DbErr> {
    let mut whose = Condition::any().add(role::Column::OrganizationId.is_null());
    if let Some(id) = organization_id {
        whose = whose.add(role::Column::OrganizationId.eq(id));
    }
    role::Entity::find()
        .filter(role::Column::Key.eq(key))
        .filter(whose)
        .order_by_with_nulls(
            role::Column::OrganizationId,
            Order::Asc,
            NullOrdering::First,
        )
        .all(txn)
        .await
}

/// All built-in roles.
pub(super) async fn built_in(txn: &impl ConnectionTrait) -> Result<Vec<role::Model>, DbErr> {
    role::Entity::find()
        .filter(role::Column::OrganizationId.is_null())
        .all(txn)
        .await
}

/// Writes a built-in role, over the one with its id.
pub(super) async fn put_built_in(
    txn: &impl ConnectionTrait,
    role: &BuiltinRole,
    version: i64,
    now: DateTime<Utc>,
) -> Result<(), DbErr> {
    let row = role::ActiveModel {
        id: Set(role.id),
        organization_id: Set(None),
        key: Set(role.key.clone()),
        name: Set(role.name.clone()),
        description: Set(role.description.clone()),
        permissions: Set(role.permissions.clone()),
        assignable_at: Set(role.assignable_at.clone()),
        created_at: Set(now),
        updated_at: Set(now),
        version: Set(version),
    };
    let mut over = OnConflict::column(role::Column::Id);
    over.update_columns([
        role::Column::Key,
        role::Column::Name,
        role::Column::Description,
        role::Column::Permissions,
        role::Column::AssignableAt,
        role::Column::UpdatedAt,
        role::Column::Version,
    ]);
    role::Entity::insert(row)
        .on_conflict(over)
        .exec_without_returning(txn)
        .await?;
    Ok(())
}

/// One role.
pub(super) async fn find(
    txn: &impl ConnectionTrait,
    id: Uuid,
) -> Result<Option<role::Model>, DbErr> {
    role::Entity::find_by_id(id).one(txn).await
}
