//! Queries on API keys.

use chrono::{DateTime, Utc};
use entity::api_key::{ActiveModel, Column, Entity, Model};
use sea_orm::{
    ActiveModelTrait, ActiveValue::Set, ColumnTrait, Condition, ConnectionTrait, DbErr,
    EntityTrait, PaginatorTrait, QueryFilter, Statement, sea_query::Expr,
};
use uuid::Uuid;

use crate::{
    access::actor::{Principal, PrincipalType},
    crypto::token::Token,
    http::page::Cut,
};

fn owned_by(owner: Principal) -> Condition {
    let column = match owner.r#type {
        PrincipalType::User => Column::UserId,
        PrincipalType::ServiceAccount => Column::ServiceAccountId,
    };
    Condition::all()
        .add(column.eq(owner.id))
        .add(Column::RevokedAt.is_null())
}

/// Keys of `owner` that were not revoked.
pub(super) async fn of(
    txn: &impl ConnectionTrait,
    owner: Principal,
    cut: &Cut<Model>,
) -> Result<Vec<Model>, DbErr> {
    let query = Entity::find().filter(owned_by(owner));
    cut.apply(query, Column::Id).all(txn).await
}

/// Locks the owner, so that keys are made one after the other; `false` if there is none.
pub(super) async fn lock_owner(
    txn: &impl ConnectionTrait,
    owner: Principal,
) -> Result<bool, DbErr> {
    let sql = match owner.r#type {
        PrincipalType::User => "SELECT id FROM users WHERE id = $1 FOR NO KEY UPDATE",
        PrincipalType::ServiceAccount => {
            "SELECT id FROM service_accounts WHERE id = $1 FOR NO KEY UPDATE"
        }
    };
    let statement =
        Statement::from_sql_and_values(txn.get_database_backend(), sql, [owner.id.into()]);
    Ok(txn.query_one_raw(statement).await?.is_some())
}

/// How many keys `owner` has that are good at `now`.
pub(super) async fn count(
    txn: &impl ConnectionTrait,
    owner: Principal,
    now: DateTime<Utc>,
) -> Result<u64, DbErr> {
    let unexpired = Condition::any()
        .add(Column::ExpiresAt.is_null())
        .add(Column::ExpiresAt.gt(now));
    let query = Entity::find().filter(owned_by(owner)).filter(unexpired);
    query.count(txn).await
}

/// A key about to be written.
pub(super) struct Making<'a> {
    pub(super) owner: Principal,
    pub(super) name: &'a str,
    pub(super) permissions: Vec<String>,
    pub(super) expires_at: DateTime<Utc>,
    pub(super) token: &'a Token,
    pub(super) prefix: String,
}

/// Writes a key.
pub(super) async fn insert(
    txn: &impl ConnectionTrait,
    making: Making<'_>,
    now: DateTime<Utc>,
) -> Result<Model, DbErr> {
    let Principal { r#type, id } = making.owner;
    let row = ActiveModel {
        id: Set(Uuid::now_v7()),
        user_id: Set((r#type == PrincipalType::User).then_some(id)),
        service_account_id: Set((r#type == PrincipalType::ServiceAccount).then_some(id)),
        name: Set(making.name.to_owned()),
        prefix: Set(making.prefix),
        key_hash: Set(making.token.hash().to_vec()),
        permissions: Set(making.permissions),
        expires_at: Set(Some(making.expires_at)),
        last_used_at: Set(None),
        last_used_ip: Set(None),
        revoked_at: Set(None),
        created_at: Set(now),
    };
    row.insert(txn).await
}

/// Revokes one key of `owner`; nothing if there is none that could be.
pub(super) async fn revoke(
    txn: &impl ConnectionTrait,
    owner: Principal,
    id: Uuid,
    now: DateTime<Utc>,
) -> Result<Option<Model>, DbErr> {
    let mut revoked = Entity::update_many()
        .col_expr(Column::RevokedAt, Expr::value(now))
        .filter(owned_by(owner))
        .filter(Column::Id.eq(id))
        .exec_with_returning(txn)
        .await?;
    Ok(revoked.pop())
}

/// Revokes all keys of `owner`, and tells which they were.
pub(super) async fn revoke_all(
    txn: &impl ConnectionTrait,
    owner: Principal,
    now: DateTime<Utc>,
) -> Result<Vec<Model>, DbErr> {
    Entity::update_many()
        .col_expr(Column::RevokedAt, Expr::value(now))
        .filter(owned_by(owner))
        .exec_with_returning(txn)
        .await
}
