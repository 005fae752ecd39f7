//! How often a password may be tried, counted in the database so that it
//! holds across instances, restarts and new attempts.
//!
//! Two limits per minute: for one account from one address, and for one
//! address. And for one account from anywhere: five wrong passwords in a row
//! are free, then each costs a wait that doubles from 30 s to an hour; after a
//! hundred only an administrator opens it again (NIST SP 800-63B-4, 3.2.2).
//! Accounts that do not exist are counted like those that do.

use std::net::IpAddr;

use aws_lc_rs::digest::{SHA256, digest};
use chrono::{DateTime, TimeDelta, Utc};
use sea_orm::{ConnectionTrait, DbErr, FromQueryResult, Statement};
use uuid::Uuid;

use crate::state::AppState;

/// Wrong passwords in a row that cost nothing.
const FREE: i32 = 5;
/// Wrong passwords in a row after which an administrator is needed.
const HARD_STOP: i32 = 100;
/// Counts older than this are forgotten; longer than any wait but the last.
const KEPT: TimeDelta = TimeDelta::days(2);
/// Hard stops on which nobody has knocked for so long are forgotten too: most are of logins that
/// belong to nobody.
const STOPPED: TimeDelta = TimeDelta::days(365);

/// Something whose attempts are counted.
pub struct Key {
    hash: [u8; 32],
    /// Attempts within a minute; none for a key that counts failures in a row.
    per_minute: Option<u32>,
}

impl Key {
    /// Failures in a row of a user.
    pub fn account(id: Uuid) -> Self {
        Self::new(&format!("account {id}"), None)
    }

    /// Failures in a row of a login that belongs to nobody.
    pub fn unknown(login: &str) -> Self {
        Self::new(&format!("login {login}"), None)
    }

    /// Attempts for one login from one address.
    pub fn login_and_address(login: &str, ip: IpAddr, per_minute: u32) -> Self {
        Self::new(&format!("login {login} address {ip}"), Some(per_minute))
    }

    /// Attempts from one address.
    pub fn address(ip: IpAddr, per_minute: u32) -> Self {
        Self::new(&format!("address {ip}"), Some(per_minute))
    }

    fn new(text: &str, per_minute: Option<u32>) -> Self {
        let mut hash = [0; 32];
        hash.copy_from_slice(digest(&SHA256, text.as_bytes()).as_ref());
        Self { hash, per_minute }
    }
}

/// Counts one attempt for each of `keys`, as a failure until [`forgive`] says otherwise, before
/// anything is compared. Keys that refuse are not counted further, so waiting always helps.
///
/// # Errors
///
/// Inside: the seconds to wait, if the attempt may not be made.
pub async fn admit(state: &AppState, keys: &[Key]) -> Result<Result<(), u64>, DbErr> {
    let now = state.clock.now();
    let hashes: Vec<Vec<u8>> = keys.iter().map(|key| key.hash.to_vec()).collect();
    let limits: Vec<i32> = keys
        .iter()
        .map(|key| {
            key.per_minute
                .map_or(0, |limit| i32::try_from(limit).unwrap_or(i32::MAX))
        })
        .collect();
    // Ordered, so that no two attempts wait for each other. A limit of 0 stands for failures in a row.
    let sql = "INSERT INTO login_throttles AS t (key, failures, window_started_at, window_count, updated_at) \
               SELECT k.key, CASE k.per_minute WHEN 0 THEN 1 ELSE 0 END, $3, k.per_minute, $3 \
               FROM (SELECT key, CASE per_minute WHEN 0 THEN 0 ELSE 1 END AS per_minute \
                     FROM unnest($1::bytea[], $2::integer[]) AS u (key, per_minute)) k ORDER BY k.key \
               ON CONFLICT (key) DO UPDATE SET \
                 window_count = CASE WHEN t.window_started_at <= $3 - interval '60 s' THEN 1 ELSE t.window_count + 1 END, \
                 window_started_at = CASE WHEN t.window_started_at <= $3 - interval '60 s' THEN $3 ELSE t.window_started_at END, \
                 failures = t.failures + excluded.failures, \
                 locked_until = CASE \
                   WHEN excluded.failures = 0 OR t.failures + 1 <= $4 THEN NULL \
                   WHEN t.failures + 1 >= $5 THEN $3 + interval '100 years' \
                   ELSE $3 + least(interval '30 s' * power(2, t.failures - $4), interval '1 hour') END, \
                 updated_at = $3 \
               WHERE CASE WHEN excluded.failures = 1 THEN t.locked_until IS NULL OR t.locked_until <= $3 \
                     ELSE t.window_started_at <= $3 - interval '60 s' \
                       OR t.window_count < (SELECT per_minute FROM unnest($1::bytea[], $2::integer[]) AS u (key, per_minute) \
                                            WHERE u.key = t.key) END";
    let values = [
        hashes.clone().into(),
        limits.clone().into(),
        now.into(),
        FREE.into(),
        HARD_STOP.into(),
    ];
    let backend = state.db.get_database_backend();
    let counted = state
        .db
        .execute_raw(Statement::from_sql_and_values(backend, sql, values))
        .await?;
    if counted.rows_affected() == keys.len() as u64 {
        return Ok(Ok(()));
    }
    Ok(Err(wait(state, hashes, limits, now).await?))
}

#[derive(FromQueryResult)]
struct Wait {
    until: Option<DateTime<Utc>>,
}

/// Seconds until the last of the keys that refuse is free again.
async fn wait(
    state: &AppState,
    hashes: Vec<Vec<u8>>,
    limits: Vec<i32>,
    now: DateTime<Utc>,
) -> Result<u64, DbErr> {
    let sql = "SELECT max(CASE WHEN k.per_minute = 0 THEN t.locked_until \
                      WHEN t.window_count >= k.per_minute THEN t.window_started_at + interval '60 s' END) AS until \
               FROM login_throttles t JOIN unnest($1::bytea[], $2::integer[]) AS k (key, per_minute) ON k.key = t.key";
    let values = [hashes.into(), limits.into()];
    let statement = Statement::from_sql_and_values(state.db.get_database_backend(), sql, values);
    let wait = Wait::find_by_statement(statement).one(&state.db).await?;
    let until = wait.and_then(|wait| wait.until).unwrap_or(now);
    let seconds = (until - now)
        .num_milliseconds()
        .max(1)
        .unsigned_abs()
        .div_ceil(1000);
    Ok(seconds.min(86_400))
}

/// The password was right: failures in a row begin anew.
pub async fn forgive(
    db: &impl ConnectionTrait,
    user_id: Uuid,
    now: DateTime<Utc>,
) -> Result<(), DbErr> {
    let sql = "UPDATE login_throttles SET failures = 0, locked_until = NULL, updated_at = $2 WHERE key = $1";
    let key = Key::account(user_id);
    let values = [key.hash.to_vec().into(), now.into()];
    db.execute_raw(Statement::from_sql_and_values(
        db.get_database_backend(),
        sql,
        values,
    ))
    .await?;
    Ok(())
}

/// Takes out what nothing depends on any more. Returns how many rows.
pub async fn clean_up(db: &impl ConnectionTrait, now: DateTime<Utc>) -> Result<u64, DbErr> {
    let sql =
        "DELETE FROM login_throttles WHERE updated_at < $1 AND (failures < $2 OR updated_at < $3)";
    let values = [
        (now - KEPT).into(),
        HARD_STOP.into(),
        (now - STOPPED).into(),
    ];
    let statement = Statement::from_sql_and_values(db.get_database_backend(), sql, values);
    Ok(db.execute_raw(statement).await?.rows_affected())
}
