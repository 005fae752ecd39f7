//! Queries on registered resources.

use std::collections::HashMap;

use entity::resource;
use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, DbErr, EntityTrait, FromQueryResult, QueryFilter,
    QuerySelect, Statement,
    sea_query::{Expr, LockType},
};
use uuid::Uuid;

use super::model::{Parent, ResourceError};
use crate::{
    access::{
        actor::Holder,
        registered::{COLUMNS, Registered, Row},
    },
    http::page::Cut,
    problem::constraint,
    roles::reach::Reach,
};

/// Rows that one statement inserts; each has a dozen of the 65,535 parameters.
const CHUNK: usize = 500;

/// Keeps everything from moving until the transaction ends: what is put below something has its
/// path from it.
pub(super) async fn keep_places(txn: &impl ConnectionTrait) -> Result<(), DbErr> {
    txn.execute_unprepared(
        "SELECT pg_advisory_xact_lock_shared(hashtextextended('gatepost_resources', 0))",
    )
    .await?;
    Ok(())
}

/// Waits for those who keep places, and keeps others from beginning to, until the transaction ends.
pub(super) async fn move_places(txn: &impl ConnectionTrait) -> Result<(), DbErr> {
    txn.execute_unprepared(
        "SELECT pg_advisory_xact_lock(hashtextextended('gatepost_resources', 0))",
    )
    .await?;
    Ok(())
}

/// Those of the named resources that are registered.
pub(super) async fn named(
    txn: &impl ConnectionTrait,
    names: &[(String, String)],
) -> Result<Vec<Registered>, DbErr> {
    let (types, ids): (Vec<_>, Vec<_>) = names.iter().cloned().unzip();
    let sql = format!(
        "SELECT {COLUMNS} FROM unnest($1::text[], $2::text[]) AS n (type, id) \
         JOIN resources r ON r.type = n.type AND r.external_id = n.id"
    );
    let values = [types.into(), ids.into()];
    let statement = Statement::from_sql_and_values(txn.get_database_backend(), sql, values);
    let rows = Row::find_by_statement(statement).all(txn).await?;
    Ok(rows.into_iter().map(Into::into).collect())
}

/// One resource, by what its application calls it.
pub(super) async fn find(
    txn: &impl ConnectionTrait,
    kind: &str,
    id: &str,
) -> Result<Option<resource::Model>, DbErr> {
    resource::Entity::find()
        .filter(resource::Column::Kind.eq(kind))
        .filter(resource::Column::ExternalId.eq(id))
        .one(txn)
        .await
}

/// Resources, kept from being changed by others until the transaction ends; in the order of
/// their ids, so that two who lock the same ones do not wait for each other.
pub(super) async fn lock(
    txn: &impl ConnectionTrait,
    ids: Vec<Uuid>,
    how: LockType,
) -> Result<HashMap<Uuid, resource::Model>, DbErr> {
    use sea_orm::QueryOrder as _;
    let rows = resource::Entity::find()
        .filter(resource::Column::Id.is_in(ids))
        .order_by_asc(resource::Column::Id)
        .lock(how)
        .all(txn)
        .await?;
    Ok(rows.into_iter().map(|row| (row.id, row)).collect())
}

/// Inserts resources; parents may be among them.
pub(super) async fn insert(
    txn: &impl ConnectionTrait,
    rows: Vec<resource::ActiveModel>,
) -> Result<(), ResourceError> {
    let mut rows = rows.into_iter().peekable();
    while rows.peek().is_some() {
        let chunk: Vec<_> = rows.by_ref().take(CHUNK).collect();
        resource::Entity::insert_many(chunk)
            .exec_without_returning(txn)
            .await
            .map_err(judged)?;
    }
    Ok(())
}

/// Writes what was changed.
pub(super) async fn save(
    txn: &impl ConnectionTrait,
    row: resource::ActiveModel,
) -> Result<resource::Model, ResourceError> {
    use sea_orm::ActiveModelTrait as _;
    row.update(txn).await.map_err(judged)
}

/// Makes all below `row` follow it to where it stands now.
pub(super) async fn follow(
    txn: &impl ConnectionTrait,
    row: &resource::Model,
) -> Result<(), ResourceError> {
    let sql = "WITH RECURSIVE below AS ( \
                 SELECT id FROM resources WHERE parent_id = $1 \
                 UNION SELECT r.id FROM resources r JOIN below b ON r.parent_id = b.id) \
               UPDATE resources r SET organization_id = $2, account_id = $3, project_id = $4, \
                 ancestors = $5::uuid[] || r.ancestors[array_position(r.ancestors, $1):] \
               FROM below b WHERE r.id = b.id";
    let values = [
        row.id.into(),
        row.organization_id.into(),
        row.account_id.into(),
        row.project_id.into(),
        row.ancestors.clone().into(),
    ];
    let statement = Statement::from_sql_and_values(txn.get_database_backend(), sql, values);
    txn.execute_raw(statement).await.map_err(judged)?;
    Ok(())
}

#[derive(FromQueryResult)]
struct HolderRow {
    principal_type: String,
    id: Uuid,
}

/// Takes away the roles that are held on resources and on all below them; says who held them.
pub(super) async fn end_roles(txn: &impl ConnectionTrait, id: Uuid) -> Result<Vec<Holder>, DbErr> {
    let sql = "DELETE FROM user_role_assignments a USING resources r \
               WHERE a.resource_type = 'resource' AND a.resource_id = r.id \
                 AND (r.id = $1 OR r.ancestors @> ARRAY[$1]) \
               RETURNING a.principal_type, \
                 COALESCE(a.user_id, a.service_account_id, a.group_id) AS id";
    let values = [id.into()];
    let statement = Statement::from_sql_and_values(txn.get_database_backend(), sql, values);
    let rows = HolderRow::find_by_statement(statement).all(txn).await?;
    let holder = |row: HolderRow| {
        let unknown = |()| DbErr::Type(format!("{} is of an unknown type", row.id));
        Ok(Holder {
            r#type: row.principal_type.parse().map_err(unknown)?,
            id: row.id,
        })
    };
    rows.into_iter().map(holder).collect()
}

/// Deletes a resource, and all below it.
pub(super) async fn delete(txn: &impl ConnectionTrait, id: Uuid) -> Result<(), DbErr> {
    resource::Entity::delete_by_id(id).exec(txn).await?;
    Ok(())
}

/// Resources within `reach`: of a type, and right below something, if that is asked for.
pub(super) async fn list(
    txn: &impl ConnectionTrait,
    reach: &Reach,
    kind: Option<&str>,
    parent: Option<Condition>,
    cut: &Cut<resource::Model>,
) -> Result<Vec<resource::Model>, DbErr> {
    let mut query = resource::Entity::find();
    if !reach.everywhere {
        query = query.filter(
            Condition::any()
                .add(resource::Column::OrganizationId.is_in(reach.organizations.clone()))
                .add(resource::Column::AccountId.is_in(reach.accounts.clone()))
                .add(resource::Column::ProjectId.is_in(reach.projects.clone()))
                .add(resource::Column::Id.is_in(reach.things.clone()))
                .add(Expr::cust_with_values(
                    "ancestors && $1",
                    [reach.things.clone()],
                )),
        );
    }
    if let Some(kind) = kind {
        query = query.filter(resource::Column::Kind.eq(kind));
    }
    if let Some(parent) = parent {
        query = query.filter(parent);
    }
    cut.apply(query, resource::Column::Id).all(txn).await
}

/// What resources with these ids are called.
pub(super) async fn names(
    txn: &impl ConnectionTrait,
    ids: Vec<Uuid>,
) -> Result<HashMap<Uuid, Parent>, DbErr> {
    let rows = resource::Entity::find()
        .filter(resource::Column::Id.is_in(ids))
        .all(txn)
        .await?;
    let named = |row: resource::Model| {
        let name = Parent {
            r#type: row.kind,
            id: row.external_id,
        };
        (row.id, name)
    };
    Ok(rows.into_iter().map(named).collect())
}

fn judged(error: DbErr) -> ResourceError {
    match constraint(&error) {
        Some("resources_depth_check") => ResourceError::TooDeep,
        Some("resources_ancestors_check") => ResourceError::BelowItself,
        Some(
            "resources_type_external_id_key"
            | "resources_organization_id_fkey"
            | "resources_account_id_fkey"
            | "resources_project_id_fkey"
            | "resources_parent_id_fkey",
        ) => ResourceError::Raced,
        _ => error.into(),
    }
}
