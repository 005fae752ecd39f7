//! Queries on projects.

use chrono::{DateTime, Utc};
use entity::{project, resource, role, user, user_role_assignment};
use sea_orm::{
    ActiveModelTrait, ActiveValue::Set, ColumnTrait, ConnectionTrait, DbErr, EntityTrait,
    ExprTrait, PaginatorTrait, QueryFilter, QuerySelect, QueryTrait, sea_query::LockType,
};
use uuid::Uuid;

use super::model::ProjectError;
use crate::{
    database::pattern,
    http::{
        page::Cut,
        text::{Name, normalized},
    },
    problem::constraint,
};

/// Projects of an account whose name begins with `prefix`.
pub(super) async fn of_account(
    txn: &impl ConnectionTrait,
    account_id: Uuid,
    prefix: Option<&str>,
    cut: &Cut<project::Model>,
) -> Result<Vec<project::Model>, DbErr> {
    let mut query = project::Entity::find().filter(project::Column::AccountId.eq(account_id));
    if let Some(prefix) = prefix {
        query = query
            .filter(project::Column::NameNormalized.like(pattern::prefix(&normalized(prefix))));
    }
    cut.apply(query, project::Column::Id).all(txn).await
}

/// One project.
pub(super) async fn find(
    txn: &impl ConnectionTrait,
    id: Uuid,
) -> Result<Option<project::Model>, DbErr> {
    project::Entity::find_by_id(id).one(txn).await
}

/// One project, kept from being changed by others until the transaction ends.
pub(super) async fn lock(
    txn: &impl ConnectionTrait,
    id: Uuid,
    how: LockType,
) -> Result<Option<project::Model>, DbErr> {
    project::Entity::find_by_id(id).lock(how).one(txn).await
}

/// Inserts a project into an account.
pub(super) async fn insert(
    txn: &impl ConnectionTrait,
    (organization_id, account_id): (Uuid, Uuid),
    owner_id: Option<Uuid>,
    name: &Name,
    now: DateTime<Utc>,
) -> Result<project::Model, ProjectError> {
    let row = project::ActiveModel {
        id: Set(Uuid::now_v7()),
        organization_id: Set(organization_id),
        account_id: Set(account_id),
        owner_id: Set(owner_id),
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
    row: project::ActiveModel,
) -> Result<project::Model, ProjectError> {
    row.update(txn).await.map_err(judged)
}

/// Deletes a project; roles held on it go along.
pub(super) async fn delete(txn: &impl ConnectionTrait, id: Uuid) -> Result<(), DbErr> {
    project::Entity::delete_by_id(id).exec(txn).await?;
    Ok(())
}

/// A role that is held on a project itself.
pub(super) struct Direct {
    pub(super) row: user_role_assignment::Model,
    pub(super) role: role::Model,
}

impl Direct {
    /// Whether it goes along to another organization; the database ends the others.
    pub(super) fn stays(&self) -> bool {
        self.role.organization_id.is_none() && self.row.group_id.is_none()
    }
}

/// The roles that are held on a project itself and on what applications registered in it, expired
/// ones too.
pub(super) async fn direct(
    txn: &impl ConnectionTrait,
    project_id: Uuid,
) -> Result<Vec<Direct>, DbErr> {
    use user_role_assignment::Column::{ResourceId, ResourceType};
    let registered = resource::Entity::find()
        .select_only()
        .column(resource::Column::Id)
        .filter(resource::Column::ProjectId.eq(project_id))
        .into_query();
    let on_it = ResourceType.eq("project").and(ResourceId.eq(project_id));
    let below = ResourceType
        .eq("resource")
        .and(ResourceId.in_subquery(registered));
    let rows = user_role_assignment::Entity::find()
        .filter(on_it.or(below))
        .find_also_related(role::Entity)
        .all(txn)
        .await?;
    rows.into_iter()
        .map(|(row, role)| {
            let role =
                role.ok_or_else(|| DbErr::RecordNotFound("the role of an assignment".to_owned()))?;
            Ok(Direct { row, role })
        })
        .collect()
}

/// Whether there is such a user, and they may act.
pub(super) async fn is_active(txn: &impl ConnectionTrait, user_id: Uuid) -> Result<bool, DbErr> {
    let found = user::Entity::find_by_id(user_id)
        .filter(user::Column::Status.eq("active"))
        .count(txn)
        .await?;
    Ok(found > 0)
}

fn judged(error: DbErr) -> ProjectError {
    match constraint(&error) {
        Some("projects_account_id_name_key") => ProjectError::NameTaken,
        Some("projects_account_id_fkey") => ProjectError::NotFound,
        Some("projects_owner_id_fkey") => ProjectError::UnknownOwner,
        _ => error.into(),
    }
}
