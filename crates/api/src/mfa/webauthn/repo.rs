//! Queries on challenges and credentials.

use chrono::{DateTime, Utc};
use entity::{
    mfa_factor,
    webauthn_challenge::{Column, Entity},
};
use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QueryOrder,
    sea_query::{Expr, ExprTrait},
};
use uuid::Uuid;

/// `mfa_factors.kind` of passkeys and security keys.
pub const KIND: &str = "webauthn";

/// Uses up the open challenge with this hash that was made for the same purpose, user and login
/// or session. Of any number of parallel uses one gets it.
pub async fn consume(
    db: &impl ConnectionTrait,
    hash: &[u8],
    purpose: &'static str,
    whose: Option<(Uuid, Uuid)>,
    now: DateTime<Utc>,
) -> Result<Option<entity::webauthn_challenge::Model>, DbErr> {
    let whose = match whose {
        None => Condition::all().add(Column::UserId.is_null()),
        Some((user_id, bound_to)) => Condition::all()
            .add(Column::UserId.eq(user_id))
            .add(Column::BoundTo.eq(bound_to)),
    };
    let mut used = Entity::update_many()
        .col_expr(Column::ConsumedAt, Expr::value(now))
        .filter(Column::ChallengeHash.eq(hash.to_vec()))
        .filter(Column::Purpose.eq(purpose))
        .filter(whose)
        .filter(Column::ConsumedAt.is_null())
        .filter(Column::ExpiresAt.gt(now))
        .exec_with_returning(db)
        .await?;
    Ok(used.pop())
}

/// Voids the open challenges of a user.
pub async fn void(
    txn: &impl ConnectionTrait,
    user_id: Uuid,
    now: DateTime<Utc>,
) -> Result<(), DbErr> {
    Entity::update_many()
        .col_expr(Column::ConsumedAt, Expr::value(now))
        .filter(Column::UserId.eq(user_id))
        .filter(Column::ConsumedAt.is_null())
        .exec(txn)
        .await?;
    Ok(())
}

/// Voids the challenges that a new one for the same login or session replaces.
pub async fn void_older(
    db: &impl ConnectionTrait,
    purpose: &'static str,
    user_id: Uuid,
    bound_to: Uuid,
    now: DateTime<Utc>,
) -> Result<(), DbErr> {
    Entity::update_many()
        .col_expr(Column::ConsumedAt, Expr::value(now))
        .filter(Column::UserId.eq(user_id))
        .filter(Column::BoundTo.eq(bound_to))
        .filter(Column::Purpose.eq(purpose))
        .filter(Column::ConsumedAt.is_null())
        .exec(db)
        .await?;
    Ok(())
}

/// The passkeys and security keys of a user, oldest first.
pub async fn credentials(
    db: &impl ConnectionTrait,
    user_id: Uuid,
) -> Result<Vec<mfa_factor::Model>, DbErr> {
    mfa_factor::Entity::find()
        .filter(mfa_factor::Column::UserId.eq(user_id))
        .filter(mfa_factor::Column::Kind.eq(KIND))
        .filter(mfa_factor::Column::ConfirmedAt.is_not_null())
        .order_by_asc(mfa_factor::Column::Id)
        .all(db)
        .await
}

/// The factor whose credential has this id, if it is `user_id`'s.
pub async fn credential(
    db: &impl ConnectionTrait,
    user_id: Uuid,
    credential_id: &str,
) -> Result<Option<mfa_factor::Model>, DbErr> {
    mfa_factor::Entity::find()
        .filter(mfa_factor::Column::Kind.eq(KIND))
        // As the unique index has it.
        .filter(Expr::cust("data ->> 'credential_id'").eq(credential_id))
        .filter(mfa_factor::Column::UserId.eq(user_id))
        .filter(mfa_factor::Column::ConfirmedAt.is_not_null())
        .one(db)
        .await
}

/// Moves the sign counter on. `false` if it was not below `counter` any more (both may stay 0:
/// most passkeys do not count), or if the factor is gone.
pub async fn advance(
    db: &impl ConnectionTrait,
    factor_id: Uuid,
    counter: i64,
    data: serde_json::Value,
    now: DateTime<Utc>,
) -> Result<bool, DbErr> {
    let before = mfa_factor::Column::SignCount;
    let counts = before.lt(counter);
    let counts = if counter == 0 {
        counts.or(before.eq(0))
    } else {
        counts
    };
    let moved = mfa_factor::Entity::update_many()
        .col_expr(before, Expr::value(counter))
        .col_expr(mfa_factor::Column::Data, Expr::value(data))
        .col_expr(mfa_factor::Column::LastUsedAt, Expr::value(now))
        .filter(mfa_factor::Column::Id.eq(factor_id))
        .filter(counts)
        .exec(db)
        .await?;
    Ok(moved.rows_affected == 1)
}
