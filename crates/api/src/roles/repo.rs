//! Queries on roles.

use chrono::{DateTime, Utc};
use entity::{role, user_role_assignment};
use sea_orm::{
    ActiveModelTrait,
    ActiveValue::Set,
    ColumnTrait, Condition, ConnectionTrait, DbErr, EntityTrait, Order, QueryFilter, QueryOrder,
    QuerySelect,
    sea_query::{Expr, LockType, NullOrdering, OnConflict},
};
use uuid::Uuid;

use super::model::{NewRole, RoleError};
use crate::{
    http::page::Cut,
    policy::BuiltinRole,
    problem::{constraint, sqlstate},
};

/// Built in, and not for the system alone; or of this organization.
fn of(organization_id: Uuid) -> Condition {
    let below_system =
        Expr::cust("assignable_at && ARRAY['organization', 'account', 'project', 'resource']");
    let built_in = Condition::all()
        .add(role::Column::OrganizationId.is_null())
        .add(below_system);
    Condition::any()
        .add(role::Column::OrganizationId.eq(organization_id))
        .add(built_in)
}

/// The roles that can be given in an organization.
pub(super) async fn of_organization(
    txn: &impl ConnectionTrait,
    organization_id: Uuid,
    cut: &Cut<role::Model>,
) -> Result<Vec<role::Model>, DbErr> {
    let query = role::Entity::find().filter(of(organization_id));
    cut.apply(query, role::Column::Id).all(txn).await
}

/// One of them.
pub(super) async fn one_of(
    txn: &impl ConnectionTrait,
    organization_id: Uuid,
    id: Uuid,
) -> Result<Option<role::Model>, DbErr> {
    role::Entity::find_by_id(id)
        .filter(of(organization_id))
        .one(txn)
        .await
}

/// A role that the organization made, kept from being changed by others until the transaction ends.
pub(super) async fn lock(
    txn: &impl ConnectionTrait,
    organization_id: Uuid,
    id: Uuid,
) -> Result<Option<role::Model>, DbErr> {
    role::Entity::find_by_id(id)
        .filter(role::Column::OrganizationId.eq(organization_id))
        .lock(LockType::NoKeyUpdate)
        .one(txn)
        .await
}

/// Inserts a role of an organization.
pub(super) async fn insert(
    txn: &impl ConnectionTrait,
    organization_id: Uuid,
    new: NewRole,
    now: DateTime<Utc>,
) -> Result<role::Model, RoleError> {
    let row = role::ActiveModel {
        id: Set(Uuid::now_v7()),
        organization_id: Set(Some(organization_id)),
        key: Set(new.key.into()),
        name: Set(new.name.into()),
        description: Set(new.description.map(Into::into).unwrap_or_default()),
        permissions: Set(new.permissions.0),
        assignable_at: Set(new.assignable_at.names()),
        created_at: Set(now),
        updated_at: Set(now),
        version: Set(1),
    };
    row.insert(txn)
        .await
        .map_err(|error| match constraint(&error) {
            Some("roles_organization_id_key_key") => RoleError::KeyTaken,
            Some("roles_organization_id_fkey") => RoleError::NotFound,
            _ => error.into(),
        })
}

/// Writes what was changed.
pub(super) async fn save(
    txn: &impl ConnectionTrait,
    row: role::ActiveModel,
) -> Result<role::Model, DbErr> {
    row.update(txn).await
}

/// Deletes a role that nobody holds any more.
pub(super) async fn delete(
    txn: &impl ConnectionTrait,
    id: Uuid,
    now: DateTime<Utc>,
) -> Result<(), RoleError> {
    // What has expired is not held, but is still there.
    user_role_assignment::Entity::delete_many()
        .filter(user_role_assignment::Column::RoleId.eq(id))
        .filter(user_role_assignment::Column::ExpiresAt.lte(now))
        .exec(txn)
        .await?;
    match role::Entity::delete_by_id(id).exec(txn).await {
        Ok(_) => Ok(()),
        // 23001 from PostgreSQL 18 on.
        Err(error) if matches!(sqlstate(&error).as_deref(), Some("23503" | "23001")) => {
            Err(RoleError::InUse)
        }
        Err(error) => Err(error.into()),
    }
}

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
