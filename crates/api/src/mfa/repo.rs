//! Queries on factors, and on what waits for one.

use chrono::{DateTime, Utc};
use entity::{mfa_factor, mfa_verification};
use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QueryOrder, QuerySelect,
    Statement,
    sea_query::{Expr, ExprTrait},
};
use uuid::Uuid;

use super::model::Factor;

/// Wrong codes that one pending login or challenge takes.
pub const TRIES: i32 = 5;

/// Whether an organization that the user holds a role in asks for a second factor.
///
/// # Errors
///
/// The database's.
pub async fn organization_requires(
    txn: &impl ConnectionTrait,
    user_id: Uuid,
    now: DateTime<Utc>,
) -> Result<bool, DbErr> {
    let sql = "SELECT gatepost_organization_requires_mfa($1, $2) AS required";
    let values = [user_id.into(), now.into()];
    let statement = Statement::from_sql_and_values(txn.get_database_backend(), sql, values);
    let row = txn.query_one_raw(statement).await?;
    // A function without an answer would be a mistake, and asking is the safe one.
    row.map_or(Ok(true), |row| row.try_get("", "required"))
}

/// The factors that a user has enrolled, the oldest first.
pub async fn enrolled(
    db: &impl ConnectionTrait,
    user_id: Uuid,
) -> Result<Vec<mfa_factor::Model>, DbErr> {
    mfa_factor::Entity::find()
        .filter(mfa_factor::Column::UserId.eq(user_id))
        .filter(mfa_factor::Column::ConfirmedAt.is_not_null())
        .order_by_asc(mfa_factor::Column::Id)
        .all(db)
        .await
}

/// The kinds of factor that a user has enrolled, the strongest first.
///
/// A locked one is among them: who locks a factor by guessing must not be rid of it.
pub async fn kinds(db: &impl ConnectionTrait, user_id: Uuid) -> Result<Vec<Factor>, DbErr> {
    let kinds: Vec<String> = mfa_factor::Entity::find()
        .select_only()
        .column(mfa_factor::Column::Kind)
        .filter(mfa_factor::Column::UserId.eq(user_id))
        .filter(mfa_factor::Column::ConfirmedAt.is_not_null())
        .into_tuple()
        .all(db)
        .await?;
    let mut kinds: Vec<Factor> = kinds.iter().filter_map(|kind| kind.parse().ok()).collect();
    kinds.sort_unstable_by(|a, b| b.cmp(a));
    kinds.dedup();
    Ok(kinds)
}

/// A user's factor of a kind of which there is one at most: enrolled, or only begun.
pub async fn single(
    db: &impl ConnectionTrait,
    user_id: Uuid,
    kind: Factor,
    enrolled: bool,
) -> Result<Option<mfa_factor::Model>, DbErr> {
    let confirmed = mfa_factor::Column::ConfirmedAt;
    mfa_factor::Entity::find()
        .filter(mfa_factor::Column::UserId.eq(user_id))
        .filter(mfa_factor::Column::Kind.eq(kind.as_str()))
        .filter(if enrolled {
            confirmed.is_not_null()
        } else {
            confirmed.is_null()
        })
        .one(db)
        .await
}

/// Begins a factor of a kind of which there is one at most; what was begun before is replaced.
/// `false` if one is enrolled already.
pub async fn begin(
    db: &impl ConnectionTrait,
    user_id: Uuid,
    kind: Factor,
    label: Option<&str>,
    secret: Option<Vec<u8>>,
    now: DateTime<Utc>,
) -> Result<bool, DbErr> {
    // A new id, so that a proof of what was begun before does not confirm this one.
    let sql = "INSERT INTO mfa_factors AS f (id, user_id, kind, label, secret, created_at) \
               VALUES ($1, $2, $3, $4, $5, $6) \
               ON CONFLICT (user_id, kind) WHERE kind <> 'webauthn' DO UPDATE \
               SET id = excluded.id, label = excluded.label, secret = excluded.secret, \
                   created_at = excluded.created_at \
               WHERE f.confirmed_at IS NULL";
    let values = [
        Uuid::now_v7().into(),
        user_id.into(),
        kind.as_str().into(),
        label.map(ToOwned::to_owned).into(),
        secret.into(),
        now.into(),
    ];
    let statement = Statement::from_sql_and_values(db.get_database_backend(), sql, values);
    Ok(db.execute_raw(statement).await?.rows_affected() == 1)
}

/// Makes a begun factor good, once.
pub async fn confirm(
    txn: &impl ConnectionTrait,
    id: Uuid,
    step: Option<i64>,
    now: DateTime<Utc>,
) -> Result<bool, DbErr> {
    let updated = mfa_factor::Entity::update_many()
        .col_expr(mfa_factor::Column::ConfirmedAt, Expr::value(now))
        .col_expr(mfa_factor::Column::LastUsedAt, Expr::value(now))
        // The code that confirms is used up with it.
        .col_expr(mfa_factor::Column::LastUsedStep, Expr::value(step))
        .col_expr(mfa_factor::Column::FailedAttempts, Expr::value(0))
        .filter(mfa_factor::Column::Id.eq(id))
        .filter(mfa_factor::Column::ConfirmedAt.is_null())
        .exec(txn)
        .await?;
    Ok(updated.rows_affected == 1)
}

/// Notes that an enrolled factor proved something, and forgets the wrong codes before.
///
/// With a `step`, only if that is newer than every one before: each counts once (RFC 6238,
/// section 5.2), also when two come at the same time.
pub async fn used(
    txn: &impl ConnectionTrait,
    id: Uuid,
    step: Option<i64>,
    now: DateTime<Utc>,
) -> Result<bool, DbErr> {
    let mut query = mfa_factor::Entity::update_many()
        .col_expr(mfa_factor::Column::LastUsedAt, Expr::value(now))
        .col_expr(mfa_factor::Column::FailedAttempts, Expr::value(0))
        .col_expr(
            mfa_factor::Column::LockedAt,
            Expr::value(Option::<DateTime<Utc>>::None),
        )
        .filter(mfa_factor::Column::Id.eq(id))
        .filter(mfa_factor::Column::ConfirmedAt.is_not_null());
    if let Some(step) = step {
        let last = mfa_factor::Column::LastUsedStep;
        query = query
            .col_expr(last, Expr::value(step))
            .filter(last.is_null().or(last.lt(step)));
    }
    Ok(query.exec(txn).await?.rows_affected == 1)
}

/// A new pending login or challenge.
pub struct NewVerification {
    /// Whose.
    pub user_id: Uuid,
    /// `login`, `step_up` or `enrol`.
    pub purpose: &'static str,
    /// What is asked, if only one factor is.
    pub factor: Option<Factor>,
    /// Of a login: the hash of its token.
    pub token_hash: Option<[u8; 32]>,
    /// Of a challenge inside a session.
    pub session_id: Option<Uuid>,
    /// Of a login: how far it has come.
    pub data: serde_json::Value,
    /// Until when it may be answered.
    pub expires_at: DateTime<Utc>,
}

/// Writes it down; returns its id.
pub async fn insert(
    txn: &impl ConnectionTrait,
    new: NewVerification,
    now: DateTime<Utc>,
) -> Result<Uuid, DbErr> {
    let id = Uuid::now_v7();
    let row = mfa_verification::ActiveModel {
        id: Set(id),
        user_id: Set(new.user_id),
        purpose: Set(new.purpose.to_owned()),
        factor: Set(new.factor.map(|factor| factor.as_str().to_owned())),
        code_hash: Set(None),
        attempts: Set(0),
        expires_at: Set(new.expires_at),
        consumed_at: Set(None),
        created_at: Set(now),
        token_hash: Set(new.token_hash.map(|hash| hash.to_vec())),
        session_id: Set(new.session_id),
        data: Set(new.data),
    };
    mfa_verification::Entity::insert(row)
        .exec_without_returning(txn)
        .await?;
    Ok(id)
}

fn live(now: DateTime<Utc>) -> sea_orm::Select<mfa_verification::Entity> {
    mfa_verification::Entity::find()
        .filter(mfa_verification::Column::ConsumedAt.is_null())
        .filter(mfa_verification::Column::ExpiresAt.gt(now))
        .filter(mfa_verification::Column::Attempts.lt(TRIES))
}

/// The pending login with this token.
pub async fn by_token(
    db: &impl ConnectionTrait,
    purpose: &str,
    token_hash: &[u8; 32],
    now: DateTime<Utc>,
) -> Result<Option<mfa_verification::Model>, DbErr> {
    live(now)
        .filter(mfa_verification::Column::TokenHash.eq(token_hash.to_vec()))
        .filter(mfa_verification::Column::Purpose.eq(purpose))
        .one(db)
        .await
}

/// The newest challenge of a factor inside a session.
pub async fn by_session(
    db: &impl ConnectionTrait,
    purpose: &str,
    session_id: Uuid,
    factor: Factor,
    now: DateTime<Utc>,
) -> Result<Option<mfa_verification::Model>, DbErr> {
    live(now)
        .filter(mfa_verification::Column::SessionId.eq(session_id))
        .filter(mfa_verification::Column::Purpose.eq(purpose))
        .filter(mfa_verification::Column::Factor.eq(factor.as_str()))
        .order_by_desc(mfa_verification::Column::Id)
        .limit(1)
        .one(db)
        .await
}

/// Voids the challenges of a session that a new one replaces.
pub async fn void_of_session(
    txn: &impl ConnectionTrait,
    purpose: &str,
    session_id: Uuid,
    now: DateTime<Utc>,
) -> Result<(), DbErr> {
    mfa_verification::Entity::update_many()
        .col_expr(mfa_verification::Column::ConsumedAt, Expr::value(now))
        .filter(mfa_verification::Column::SessionId.eq(session_id))
        .filter(mfa_verification::Column::Purpose.eq(purpose))
        .filter(mfa_verification::Column::ConsumedAt.is_null())
        .exec(txn)
        .await?;
    Ok(())
}

/// Puts a new code in the place of the one before. The tries that were used stay used.
pub async fn set_code(
    txn: &impl ConnectionTrait,
    id: Uuid,
    factor: Factor,
    code_hash: Vec<u8>,
    now: DateTime<Utc>,
) -> Result<bool, DbErr> {
    let updated = mfa_verification::Entity::update_many()
        .col_expr(
            mfa_verification::Column::Factor,
            Expr::value(factor.as_str()),
        )
        .col_expr(mfa_verification::Column::CodeHash, Expr::value(code_hash))
        .filter(mfa_verification::Column::Id.eq(id))
        .filter(mfa_verification::Column::ConsumedAt.is_null())
        .filter(mfa_verification::Column::ExpiresAt.gt(now))
        .exec(txn)
        .await?;
    Ok(updated.rows_affected == 1)
}

/// Uses it up. Of any number of parallel uses one is told `true`.
pub async fn consume(
    txn: &impl ConnectionTrait,
    id: Uuid,
    now: DateTime<Utc>,
) -> Result<bool, DbErr> {
    let updated = mfa_verification::Entity::update_many()
        .col_expr(mfa_verification::Column::ConsumedAt, Expr::value(now))
        .filter(mfa_verification::Column::Id.eq(id))
        .filter(mfa_verification::Column::ConsumedAt.is_null())
        .filter(mfa_verification::Column::ExpiresAt.gt(now))
        .exec(txn)
        .await?;
    Ok(updated.rows_affected == 1)
}

/// Takes out enrolments that were begun and never finished, and what waits for nothing any more.
pub async fn clean_up(db: &impl ConnectionTrait, before: DateTime<Utc>) -> Result<(), DbErr> {
    mfa_factor::Entity::delete_many()
        .filter(mfa_factor::Column::ConfirmedAt.is_null())
        .filter(mfa_factor::Column::CreatedAt.lt(before))
        .exec(db)
        .await?;
    mfa_verification::Entity::delete_many()
        .filter(mfa_verification::Column::ExpiresAt.lt(before))
        .exec(db)
        .await?;
    Ok(())
}
