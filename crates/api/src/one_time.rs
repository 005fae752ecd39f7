//! Links and steps that count once: rows of `one_time_tokens`.
//!
//! Single use is decided by the database, in one statement. Only the newest token of a kind
//! counts for a user, and a change of credentials voids it. [`BRAKES`] are the exception: they can
//! only close, so each stays good until it expires or one of them is used. Else a thief who causes
//! the next mail, or changes the password, would take the owner's way to stop them.

use chrono::{DateTime, TimeDelta, Utc};
use entity::one_time_token::{ActiveModel, Column, Entity, Model};
use sea_orm::{
    ActiveValue::Set, ColumnTrait, ConnectionTrait, DbErr, EntityTrait, PaginatorTrait,
    QueryFilter, Select, UpdateMany, sea_query::Expr,
};
use serde_json::Value;
use uuid::Uuid;

use crate::{
    crypto::token::{Token, TokenKind},
    database::tx::Tx,
    state::AppState,
    users,
};

/// The name of a kind in the database; none for tokens that live in tables of their own.
const fn stored(kind: TokenKind) -> &'static str {
    match kind {
        TokenKind::PasswordChange => "password_change",
        TokenKind::EmailVerification => "email_verification",
        TokenKind::EmailChange => "email_change",
        TokenKind::EmailChangeCancel => "email_change_cancel",
        TokenKind::PasswordReset => "password_reset",
        TokenKind::Lockdown => "lockdown",
        _ => "",
    }
}

/// "This was not me": links that take away and never give.
pub const BRAKES: [TokenKind; 2] = [TokenKind::Lockdown, TokenKind::EmailChangeCancel];

/// Makes a token for a user that is good for `ttl`, and voids older ones of its kind unless it is
/// one of the [`BRAKES`].
///
/// # Errors
///
/// The database's; also for kinds that are not kept in this table.
pub async fn issue(
    tx: &Tx<'_>,
    state: &AppState,
    kind: TokenKind,
    user_id: Uuid,
    payload: Value,
    ttl: TimeDelta,
) -> Result<Token, DbErr> {
    let now = state.clock.now();
    if !BRAKES.contains(&kind) {
        // One after the other, else two at once would leave two that count.
        users::repo::find_for_update(&**tx, user_id).await?;
        void(&**tx, user_id, kind, now).await?;
    }
    let token = Token::generate(kind);
    let row = ActiveModel {
        id: Set(Uuid::now_v7()),
        kind: Set(stored(kind).to_owned()),
        user_id: Set(user_id),
        token_hash: Set(token.hash().to_vec()),
        payload: Set(payload),
        expires_at: Set(now + ttl),
        consumed_at: Set(None),
        created_at: Set(now),
    };
    Entity::insert(row).exec_without_returning(&**tx).await?;
    Ok(token)
}

fn live(kind: TokenKind, token: &Token, now: DateTime<Utc>) -> Select<Entity> {
    Entity::find()
        .filter(Column::TokenHash.eq(token.hash().to_vec()))
        .filter(Column::Kind.eq(stored(kind)))
        .filter(Column::ConsumedAt.is_null())
        .filter(Column::ExpiresAt.gt(now))
}

/// Looks a token up without using it: whose it is, if it is good now.
pub async fn find(
    db: &impl ConnectionTrait,
    state: &AppState,
    kind: TokenKind,
    text: &str,
) -> Result<Option<Model>, DbErr> {
    let Some(token) = Token::parse(kind, text) else {
        return Ok(None);
    };
    live(kind, &token, state.clock.now()).one(db).await
}

/// Uses a token up. Of any number of parallel uses one gets the row, the others get nothing.
pub async fn consume(
    tx: &Tx<'_>,
    state: &AppState,
    kind: TokenKind,
    text: &str,
) -> Result<Option<Model>, DbErr> {
    let Some(token) = Token::parse(kind, text) else {
        return Ok(None);
    };
    let now = state.clock.now();
    let mut used = Entity::update_many()
        .col_expr(Column::ConsumedAt, Expr::value(now))
        .filter(Column::TokenHash.eq(token.hash().to_vec()))
        .filter(Column::Kind.eq(stored(kind)))
        .filter(Column::ConsumedAt.is_null())
        .filter(Column::ExpiresAt.gt(now))
        .exec_with_returning(&**tx)
        .await?;
    Ok(used.pop())
}

/// Whether a token was made, and has not expired; it may have been used or voided.
pub async fn was_made(
    db: &impl ConnectionTrait,
    state: &AppState,
    kind: TokenKind,
    text: &str,
) -> Result<bool, DbErr> {
    let Some(token) = Token::parse(kind, text) else {
        return Ok(false);
    };
    let found = Entity::find()
        .filter(Column::TokenHash.eq(token.hash().to_vec()))
        .filter(Column::Kind.eq(stored(kind)))
        .filter(Column::ExpiresAt.gt(state.clock.now()))
        .count(db)
        .await?;
    Ok(found > 0)
}

/// Voids a user's open tokens of one kind.
pub async fn void(
    txn: &impl ConnectionTrait,
    user_id: Uuid,
    kind: TokenKind,
    now: DateTime<Utc>,
) -> Result<(), DbErr> {
    open_of(user_id, now)
        .filter(Column::Kind.eq(stored(kind)))
        .exec(txn)
        .await?;
    Ok(())
}

/// Voids a user's open tokens of one kind that were made after `made`.
pub async fn void_younger(
    txn: &impl ConnectionTrait,
    made: &Model,
    now: DateTime<Utc>,
) -> Result<(), DbErr> {
    open_of(made.user_id, now)
        .filter(Column::Kind.eq(made.kind.as_str()))
        .filter(Column::Id.gt(made.id))
        .exec(txn)
        .await?;
    Ok(())
}

/// Voids every open token of a user but the [`BRAKES`].
pub async fn void_all(
    txn: &impl ConnectionTrait,
    user_id: Uuid,
    now: DateTime<Utc>,
) -> Result<(), DbErr> {
    open_of(user_id, now)
        .filter(Column::Kind.is_not_in(BRAKES.map(stored)))
        .exec(txn)
        .await?;
    Ok(())
}

fn open_of(user_id: Uuid, now: DateTime<Utc>) -> UpdateMany<Entity> {
    Entity::update_many()
        .col_expr(Column::ConsumedAt, Expr::value(now))
        .filter(Column::UserId.eq(user_id))
        .filter(Column::ConsumedAt.is_null())
}
