//! Queries on invitations.

use chrono::{DateTime, Utc};
use entity::{invitation, organization, resource, role, user};
use sea_orm::{
    ActiveModelTrait, ActiveValue::Set, ColumnTrait, Condition, ConnectionTrait, DbErr,
    EntityTrait, QueryFilter, QuerySelect, Statement, sea_query::Expr,
};
use uuid::Uuid;

use super::model::InvitationError;
use crate::{
    access::resource::ResourceRef, crypto::token::Token, http::page::Cut, problem::constraint,
};

use invitation::{ActiveModel, Column, Entity, Model};

/// An invitation about to be written.
pub(super) struct Inviting<'a> {
    pub(super) organization_id: Uuid,
    pub(super) email: &'a str,
    pub(super) email_normalized: &'a str,
    pub(super) role: &'a role::Model,
    pub(super) resource: ResourceRef,
    pub(super) invited_by: Uuid,
    pub(super) expires_at: DateTime<Utc>,
}

/// The invitations of an organization, each with its role, and with what it is to if an application
/// registered that.
pub(super) async fn of_organization<T>(
    txn: &impl ConnectionTrait,
    organization_id: Uuid,
    cut: &Cut<T>,
) -> Result<Vec<(Model, Option<role::Model>, Option<resource::Model>)>, DbErr> {
    let query = Entity::find().filter(Column::OrganizationId.eq(organization_id));
    cut.apply(query, Column::Id)
        .find_also_related(role::Entity)
        .find_also_related(resource::Entity)
        .all(txn)
        .await
}

/// Makes invitations of one address into one organization come one after the other.
pub(super) async fn queue(
    txn: &impl ConnectionTrait,
    inviting: &Inviting<'_>,
) -> Result<(), DbErr> {
    let what = format!(
        "invitation {} {}",
        inviting.organization_id, inviting.email_normalized
    );
    let sql = "SELECT pg_advisory_xact_lock(hashtextextended($1, 0))";
    txn.execute_raw(Statement::from_sql_and_values(
        txn.get_database_backend(),
        sql,
        [what.into()],
    ))
    .await?;
    Ok(())
}

/// Takes back the open invitations of the same address to the same role on the same resource.
pub(super) async fn replace(
    txn: &impl ConnectionTrait,
    inviting: &Inviting<'_>,
    now: DateTime<Utc>,
) -> Result<(), DbErr> {
    Entity::update_many()
        .col_expr(Column::RevokedAt, Expr::value(now))
        .filter(open(now))
        .filter(Column::OrganizationId.eq(inviting.organization_id))
        .filter(Column::EmailNormalized.eq(inviting.email_normalized))
        .filter(Column::RoleId.eq(inviting.role.id))
        .filter(Column::ResourceType.eq(inviting.resource.kind.as_str()))
        .filter(Column::ResourceId.eq(inviting.resource.id))
        .exec(txn)
        .await?;
    Ok(())
}

/// Inserts an invitation.
pub(super) async fn insert(
    txn: &impl ConnectionTrait,
    inviting: &Inviting<'_>,
    token: &Token,
    now: DateTime<Utc>,
) -> Result<Model, InvitationError> {
    let row = ActiveModel {
        id: Set(Uuid::now_v7()),
        organization_id: Set(inviting.organization_id),
        email: Set(inviting.email.to_owned()),
        email_normalized: Set(inviting.email_normalized.to_owned()),
        role_id: Set(inviting.role.id),
        resource_type: Set(inviting.resource.kind.as_str().to_owned()),
        resource_id: Set(inviting.resource.id.unwrap_or_default()),
        invited_by: Set(Some(inviting.invited_by)),
        token_hash: Set(token.hash().to_vec()),
        expires_at: Set(inviting.expires_at),
        accepted_at: Set(None),
        accepted_by: Set(None),
        revoked_at: Set(None),
        created_at: Set(now),
    };
    row.insert(txn)
        .await
        .map_err(|error| match constraint(&error) {
            Some("invitations_organization_id_fkey" | "invitations_resource_id_fkey") => {
                InvitationError::NotFound
            }
            _ => error.into(),
        })
}

/// One invitation of an organization, kept from being changed by others until the transaction ends.
pub(super) async fn lock(
    txn: &impl ConnectionTrait,
    id: Uuid,
    organization_id: Uuid,
) -> Result<Option<Model>, DbErr> {
    Entity::find_by_id(id)
        .filter(Column::OrganizationId.eq(organization_id))
        .lock_exclusive()
        .one(txn)
        .await
}

/// Takes an invitation back.
pub(super) async fn revoke(
    txn: &impl ConnectionTrait,
    id: Uuid,
    now: DateTime<Utc>,
) -> Result<(), DbErr> {
    Entity::update_many()
        .col_expr(Column::RevokedAt, Expr::value(now))
        .filter(Column::Id.eq(id))
        .exec(txn)
        .await?;
    Ok(())
}

/// The open invitation with this token, if it was sent to this address.
pub(super) async fn find_open(
    txn: &impl ConnectionTrait,
    token: &Token,
    email_normalized: &str,
    now: DateTime<Utc>,
) -> Result<Option<Model>, DbErr> {
    Entity::find()
        .filter(presented(token, email_normalized, now))
        .one(txn)
        .await
}

/// The open invitation with this token, whoever it was sent to.
pub(super) async fn find_by_token(
    txn: &impl ConnectionTrait,
    token: &Token,
    now: DateTime<Utc>,
) -> Result<Option<Model>, DbErr> {
    Entity::find()
        .filter(open(now).add(Column::TokenHash.eq(token.hash().to_vec())))
        .one(txn)
        .await
}

/// Notes that a user's address was proven, if it was not before.
pub(super) async fn prove_address(
    txn: &impl ConnectionTrait,
    user_id: Uuid,
    now: DateTime<Utc>,
) -> Result<(), DbErr> {
    user::Entity::update_many()
        .col_expr(user::Column::EmailVerifiedAt, Expr::value(now))
        .filter(user::Column::Id.eq(user_id))
        .filter(user::Column::EmailVerifiedAt.is_null())
        .exec(txn)
        .await?;
    Ok(())
}

/// Marks the open invitation with this token as accepted. Single use is decided here.
pub(super) async fn consume(
    txn: &impl ConnectionTrait,
    token: &Token,
    email_normalized: &str,
    user_id: Uuid,
    now: DateTime<Utc>,
) -> Result<Option<Model>, DbErr> {
    let mut consumed = Entity::update_many()
        .col_expr(Column::AcceptedAt, Expr::value(now))
        .col_expr(Column::AcceptedBy, Expr::value(user_id))
        .filter(presented(token, email_normalized, now))
        .exec_with_returning(txn)
        .await?;
    Ok(consumed.pop())
}

fn presented(token: &Token, email_normalized: &str, now: DateTime<Utc>) -> Condition {
    open(now)
        .add(Column::TokenHash.eq(token.hash().to_vec()))
        .add(Column::EmailNormalized.eq(email_normalized))
}

fn open(now: DateTime<Utc>) -> Condition {
    Condition::all()
        .add(Column::AcceptedAt.is_null())
        .add(Column::RevokedAt.is_null())
        .add(Column::ExpiresAt.gt(now))
}

/// The name of an organization.
pub(super) async fn organization_name(
    txn: &impl ConnectionTrait,
    id: Uuid,
) -> Result<Option<String>, DbErr> {
    let row = organization::Entity::find_by_id(id).one(txn).await?;
    Ok(row.map(|row| row.name))
}

/// A user.
pub(super) async fn user(
    txn: &impl ConnectionTrait,
    id: Uuid,
) -> Result<Option<user::Model>, DbErr> {
    user::Entity::find_by_id(id).one(txn).await
}
