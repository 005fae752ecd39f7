//! Queries on role requests.

use chrono::{DateTime, TimeDelta, Utc};
use entity::{project, resource, role, role_request, user};
use sea_orm::{
    ActiveModelTrait, ActiveValue::Set, ColumnTrait, Condition, ConnectionTrait, DbErr,
    EntityTrait, FromQueryResult, QueryFilter, QuerySelect, QueryTrait, Statement, sea_query::Expr,
};
use uuid::Uuid;

use super::model::{NewRoleRequest, RequestError, RequestFilter, RequestStatus};
use crate::{access::resource::ResourceRef, http::page::Cut, roles::reach::Reach};

use role_request::{ActiveModel, Column, Entity, Model};

/// How long a request can be decided.
const OPEN_FOR: TimeDelta = TimeDelta::days(7);

/// Requests of a user and those within reach that `filter` picks, each with its role, and with
/// what it is about if an application registered that.
pub(super) async fn visible<T>(
    txn: &impl ConnectionTrait,
    user_id: Uuid,
    reach: &Reach,
    filter: &RequestFilter,
    now: DateTime<Utc>,
    cut: &Cut<T>,
) -> Result<Vec<(Model, Option<role::Model>, Option<resource::Model>)>, DbErr> {
    let mut query = Entity::find();
    if !reach.everywhere {
        query = query.filter(reached(reach).add(Column::UserId.eq(user_id)));
    }
    if let Some(id) = filter.user_id {
        query = query.filter(Column::UserId.eq(id));
    }
    if let Some(status) = filter.status {
        let stored = Column::State.eq(status.as_str());
        let pending = Column::State.eq(RequestStatus::Pending.as_str());
        query = query.filter(match status {
            RequestStatus::Pending => Condition::all().add(stored).add(Column::ExpiresAt.gt(now)),
            RequestStatus::Expired => Condition::any().add(stored).add(
                Condition::all()
                    .add(pending)
                    .add(Column::ExpiresAt.lte(now)),
            ),
            _ => Condition::all().add(stored),
        });
    }
    cut.apply(query, Column::Id)
        .find_also_related(role::Entity)
        .find_also_related(resource::Entity)
        .all(txn)
        .await
}

/// On the organizations, accounts and projects of `reach`, and on what is below them.
fn reached(reach: &Reach) -> Condition {
    let below = project::Entity::find()
        .select_only()
        .column(project::Column::Id)
        .filter(project::Column::AccountId.eq_any(reach.accounts.clone()))
        .into_query();
    let on = |kind: &str, which: Condition| {
        Condition::all()
            .add(Column::ResourceType.eq(kind))
            .add(which)
    };
    let one_of = |ids: &[Uuid]| Condition::all().add(Column::ResourceId.eq_any(ids.to_vec()));
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
        .add(on("account", one_of(&reach.accounts)))
        .add(on(
            "project",
            Condition::all().add(Column::ResourceId.in_subquery(below)),
        ))
        .add(on("project", one_of(&reach.projects)))
}

/// One request, with its role.
pub(super) async fn find(
    txn: &impl ConnectionTrait,
    id: Uuid,
) -> Result<(Model, role::Model), RequestError> {
    let found = Entity::find_by_id(id)
        .find_also_related(role::Entity)
        .one(txn)
        .await?;
    match found {
        Some((row, Some(role))) => Ok((row, role)),
        _ => Err(RequestError::NotFound),
    }
}

/// A role that somebody asks for.
pub(super) struct Asking<'a> {
    pub(super) user_id: Uuid,
    pub(super) role: &'a role::Model,
    pub(super) resource: ResourceRef,
    pub(super) organization_id: Option<Uuid>,
}

/// Inserts a request; one for the same that nobody decided in time makes way.
pub(super) async fn insert(
    txn: &impl ConnectionTrait,
    asking: &Asking<'_>,
    new: NewRoleRequest,
    now: DateTime<Utc>,
) -> Result<Model, RequestError> {
    Entity::update_many()
        .col_expr(Column::State, Expr::value(RequestStatus::Expired.as_str()))
        .filter(Column::UserId.eq(asking.user_id))
        .filter(Column::State.eq(RequestStatus::Pending.as_str()))
        .filter(Column::ExpiresAt.lte(now))
        .exec(txn)
        .await?;
    let row = ActiveModel {
        id: Set(Uuid::now_v7()),
        organization_id: Set(asking.organization_id),
        user_id: Set(asking.user_id),
        role_id: Set(asking.role.id),
        resource_type: Set(asking.resource.kind.as_str().to_owned()),
        resource_id: Set(asking.resource.id),
        duration_seconds: Set(new.duration_seconds.seconds()),
        reason: Set(new.reason.into()),
        state: Set(RequestStatus::Pending.as_str().to_owned()),
        decided_by: Set(None),
        decided_at: Set(None),
        decision_reason: Set(None),
        role_assignment_id: Set(None),
        expires_at: Set(now + OPEN_FOR),
        created_at: Set(now),
    };
    Ok(row.insert(txn).await?)
}

/// What closes a request.
pub(super) struct Closing {
    pub(super) status: RequestStatus,
    pub(super) by: Uuid,
    pub(super) reason: Option<String>,
}

/// Closes an open request; nothing if it is not open. Of several who try, one does.
pub(super) async fn close(
    txn: &impl ConnectionTrait,
    id: Uuid,
    closing: Closing,
    now: DateTime<Utc>,
) -> Result<Option<Model>, DbErr> {
    let mut closed = Entity::update_many()
        .col_expr(Column::State, Expr::value(closing.status.as_str()))
        .col_expr(Column::DecidedBy, Expr::value(closing.by))
        .col_expr(Column::DecidedAt, Expr::value(now))
        .col_expr(Column::DecisionReason, Expr::value(closing.reason))
        .filter(Column::Id.eq(id))
        .filter(Column::State.eq(RequestStatus::Pending.as_str()))
        .filter(Column::ExpiresAt.gt(now))
        .exec_with_returning(txn)
        .await?;
    Ok(closed.pop())
}

/// Notes which assignment an approval made.
pub(super) async fn fulfil(
    txn: &impl ConnectionTrait,
    row: Model,
    assignment_id: Uuid,
) -> Result<Model, DbErr> {
    let mut row: ActiveModel = row.into();
    row.role_assignment_id = Set(Some(assignment_id));
    row.update(txn).await
}

/// A user.
pub(super) async fn user(
    txn: &impl ConnectionTrait,
    id: Uuid,
) -> Result<Option<user::Model>, DbErr> {
    user::Entity::find_by_id(id).one(txn).await
}

#[derive(FromQueryResult)]
struct Name {
    name: String,
}

/// What the resource of a request is called; nothing for the system.
pub(super) async fn name(txn: &impl ConnectionTrait, row: &Model) -> Result<Option<String>, DbErr> {
    let sql = "SELECT name FROM organizations WHERE $1 = 'organization' AND id = $2 \
               UNION ALL SELECT name FROM accounts WHERE $1 = 'account' AND id = $2 \
               UNION ALL SELECT name FROM projects WHERE $1 = 'project' AND id = $2 \
               UNION ALL SELECT type || ' ' || external_id FROM resources \
                 WHERE $1 = 'resource' AND id = $2";
    let values = [row.resource_type.as_str().into(), row.resource_id.into()];
    let statement = Statement::from_sql_and_values(txn.get_database_backend(), sql, values);
    let found = Name::find_by_statement(statement).one(txn).await?;
    Ok(found.map(|row| row.name))
}
