//! Queries on groups and their members.

use chrono::{DateTime, Utc};
use entity::{group, group_member, role, user, user_role_assignment};
use sea_orm::{
    ActiveModelTrait,
    ActiveValue::Set,
    ColumnTrait, ConnectionTrait, DbErr, EntityTrait, FromQueryResult, QueryFilter, QuerySelect,
    Statement,
    sea_query::{LockType, OnConflict},
};
use uuid::Uuid;

use super::model::{GroupError, GroupMember, NewGroup};
use crate::{
    database::pattern,
    http::{
        page::{Cut, Order},
        text::normalized,
    },
    problem::constraint,
};

/// Groups of an organization whose name begins with `prefix`.
pub(super) async fn of_organization(
    txn: &impl ConnectionTrait,
    organization_id: Uuid,
    prefix: Option<&str>,
    cut: &Cut<group::Model>,
) -> Result<Vec<group::Model>, DbErr> {
    let mut query = group::Entity::find().filter(group::Column::OrganizationId.eq(organization_id));
    if let Some(prefix) = prefix {
        query =
            query.filter(group::Column::NameNormalized.like(pattern::prefix(&normalized(prefix))));
    }
    cut.apply(query, group::Column::Id).all(txn).await
}

/// One group of an organization.
pub(super) async fn find(
    txn: &impl ConnectionTrait,
    organization_id: Uuid,
    id: Uuid,
) -> Result<group::Model, GroupError> {
    let row = group::Entity::find_by_id(id)
        .filter(group::Column::OrganizationId.eq(organization_id))
        .one(txn)
        .await?;
    row.ok_or(GroupError::NotFound)
}

/// The same, kept from being changed by others until the transaction ends.
pub(super) async fn lock(
    txn: &impl ConnectionTrait,
    organization_id: Uuid,
    id: Uuid,
    how: LockType,
) -> Result<group::Model, GroupError> {
    let row = group::Entity::find_by_id(id)
        .filter(group::Column::OrganizationId.eq(organization_id))
        .lock(how)
        .one(txn)
        .await?;
    row.ok_or(GroupError::NotFound)
}

/// Inserts a group.
pub(super) async fn insert(
    txn: &impl ConnectionTrait,
    organization_id: Uuid,
    new: NewGroup,
    now: DateTime<Utc>,
) -> Result<group::Model, GroupError> {
    let row = group::ActiveModel {
        id: Set(Uuid::now_v7()),
        organization_id: Set(organization_id),
        name_normalized: Set(normalized(&new.name)),
        name: Set(new.name.into()),
        description: Set(new.description.map(Into::into).unwrap_or_default()),
        created_at: Set(now),
        updated_at: Set(now),
        version: Set(1),
    };
    row.insert(txn).await.map_err(judged)
}

/// Writes what was changed.
pub(super) async fn save(
    txn: &impl ConnectionTrait,
    row: group::ActiveModel,
) -> Result<group::Model, GroupError> {
    row.update(txn).await.map_err(judged)
}

/// Deletes a group; its members and what it holds go along.
pub(super) async fn delete(txn: &impl ConnectionTrait, id: Uuid) -> Result<(), DbErr> {
    group::Entity::delete_by_id(id).exec(txn).await?;
    Ok(())
}

/// What a group holds, expired or not, each with its role.
pub(super) async fn held_by(
    txn: &impl ConnectionTrait,
    id: Uuid,
) -> Result<Vec<(user_role_assignment::Model, Option<role::Model>)>, DbErr> {
    user_role_assignment::Entity::find()
        .filter(user_role_assignment::Column::GroupId.eq(id))
        .find_also_related(role::Entity)
        .all(txn)
        .await
}

#[derive(FromQueryResult)]
struct Member {
    user_id: Uuid,
    name: Option<String>,
    added_by: Option<Uuid>,
    created_at: DateTime<Utc>,
}

/// Members of a group.
pub(super) async fn members(
    txn: &impl ConnectionTrait,
    id: Uuid,
    cut: &Cut<GroupMember>,
) -> Result<Vec<GroupMember>, DbErr> {
    let (after, direction) = match cut.order {
        Order::Newest => ("<", "DESC"),
        Order::Oldest => (">", "ASC"),
    };
    let sql = format!(
        "SELECT m.user_id, COALESCE(u.display_name, u.username) AS name, m.added_by, m.created_at \
         FROM group_members m JOIN users u ON u.id = m.user_id \
         WHERE m.group_id = $1 AND ($2::uuid IS NULL OR m.user_id {after} $2) \
         ORDER BY m.user_id {direction} LIMIT $3"
    );
    let limit = i64::try_from(cut.fetch()).unwrap_or(i64::MAX);
    let values = [id.into(), cut.after.into(), limit.into()];
    let statement = Statement::from_sql_and_values(txn.get_database_backend(), sql, values);
    let rows = Member::find_by_statement(statement).all(txn).await?;
    let member = |row: Member| GroupMember {
        user_id: row.user_id,
        name: row.name,
        added_by: row.added_by,
        created_at: row.created_at,
    };
    Ok(rows.into_iter().map(member).collect())
}

/// Puts a user into a group; `false` if they are in it already.
pub(super) async fn add(
    txn: &impl ConnectionTrait,
    group: &group::Model,
    user_id: Uuid,
    added_by: Uuid,
    now: DateTime<Utc>,
) -> Result<bool, GroupError> {
    let row = group_member::ActiveModel {
        group_id: Set(group.id),
        user_id: Set(user_id),
        organization_id: Set(group.organization_id),
        added_by: Set(Some(added_by)),
        created_at: Set(now),
    };
    let twice = OnConflict::columns([group_member::Column::GroupId, group_member::Column::UserId])
        .do_nothing()
        .to_owned();
    let inserted = group_member::Entity::insert(row)
        .on_conflict(twice)
        .exec_without_returning(txn)
        .await;
    match inserted {
        Ok(rows) => Ok(rows > 0),
        Err(error) => Err(match constraint(&error) {
            Some("group_members_user_id_fkey") => GroupError::UnknownUser,
            Some("group_members_group_id_fkey") => GroupError::NotFound,
            _ => error.into(),
        }),
    }
}

/// Takes a user out of a group; `false` if they are not in it.
pub(super) async fn remove(
    txn: &impl ConnectionTrait,
    id: Uuid,
    user_id: Uuid,
) -> Result<bool, DbErr> {
    let deleted = group_member::Entity::delete_by_id((id, user_id))
        .exec(txn)
        .await?;
    Ok(deleted.rows_affected == 1)
}

/// Whether there is such a user, and they were not turned away.
pub(super) async fn can_join(txn: &impl ConnectionTrait, user_id: Uuid) -> Result<bool, DbErr> {
    let user = user::Entity::find_by_id(user_id).one(txn).await?;
    Ok(user.is_some_and(|user| !matches!(user.status.as_str(), "rejected" | "disabled")))
}

fn judged(error: DbErr) -> GroupError {
    match constraint(&error) {
        Some("groups_organization_id_name_key") => GroupError::NameTaken,
        Some("groups_organization_id_fkey") => GroupError::NotFound,
        _ => error.into(),
    }
}
