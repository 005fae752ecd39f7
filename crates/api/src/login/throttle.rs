//! How often a password may be tried, counted in the database so that it
//! holds across instances, restarts and new attempts.
//!
//! Two limits per minute: for one account from one address, and for one
//! address. And for one account from anywhere: five wrong passwords in a row
//! are free, then each costs a wait that doubles from 30 s to an hour; after a
//! hundred only an administrator opens it again (NIST SP 800-63B-4, 3.2.2).
//! Accounts that do not exist are counted like those that do. Other tries, such
//! as those of second factors, are limited within windows of their own length.

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

const MINUTE: TimeDelta = TimeDelta::minutes(1);

/// Something whose attempts are counted.
pub struct Key {
    hash: [u8; 32],
    /// Attempts within a window; none for a key that counts failures in a row.
    limit: Option<(u32, TimeDelta)>,
}

impl Key {
    /// Failures in a row of a user.
    pub fn account(id: Uuid) -> Self {
        Self::new(&format!("account {id}"), None)
    }

    /// Failures in a row of a user on a device that they trust: who guesses from elsewhere does not
    /// keep them out.
    pub fn device(id: Uuid) -> Self {
        Self::new(&format!("account {id} trusted device"), None)
    }

    /// Failures in a row of a login that belongs to nobody.
    pub fn unknown(login: &str) -> Self {
        Self::new(&format!("login {login}"), None)
    }

    /// Attempts for one login from one address.
    pub fn login_and_address(login: &str, ip: IpAddr, per_minute: u32) -> Self {
        let limit = Some((per_minute, MINUTE));
        Self::new(&format!("login {login} address {ip}"), limit)
    }

    /// Attempts from one address.
    pub fn address(ip: IpAddr, per_minute: u32) -> Self {
        Self::new(&format!("address {ip}"), Some((per_minute, MINUTE)))
    }

    /// Attempts at something else within `window`, which begins with the first of them. Windows
    /// last a day at most.
    pub fn within(text: &str, limit: u32, window: TimeDelta) -> Self {
        Self::new(text, Some((limit, window)))
    }

    fn new(text: &str, limit: Option<(u32, TimeDelta)>) -> Self {
        let mut hash = [0; 32];
        hash.copy_from_slice(digest(&SHA256, text.as_bytes()).as_ref());
        Self { hash, limit }
    }
}

/// Keys as the statements take them: hashes, limits (0 for failures in a row), windows in seconds.
type Columns = (Vec<Vec<u8>>, Vec<i32>, Vec<i32>);

fn columns(keys: &[Key]) -> Columns {
    let hashes = keys.iter().map(|key| key.hash.to_vec()).collect();
    let limits = keys
        .iter()
        .map(|key| {
            key.limit
                .map_or(0, |(limit, _)| i32::try_from(limit).unwrap_or(i32::MAX))
        })
        .collect();
    let windows = keys
        .iter()
        .map(|key| {
            let window = key.limit.map_or(MINUTE, |(_, window)| window);
            i32::try_from(window.num_seconds()).unwrap_or(i32::MAX)
        })
        .collect();
    (hashes, limits, windows)
}

/// Counts one attempt for each of `keys`, as a failure until [`forgive`] says otherwise, before
/// anything is compared. Keys that refuse are not counted further, so waiting always helps.
///
/// # Errors
///
/// Inside: the seconds to wait, if the attempt may not be made.
pub async fn admit(state: &AppState, keys: &[Key]) -> Result<Result<(), u64>, DbErr> {
    let now = state.clock.now();
    let (hashes, limits, windows) = columns(keys);
    // Ordered, so that no two attempts wait for each other. A limit of 0 stands for failures in a row.
    let sql = "WITH k (key, per_window, seconds) AS ( \
                 SELECT * FROM unnest($1::bytea[], $2::integer[], $6::integer[])) \
               INSERT INTO login_throttles AS t (key, failures, window_started_at, window_count, updated_at) \
               SELECT k.key, CASE k.per_window WHEN 0 THEN 1 ELSE 0 END, $3, CASE k.per_window WHEN 0 THEN 0 ELSE 1 END, $3 \
               FROM k ORDER BY k.key \
               ON CONFLICT (key) DO UPDATE SET \
                 window_count = CASE WHEN t.window_started_at <= $3 - (SELECT make_interval(secs => k.seconds) FROM k WHERE k.key = t.key) \
                   THEN 1 ELSE t.window_count + 1 END, \
                 window_started_at = CASE WHEN t.window_started_at <= $3 - (SELECT make_interval(secs => k.seconds) FROM k WHERE k.key = t.key) \
                   THEN $3 ELSE t.window_started_at END, \
                 failures = t.failures + excluded.failures, \
                 locked_until = CASE \
                   WHEN excluded.failures = 0 OR t.failures + 1 <= $4 THEN NULL \
                   WHEN t.failures + 1 >= $5 THEN $3 + interval '100 years' \
                   ELSE $3 + least(interval '30 s' * power(2, t.failures - $4), interval '1 hour') END, \
                 updated_at = $3 \
               WHERE CASE WHEN excluded.failures = 1 THEN t.locked_until IS NULL OR t.locked_until <= $3 \
                     ELSE (SELECT t.window_started_at <= $3 - make_interval(secs => k.seconds) OR t.window_count < k.per_window \
                           FROM k WHERE k.key = t.key) END";
    let values = [
        hashes.into(),
        limits.into(),
        now.into(),
        FREE.into(),
        HARD_STOP.into(),
        windows.into(),
    ];
    let backend = state.db.get_database_backend();
    let counted = state
        .db
        .execute_raw(Statement::from_sql_and_values(backend, sql, values))
        .await?;
    if counted.rows_affected() == keys.len() as u64 {
        return Ok(Ok(()));
    }
    Ok(Err(wait(state, keys, now).await?))
}

#[derive(FromQueryResult)]
struct Wait {
    until: Option<DateTime<Utc>>,
}

/// Seconds until the last of the keys that refuse is free again.
async fn wait(state: &AppState, keys: &[Key], now: DateTime<Utc>) -> Result<u64, DbErr> {
    let sql = "SELECT max(CASE WHEN k.per_window = 0 THEN t.locked_until \
                      WHEN t.window_count >= k.per_window THEN t.window_started_at + make_interval(secs => k.seconds) END) AS until \
               FROM login_throttles t \
               JOIN unnest($1::bytea[], $2::integer[], $3::integer[]) AS k (key, per_window, seconds) ON k.key = t.key";
    let (hashes, limits, windows) = columns(keys);
    let values = [hashes.into(), limits.into(), windows.into()];
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

/// The password was right: failures in a row begin anew. Says whether the account was locked.
pub async fn forgive(
    db: &impl ConnectionTrait,
    user_id: Uuid,
    now: DateTime<Utc>,
) -> Result<bool, DbErr> {
    let account = forgive_key(db, &Key::account(user_id), now).await?;
    let device = forgive_key(db, &Key::device(user_id), now).await?;
    Ok(account || device)
}

/// The same for one key that counts failures in a row.
pub async fn forgive_key(
    db: &impl ConnectionTrait,
    key: &Key,
    now: DateTime<Utc>,
) -> Result<bool, DbErr> {
    let sql = "WITH before AS (SELECT key, locked_until > $2 AS locked FROM login_throttles \
                               WHERE key = $1 FOR UPDATE) \
               UPDATE login_throttles t SET failures = 0, locked_until = NULL, updated_at = $2 \
               FROM before WHERE t.key = before.key RETURNING before.locked";
    let values = [key.hash.to_vec().into(), now.into()];
    let statement = Statement::from_sql_and_values(db.get_database_backend(), sql, values);
    let Some(row) = db.query_one_raw(statement).await? else {
        return Ok(false);
    };
    Ok(row.try_get::<Option<bool>>("", "locked")?.unwrap_or(false))
}

/// Forgets what was counted for a user who is erased.
pub async fn forget(db: &impl ConnectionTrait, user_id: Uuid) -> Result<(), DbErr> {
    let sql = "DELETE FROM login_throttles WHERE key = ANY ($1)";
    let keys = [Key::account(user_id), Key::device(user_id)];
    let hashes: Vec<_> = keys.iter().map(|key| key.hash.to_vec()).collect();
    let values = [hashes.into()];
    let statement = Statement::from_sql_and_values(db.get_database_backend(), sql, values);
    db.execute_raw(statement).await?;
    Ok(())
}

/// Takes back the one attempt within a window that was right. What others tried stays counted.
pub async fn give_back(db: &impl ConnectionTrait, key: &Key) -> Result<(), DbErr> {
    let sql = "UPDATE login_throttles SET window_count = window_count - 1 \
               WHERE key = $1 AND window_count > 0";
    let values = [key.hash.to_vec().into()];
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
