//! Queries on role assignments.

use chrono::{DateTime, Utc};
use entity::{group, project, resource, role, service_account, user, user_role_assignment};
use sea_orm::{
    ActiveModelTrait, ActiveValue::Set, ColumnTrait, Condition, ConnectionTrait, DbErr,
    EntityTrait, ExprTrait, FromQueryResult, QueryFilter, QuerySelect, QueryTrait, Statement,
    sea_query::Expr,
};
use uuid::Uuid;

use super::{
    model::{AssignmentError, AssignmentFilter, AssignmentView, EffectiveRole},
    service::Giving,
};
use crate::{
    access::{
        actor::{Holder, HolderType},
        grants::HELD_BY_USER,
        resource::{ResourceRef, ResourceType},
    },
    http::page::{Cut, Order},
    problem::constraint,
    roles::reach::Reach,
};

use user_role_assignment::{ActiveModel, Column, Entity, Model};

type Assigned = (Model, Option<role::Model>, Option<resource::Model>);

/// Assignments within reach that `filter` picks, each with its role.
pub(super) async fn within(
    txn: &impl ConnectionTrait,
    reach: &Reach,
    filter: &AssignmentFilter,
    cut: &Cut<AssignmentView>,
) -> Result<Vec<Assigned>, DbErr> {
    let mut query = Entity::find();
    if !reach.everywhere {
        query = query.filter(reached(reach));
    }
    if let Some(kind) = filter.principal_type {
        query = query.filter(Column::PrincipalType.eq(kind.as_str()));
    }
    if let Some(id) = filter.principal_id {
        let one = Condition::any()
            .add(Column::UserId.eq(id))
            .add(Column::ServiceAccountId.eq(id))
            .add(Column::GroupId.eq(id));
        query = query.filter(one);
    }
    let ours = |kind: &str| kind.parse::<ResourceType>().is_ok();
    if let Some(kind) = &filter.resource_type {
        query = query.filter(if ours(kind) {
            Column::ResourceType.eq(kind)
        } else {
            Column::ResourceType
                .eq(ResourceType::Registered.as_str())
                .and(resource::Column::Kind.eq(kind))
        });
    }
    if let Some(id) = &filter.resource_id {
        let uuid = Uuid::try_parse(id).ok();
        let is_ours = filter.resource_type.as_deref().map(ours);
        let of_ours = uuid.map(|id| {
            Column::ResourceType
                .ne(ResourceType::Registered.as_str())
                .and(Column::ResourceId.eq(id))
        });
        let mut one = Condition::any().add_option(of_ours.filter(|_| is_ours != Some(false)));
        if is_ours != Some(true) {
            one = one.add(resource::Column::ExternalId.eq(id));
        }
        query = query.filter(one);
    }
    if let Some(key) = &filter.role {
        query = query.filter(role::Column::Key.eq(key));
    }
    cut.apply(query, Column::Id)
        .find_also_related(role::Entity)
        .find_also_related(resource::Entity)
        .all(txn)
        .await
}

/// On the organizations, accounts and projects of `reach`, and on what is below them.
fn reached(reach: &Reach) -> Condition {
    let account = ResourceType::Account.as_str();
    let project = ResourceType::Project.as_str();
    let below = project::Entity::find()
        .select_only()
        .column(project::Column::Id)
        .filter(project::Column::AccountId.eq_any(reach.accounts.clone()))
        .into_query();
    Condition::any()
        .add(Column::OrganizationId.eq_any(reach.organizations.clone()))
        // Nothing but what an application registered has a row there.
        .add(resource::Column::AccountId.eq_any(reach.accounts.clone()))
        .add(resource::Column::ProjectId.eq_any(reach.projects.clone()))
        .add(resource::Column::Id.eq_any(reach.things.clone()))
        .add(Expr::cust_with_values(
            "resources.ancestors && $1",
            [reach.things.clone()],
        ))
        .add(
            Column::ResourceType
                .eq(account)
                .and(Column::ResourceId.eq_any(reach.accounts.clone())),
        )
        .add(
            Column::ResourceType
                .eq(project)
                .and(Column::ResourceId.in_subquery(below)),
        )
        .add(
            Column::ResourceType
                .eq(project)
                .and(Column::ResourceId.eq_any(reach.projects.clone())),
        )
}

/// What a user holds, and what stands on the way to it.
#[derive(FromQueryResult)]
pub(super) struct Held {
    pub(super) id: Uuid,
    pub(super) role: String,
    pub(super) permissions: Vec<String>,
    pub(super) expires_at: Option<DateTime<Utc>>,
    pub(super) group_id: Option<Uuid>,
    pub(super) group_name: Option<String>,
    pub(super) organization_id: Option<Uuid>,
    pub(super) organization_name: Option<String>,
    pub(super) account_id: Option<Uuid>,
    pub(super) account_name: Option<String>,
    pub(super) project_id: Option<Uuid>,
    pub(super) project_name: Option<String>,
    pub(super) types: Vec<String>,
    pub(super) ids: Vec<String>,
}

/// Roles that a user holds at `now`, by groups too.
pub(super) async fn held_by(
    txn: &impl ConnectionTrait,
    user_id: Uuid,
    now: DateTime<Utc>,
    cut: &Cut<EffectiveRole>,
) -> Result<Vec<Held>, DbErr> {
    let (after, direction) = match cut.order {
        Order::Newest => ("<", "DESC"),
        Order::Oldest => (">", "ASC"),
    };
    let sql = format!(
        "SELECT a.id, r.key AS role, r.permissions, a.expires_at, \
                g.id AS group_id, g.name AS group_name, \
                o.id AS organization_id, o.name AS organization_name, \
                c.id AS account_id, c.name AS account_name, \
                p.id AS project_id, p.name AS project_name, \
                ARRAY(SELECT s.type::text FROM unnest(t.ancestors || t.id) WITH ORDINALITY AS o (id, place) \
                      JOIN resources s ON s.id = o.id ORDER BY o.place) AS types, \
                ARRAY(SELECT s.external_id::text FROM unnest(t.ancestors || t.id) WITH ORDINALITY AS o (id, place) \
                      JOIN resources s ON s.id = o.id ORDER BY o.place) AS ids \
         FROM ({HELD_BY_USER}) a \
         JOIN roles r ON r.id = a.role_id \
         LEFT JOIN groups g ON g.id = a.group_id \
         LEFT JOIN organizations o ON o.id = a.organization_id \
         LEFT JOIN resources t ON a.resource_type = 'resource' AND t.id = a.resource_id \
         LEFT JOIN projects p ON p.id = CASE a.resource_type \
             WHEN 'project' THEN a.resource_id WHEN 'resource' THEN t.project_id END \
         LEFT JOIN accounts c ON c.id = CASE a.resource_type WHEN 'account' THEN a.resource_id \
             WHEN 'project' THEN p.account_id WHEN 'resource' THEN t.account_id END \
         WHERE (a.expires_at IS NULL OR a.expires_at > $2) AND ($3::uuid IS NULL OR a.id {after} $3) \
         ORDER BY a.id {direction} LIMIT $4"
    );
    let limit = i64::try_from(cut.fetch()).unwrap_or(i64::MAX);
    let values = [user_id.into(), now.into(), cut.after.into(), limit.into()];
    Held::find_by_statement(Statement::from_sql_and_values(
        txn.get_database_backend(),
        sql,
        values,
    ))
    .all(txn)
    .await
}

#[derive(FromQueryResult)]
struct Carried {
    permissions: Vec<String>,
}

/// Every permission that a user or service account who may act holds on `resource` at `now`, from there up to the system.
pub(super) async fn permissions_of(
    txn: &impl ConnectionTrait,
    user_id: Uuid,
    resource: ResourceRef,
    organization_id: Uuid,
    now: DateTime<Utc>,
) -> Result<Vec<String>, DbErr> {
    let sql = "SELECT r.permissions FROM user_role_assignments a \
         JOIN roles r ON r.id = a.role_id \
         WHERE (a.user_id = $1 OR a.service_account_id = $1 \
             OR a.group_id = ANY (ARRAY(SELECT group_id FROM group_members WHERE user_id = $1))) \
           AND (EXISTS (SELECT FROM users WHERE id = $1 AND status = 'active') \
             OR EXISTS (SELECT FROM service_accounts WHERE id = $1 AND status = 'active')) \
           AND (a.expires_at IS NULL OR a.expires_at > $2) \
           AND (a.resource_type = 'system' \
             OR (a.resource_type = 'organization' AND a.resource_id = $3) \
             OR (a.resource_type = $4 AND a.resource_id = $5) \
             OR ($4 = 'project' AND a.resource_type = 'account' \
                 AND a.resource_id = (SELECT account_id FROM projects WHERE id = $5)) \
             OR ($4 = 'resource' AND EXISTS (SELECT FROM resources t WHERE t.id = $5 AND ( \
                 (a.resource_type = 'account' AND a.resource_id = t.account_id) \
                 OR (a.resource_type = 'project' AND a.resource_id = t.project_id) \
                 OR (a.resource_type = 'resource' AND a.resource_id = ANY (t.ancestors))))))";
    let values = [
        user_id.into(),
        now.into(),
        organization_id.into(),
        resource.kind.as_str().into(),
        resource.id.into(),
    ];
    let rows = Carried::find_by_statement(Statement::from_sql_and_values(
        txn.get_database_backend(),
        sql,
        values,
    ))
    .all(txn)
    .await?;
    Ok(rows.into_iter().flat_map(|row| row.permissions).collect())
}

/// Whether there is such a principal, and it was not turned away. Groups hold roles in their own
/// organization, which is `organization_id`.
pub(super) async fn can_hold(
    txn: &impl ConnectionTrait,
    principal: Holder,
    organization_id: Option<Uuid>,
) -> Result<bool, DbErr> {
    Ok(match principal.r#type {
        HolderType::User => user::Entity::find_by_id(principal.id)
            .one(txn)
            .await?
            .is_some_and(|user| !matches!(user.status.as_str(), "rejected" | "disabled")),
        HolderType::ServiceAccount => service_account::Entity::find_by_id(principal.id)
            .one(txn)
            .await?
            .is_some_and(|account| account.status == "active"),
        HolderType::Group => group::Entity::find_by_id(principal.id)
            .one(txn)
            .await?
            .is_some_and(|group| Some(group.organization_id) == organization_id),
    })
}

/// Clears the way for a new assignment: one that has expired counts for nothing, but is still there.
pub(super) async fn remove_expired(
    txn: &impl ConnectionTrait,
    giving: &Giving<'_>,
    now: DateTime<Utc>,
) -> Result<(), DbErr> {
    let column = match giving.principal.r#type {
        HolderType::User => Column::UserId,
        HolderType::ServiceAccount => Column::ServiceAccountId,
        HolderType::Group => Column::GroupId,
    };
    let mut query = Entity::delete_many()
        .filter(column.eq(giving.principal.id))
        .filter(Column::RoleId.eq(giving.role.id))
        .filter(Column::ResourceType.eq(giving.spot.resource().kind.as_str()))
        .filter(Column::ExpiresAt.lte(now));
    query = match giving.spot.resource().id {
        Some(id) => query.filter(Column::ResourceId.eq(id)),
        None => query.filter(Column::ResourceId.is_null()),
    };
    query.exec(txn).await?;
    Ok(())
}

/// Inserts an assignment.
pub(super) async fn insert(
    txn: &impl ConnectionTrait,
    giving: &Giving<'_>,
    now: DateTime<Utc>,
) -> Result<Model, AssignmentError> {
    let Holder { r#type, id } = giving.principal;
    let row = ActiveModel {
        id: Set(Uuid::now_v7()),
        principal_type: Set(r#type.as_str().to_owned()),
        user_id: Set((r#type == HolderType::User).then_some(id)),
        service_account_id: Set((r#type == HolderType::ServiceAccount).then_some(id)),
        group_id: Set((r#type == HolderType::Group).then_some(id)),
        role_id: Set(giving.role.id),
        resource_type: Set(giving.spot.resource().kind.as_str().to_owned()),
        resource_id: Set(giving.spot.resource().id),
        organization_id: Set(giving.organization_id),
        granted_by: Set(giving.granted_by),
        reason: Set(giving.reason.clone()),
        expires_at: Set(giving.expires_at),
        created_at: Set(now),
    };
    row.insert(txn)
        .await
        .map_err(|error| match constraint(&error) {
            Some("user_role_assignments_key") => AssignmentError::AlreadyAssigned,
            Some(
                "user_role_assignments_user_id_fkey"
                | "user_role_assignments_service_account_id_fkey"
                | "user_role_assignments_group_id_fkey"
                | "user_role_assignments_group_check",
            ) => AssignmentError::UnknownPrincipal,
            Some(
                "user_role_assignments_resource_id_fkey"
                | "user_role_assignments_organization_id_fkey",
            ) => AssignmentError::NotFound,
            _ => error.into(),
        })
}

/// The assignment with this id on this resource, with its role.
pub(super) async fn on(
    txn: &impl ConnectionTrait,
    id: Uuid,
    resource: ResourceRef,
) -> Result<Option<Assigned>, DbErr> {
    let mut query = Entity::find_by_id(id).filter(Column::ResourceType.eq(resource.kind.as_str()));
    query = match resource.id {
        Some(id) => query.filter(Column::ResourceId.eq(id)),
        None => query.filter(Column::ResourceId.is_null()),
    };
    query
        .find_also_related(role::Entity)
        .find_also_related(resource::Entity)
        .one(txn)
        .await
}

/// Deletes an assignment; `false` if somebody else did.
pub(super) async fn delete(txn: &impl ConnectionTrait, id: Uuid) -> Result<bool, DbErr> {
    let deleted = Entity::delete_by_id(id).exec(txn).await?;
    Ok(deleted.rows_affected == 1)
}
