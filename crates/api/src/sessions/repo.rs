//! Queries on sessions and refresh tokens.

use chrono::{DateTime, Utc};
use entity::{refresh_token, session};
use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, ConnectionTrait, DbErr, EntityTrait, FromQueryResult, QueryFilter, Statement,
    sea_query::{Expr, SimpleExpr},
};
use uuid::Uuid;

use crate::{crypto::token::Token, http::page::Cut};

/// Picks sessions that were opened since the database last changed its primary. What an older one
/// says may have been undone: a revocation can be lost with the primary that knew of it.
pub fn is_of_this_epoch() -> SimpleExpr {
    Expr::cust("sessions.epoch = (SELECT session_epoch FROM lineage)")
}

/// Live sessions of a user.
pub async fn live(
    db: &impl ConnectionTrait,
    user_id: Uuid,
    now: DateTime<Utc>,
    cut: &Cut<session::Model>,
) -> Result<Vec<session::Model>, DbErr> {
    let query = session::Entity::find()
        .filter(session::Column::UserId.eq(user_id))
        .filter(is_of_this_epoch())
        .filter(session::Column::RevokedAt.is_null())
        .filter(session::Column::ExpiresAt.gt(now))
        .filter(session::Column::IdleExpiresAt.gt(now));
    cut.apply(query, session::Column::Id).all(db).await
}

/// Ends the live sessions of a user that `which` picks; returns their ids.
pub async fn revoke(
    txn: &impl ConnectionTrait,
    user_id: Uuid,
    which: Which,
    reason: &'static str,
    now: DateTime<Utc>,
) -> Result<Vec<Uuid>, DbErr> {
    let mut query = session::Entity::update_many()
        .col_expr(session::Column::RevokedAt, Expr::value(now))
        .col_expr(session::Column::RevokeReason, Expr::value(reason))
        .filter(session::Column::UserId.eq(user_id))
        .filter(session::Column::RevokedAt.is_null())
        .filter(session::Column::ExpiresAt.gt(now))
        .filter(session::Column::IdleExpiresAt.gt(now));
    query = match which {
        Which::All => query,
        Which::Only(id) => query.filter(session::Column::Id.eq(id)),
        Which::AllBut(id) => query.filter(session::Column::Id.ne(id)),
    };
    let ended = query.exec_with_returning(txn).await?;
    Ok(ended.into_iter().map(|row| row.id).collect())
}

/// Picks sessions of one user.
#[derive(Clone, Copy, Debug)]
pub enum Which {
    /// Each of them.
    All,
    /// This one.
    Only(Uuid),
    /// Each but this one.
    AllBut(Uuid),
}

/// A used or unused refresh token, and the state of what it belongs to.
#[derive(FromQueryResult)]
pub struct Family {
    /// The token's row.
    pub token_id: Uuid,
    /// What its successor is derived with.
    pub nonce: Vec<u8>,
    /// When it was used.
    pub used_at: Option<DateTime<Utc>>,
    /// The session.
    pub session_id: Uuid,
    /// Whose.
    pub user_id: Uuid,
    /// When its user last proved who they are.
    pub auth_time: DateTime<Utc>,
    /// How.
    pub amr: Vec<String>,
    /// How far a use moves its end, in seconds.
    pub idle_seconds: i32,
    /// Its end in any case.
    pub expires_at: DateTime<Utc>,
    /// Its end without use.
    pub idle_expires_at: DateTime<Utc>,
    /// When it was ended.
    pub revoked_at: Option<DateTime<Utc>>,
    /// The user's status.
    pub status: String,
    /// Whether the session was opened since the database last changed its primary.
    pub is_of_this_epoch: bool,
    /// Whether the successor was used in its turn.
    pub successor_used: Option<bool>,
}

/// The family of the refresh token with this hash. Locks the session, so that
/// uses of one family's tokens come one after the other.
pub async fn family(txn: &impl ConnectionTrait, hash: &[u8]) -> Result<Option<Family>, DbErr> {
    let sql = "SELECT t.id AS token_id, t.nonce, t.used_at, t.session_id, t.user_id, s.auth_time, s.amr, \
                      s.idle_seconds, s.expires_at, s.idle_expires_at, s.revoked_at, u.status, \
                      s.epoch = (SELECT session_epoch FROM lineage) AS is_of_this_epoch, \
                      (SELECT n.used_at IS NOT NULL FROM refresh_tokens n WHERE n.id = t.replaced_by) AS successor_used \
               FROM refresh_tokens t JOIN sessions s ON s.id = t.session_id JOIN users u ON u.id = t.user_id \
               WHERE t.token_hash = $1";
    // The lock comes first: what is read after it is what the one before us left.
    let lock = "SELECT s.id FROM sessions s JOIN refresh_tokens t ON t.session_id = s.id \
                WHERE t.token_hash = $1 FOR UPDATE OF s";
    let backend = txn.get_database_backend();
    txn.execute_raw(Statement::from_sql_and_values(backend, lock, [hash.into()]))
        .await?;
    Family::find_by_statement(Statement::from_sql_and_values(backend, sql, [hash.into()]))
        .one(txn)
        .await
}

/// Writes a new refresh token.
pub async fn insert_token(
    txn: &impl ConnectionTrait,
    id: Uuid,
    session_id: Uuid,
    user_id: Uuid,
    token: &Token,
    nonce: &[u8],
    now: DateTime<Utc>,
) -> Result<(), DbErr> {
    let row = refresh_token::ActiveModel {
        id: Set(id),
        session_id: Set(session_id),
        user_id: Set(user_id),
        token_hash: Set(token.hash().to_vec()),
        nonce: Set(nonce.to_vec()),
        issued_at: Set(now),
        used_at: Set(None),
        replaced_by: Set(None),
    };
    refresh_token::Entity::insert(row)
        .exec_without_returning(txn)
        .await?;
    Ok(())
}

/// Marks a refresh token as used. Single use is decided here: `false` if it was used before.
pub async fn consume_token(
    txn: &impl ConnectionTrait,
    id: Uuid,
    successor: Uuid,
    now: DateTime<Utc>,
) -> Result<bool, DbErr> {
    let updated = refresh_token::Entity::update_many()
        .col_expr(refresh_token::Column::UsedAt, Expr::value(now))
        .col_expr(refresh_token::Column::ReplacedBy, Expr::value(successor))
        .filter(refresh_token::Column::Id.eq(id))
        .filter(refresh_token::Column::UsedAt.is_null())
        .exec(txn)
        .await?;
    Ok(updated.rows_affected == 1)
}

/// Notes that a live session is in use, which moves its end. One that has ended stays so.
pub async fn touch(txn: &impl ConnectionTrait, id: Uuid, now: DateTime<Utc>) -> Result<(), DbErr> {
    let sql = "UPDATE sessions SET last_used_at = $2, \
                      idle_expires_at = LEAST($2 + make_interval(secs => idle_seconds), expires_at) \
               WHERE id = $1 AND revoked_at IS NULL AND idle_expires_at > $2 AND expires_at > $2 \
                 AND epoch = (SELECT session_epoch FROM lineage)";
    let values = [id.into(), now.into()];
    let backend = txn.get_database_backend();
    txn.execute_raw(Statement::from_sql_and_values(backend, sql, values))
        .await?;
    Ok(())
}

/// Keys of the roles that a user holds on the system now.
pub async fn system_roles(
    txn: &impl ConnectionTrait,
    user_id: Uuid,
    now: DateTime<Utc>,
) -> Result<Vec<String>, DbErr> {
    #[derive(FromQueryResult)]
    struct Row {
        key: String,
    }
    let sql = "SELECT r.key FROM user_role_assignments a JOIN roles r ON r.id = a.role_id \
               WHERE a.user_id = $1 AND a.resource_type = 'system' \
                 AND (a.expires_at IS NULL OR a.expires_at > $2) ORDER BY r.key";
    let values = [user_id.into(), now.into()];
    let statement = Statement::from_sql_and_values(txn.get_database_backend(), sql, values);
    let rows = Row::find_by_statement(statement).all(txn).await?;
    Ok(rows.into_iter().map(|row| row.key).collect())
}
