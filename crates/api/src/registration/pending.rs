//! Registrations that have not come to their end: whose address nobody has proven, or that no
//! administrator has approved.

use chrono::{DateTime, TimeDelta, Utc};
use entity::user;
use sea_orm::{ConnectionTrait, DbErr, FromQueryResult, Statement};
use serde_json::json;
use uuid::Uuid;

use crate::{
    audit::{self, Doer, Entry, Target},
    config::RegistrationMode,
    database::tx::{Scope, Tx},
    http::origin::Origin,
    state::AppState,
};

/// A registration whose address was not proven is forgotten after this time.
const UNPROVEN_KEPT: TimeDelta = TimeDelta::days(7);
/// A request that no administrator has decided on is forgotten after this time.
const REQUEST_KEPT: TimeDelta = TimeDelta::days(30);
/// So many are taken out in one transaction.
const BATCH: i64 = 200;

/// Makes registrations and changes of one address come one after the other.
///
/// # Errors
///
/// The database's.
pub async fn queue(tx: &Tx<'_>, email_normalized: &str) -> Result<(), DbErr> {
    let sql = "SELECT pg_advisory_xact_lock(hashtextextended($1, 0))";
    let what = format!("registration {email_normalized}");
    run(&**tx, sql, [what.into()]).await
}

/// Whether somebody registered with an address and never showed that it is theirs.
pub fn is_unproven(user: &user::Model) -> bool {
    user.status == "pending_verification" && user.email_verified_at.is_none()
}

/// What a user becomes once their address is proven.
pub fn after_proof(state: &AppState, user: &user::Model) -> String {
    if user.status != "pending_verification" {
        return user.status.clone();
    }
    match state.config.registration.mode {
        RegistrationMode::Open => "active",
        // Also where the mode was another one when they registered.
        RegistrationMode::Approval | RegistrationMode::Invitation | RegistrationMode::Closed => {
            "pending_approval"
        }
    }
    .to_owned()
}

#[derive(FromQueryResult)]
struct Gone {
    id: Uuid,
}

/// Takes out, with all that belongs to it, what somebody left who registered with an address and
/// never proved it. With `is_proven` the one who comes now has, and a request for approval that
/// rests on no proof goes as well.
///
/// # Errors
///
/// The database's.
pub async fn replace(
    tx: &Tx<'_>,
    state: &AppState,
    origin: &Origin,
    email_normalized: &str,
    is_proven: bool,
) -> Result<(), DbErr> {
    let sql = "DELETE FROM users WHERE email_normalized = $1 AND email_verified_at IS NULL \
               AND (status = 'pending_verification' OR ($2 AND status = 'pending_approval')) \
               RETURNING id";
    let values = [email_normalized.into(), is_proven.into()];
    let statement = Statement::from_sql_and_values(tx.get_database_backend(), sql, values);
    let gone = Gone::find_by_statement(statement).all(&**tx).await?;
    note(tx, state, origin, gone, "user.registration_replaced").await
}

/// Forgets registrations that nobody has taken further for a long time, such as by importing them.
/// Returns how many.
///
/// # Errors
///
/// The database's.
pub async fn expire(state: &AppState, now: DateTime<Utc>) -> Result<usize, DbErr> {
    let sql = "DELETE FROM users WHERE id IN (SELECT id FROM users \
                 WHERE (status = 'pending_verification' AND created_at < $1) \
                   OR (status = 'pending_approval' \
                       AND greatest(created_at, email_verified_at, updated_at) < $2) \
                 ORDER BY id LIMIT $3 FOR UPDATE SKIP LOCKED) \
               RETURNING id";
    let mut count = 0;
    loop {
        let tx = Tx::begin(state, &Scope::System).await?;
        let values = [
            (now - UNPROVEN_KEPT).into(),
            (now - REQUEST_KEPT).into(),
            BATCH.into(),
        ];
        let statement = Statement::from_sql_and_values(tx.get_database_backend(), sql, values);
        let gone = Gone::find_by_statement(statement).all(&*tx).await?;
        let found = gone.len();
        let origin = Origin::program("tidy");
        note(&tx, state, &origin, gone, "user.registration_expired").await?;
        tx.commit().await?;
        count += found;
        if found == 0 {
            return Ok(count);
        }
    }
}

async fn note(
    tx: &Tx<'_>,
    state: &AppState,
    origin: &Origin,
    gone: Vec<Gone>,
    action: &'static str,
) -> Result<(), DbErr> {
    for Gone { id } in gone {
        let entry = Entry {
            doer: Doer::Program,
            action,
            target: Target::global("user", id),
            details: json!({}),
        };
        audit::record(&**tx, &*state.clock, origin, entry).await?;
    }
    Ok(())
}

async fn run<const N: usize>(
    db: &impl ConnectionTrait,
    sql: &str,
    values: [sea_orm::Value; N],
) -> Result<(), DbErr> {
    db.execute_raw(Statement::from_sql_and_values(
        db.get_database_backend(),
        sql,
        values,
    ))
    .await?;
    Ok(())
}
