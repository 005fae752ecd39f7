//! Queries on devices.
//!
//! A row without a token is a device that was seen, one for each user and fingerprint; a row with
//! one is a device that was trusted, of which any number may look alike.

use chrono::{DateTime, Utc};
use entity::{
    device_fingerprint::{ActiveModel, Column, Entity, Model},
    session,
};
use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter, Select, TryInsertResult,
    sea_query::{Expr, OnConflict},
};
use uuid::Uuid;

use super::agent::Agent;
use crate::{
    crypto::token::Token,
    http::{origin::Origin, page::Cut},
};

/// Rows of devices that `user_id` trusts at `now`.
fn live(user_id: Uuid, now: DateTime<Utc>) -> Select<Entity> {
    Entity::find()
        .filter(Column::UserId.eq(user_id))
        .filter(Column::TokenHash.is_not_null())
        .filter(Column::RevokedAt.is_null())
        .filter(Column::TrustedUntil.gt(now))
}

/// A page of the devices that a user trusts.
pub async fn trusted(
    db: &impl ConnectionTrait,
    user_id: Uuid,
    now: DateTime<Utc>,
    cut: &Cut<Model>,
) -> Result<Vec<Model>, DbErr> {
    cut.apply(live(user_id, now), Column::Id).all(db).await
}

/// Notes that a trusted device was used. `false` if `token` is not one of `user_id`'s that is good now.
pub async fn use_token(
    db: &impl ConnectionTrait,
    user_id: Uuid,
    token: &Token,
    now: DateTime<Utc>,
) -> Result<bool, DbErr> {
    let used = Entity::update_many()
        .col_expr(Column::LastSeenAt, Expr::value(now))
        .filter(Column::TokenHash.eq(token.hash().to_vec()))
        .filter(Column::UserId.eq(user_id))
        .filter(Column::RevokedAt.is_null())
        .filter(Column::TrustedUntil.gt(now))
        .exec(db)
        .await?;
    Ok(used.rows_affected == 1)
}

/// Writes a trusted device.
pub async fn insert_trusted(
    txn: &impl ConnectionTrait,
    id: Uuid,
    user_id: Uuid,
    token: &Token,
    name: String,
    until: DateTime<Utc>,
    (origin, now): (&Origin, DateTime<Utc>),
) -> Result<(), DbErr> {
    let row = ActiveModel {
        token_hash: Set(Some(token.hash().to_vec())),
        name: Set(Some(name)),
        trusted_until: Set(Some(until)),
        ..row(id, user_id, origin, now)
    };
    Entity::insert(row).exec_without_returning(txn).await?;
    Ok(())
}

/// Notes that a device was seen. Of any number of parallel logins from a new one, one is told
/// so: the others wait for it at the unique index.
pub async fn note(
    txn: &impl ConnectionTrait,
    user_id: Uuid,
    origin: &Origin,
    now: DateTime<Utc>,
) -> Result<(Uuid, bool), DbErr> {
    let fresh = row(Uuid::now_v7(), user_id, origin, now);
    let fingerprint = Agent::read(origin.user_agent.as_deref()).fingerprint();
    let conflict = OnConflict::columns([Column::UserId, Column::Fingerprint])
        .target_and_where(Column::TokenHash.is_null())
        .do_nothing()
        .to_owned();
    let inserted = Entity::insert(fresh)
        .on_conflict(conflict)
        .try_insert()
        .exec_without_returning(txn)
        .await?;
    let is_new = matches!(inserted, TryInsertResult::Inserted(1));
    let rows = Entity::update_many()
        .col_expr(Column::LastSeenAt, Expr::value(now))
        .col_expr(Column::Ip, Expr::value(origin.network()))
        .col_expr(
            Column::UserAgent,
            Expr::value(origin.user_agent.as_deref().map(ToOwned::to_owned)),
        )
        .filter(Column::UserId.eq(user_id))
        .filter(Column::Fingerprint.eq(fingerprint))
        .filter(Column::TokenHash.is_null())
        .exec_with_returning(txn)
        .await?;
    let row = rows.into_iter().next();
    let row =
        row.ok_or_else(|| DbErr::RecordNotFound("the device that was just noted".to_owned()))?;
    Ok((row.id, is_new))
}

/// Says on which device a session was opened.
pub async fn link(
    txn: &impl ConnectionTrait,
    session_id: Uuid,
    device_id: Uuid,
) -> Result<(), DbErr> {
    session::Entity::update_many()
        .col_expr(session::Column::DeviceId, Expr::value(device_id))
        .filter(session::Column::Id.eq(session_id))
        .exec(txn)
        .await?;
    Ok(())
}

/// Ends the trust in one device, or in all that a user has. Returns how many it was.
pub async fn revoke(
    txn: &impl ConnectionTrait,
    user_id: Uuid,
    only: Option<Uuid>,
    now: DateTime<Utc>,
) -> Result<u64, DbErr> {
    let mut query = Entity::update_many()
        .col_expr(Column::RevokedAt, Expr::value(now))
        .filter(Column::UserId.eq(user_id))
        .filter(Column::TokenHash.is_not_null())
        .filter(Column::RevokedAt.is_null())
        .filter(Column::TrustedUntil.gt(now));
    if let Some(id) = only {
        query = query.filter(Column::Id.eq(id));
    }
    Ok(query.exec(txn).await?.rows_affected)
}

fn row(id: Uuid, user_id: Uuid, origin: &Origin, now: DateTime<Utc>) -> ActiveModel {
    let user_agent = origin.user_agent.as_deref().map(ToOwned::to_owned);
    ActiveModel {
        id: Set(id),
        user_id: Set(user_id),
        fingerprint: Set(Some(Agent::read(user_agent.as_deref()).fingerprint())),
        first_seen_at: Set(now),
        last_seen_at: Set(now),
        ip: Set(Some(origin.network())),
        user_agent: Set(user_agent),
        ..Default::default()
    }
}
