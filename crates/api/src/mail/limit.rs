//! How much mail strangers can cause: counted in the database, in windows of an hour.

use aws_lc_rs::digest::{SHA256, digest};
use chrono::{DateTime, Utc};
use sea_orm::{ConnectionTrait, DbErr, Statement};

/// Seconds of a window.
pub const WINDOW: u64 = 3600;

/// A kind of mail, and whom it is counted for.
#[derive(Clone, Copy, Debug)]
pub enum Limited<'a> {
    /// Proofs of an address, to that address: 5.
    Verification(&'a str),
    /// Links to set a new password, for that address: 3.
    Reset(&'a str),
    /// Requests from a network address: 10.
    Address(std::net::IpAddr),
    /// Changes of address that a user asks for: 5.
    Change(uuid::Uuid),
}

impl Limited<'_> {
    fn key(self) -> Vec<u8> {
        let text = match self {
            Self::Verification(to) => format!("mail verification {to}"),
            Self::Reset(to) => format!("mail reset {to}"),
            Self::Address(ip) => format!("mail address {ip}"),
            Self::Change(user) => format!("mail change {user}"),
        };
        digest(&SHA256, text.as_bytes()).as_ref().to_vec()
    }

    const fn per_window(self) -> i32 {
        match self {
            Self::Verification(_) | Self::Change(_) => 5,
            Self::Reset(_) => 3,
            Self::Address(_) => 10,
        }
    }
}

/// Counts one mail before it is written, in one statement. `false` if there were enough within
/// the hour; those who are refused are not counted further.
///
/// # Errors
///
/// The database's.
pub async fn admit(
    db: &impl ConnectionTrait,
    limited: Limited<'_>,
    now: DateTime<Utc>,
) -> Result<bool, DbErr> {
    let sql = "INSERT INTO login_throttles AS t (key, window_started_at, window_count, updated_at) \
               VALUES ($1, $2, 1, $2) \
               ON CONFLICT (key) DO UPDATE SET \
                 window_count = CASE WHEN t.window_started_at <= $2 - interval '1 hour' THEN 1 \
                   ELSE t.window_count + 1 END, \
                 window_started_at = CASE WHEN t.window_started_at <= $2 - interval '1 hour' THEN $2 \
                   ELSE t.window_started_at END, \
                 updated_at = $2 \
               WHERE t.window_started_at <= $2 - interval '1 hour' OR t.window_count < $3";
    let values = [
        limited.key().into(),
        now.into(),
        limited.per_window().into(),
    ];
    let statement = Statement::from_sql_and_values(db.get_database_backend(), sql, values);
    Ok(db.execute_raw(statement).await?.rows_affected() == 1)
}
