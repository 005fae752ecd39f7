//! What a server says of itself.

use std::sync::atomic::Ordering;

use sqlx::{PgConnection, Row, postgres::PgRow};

use super::lineage::Lineage;

/// The timeline is that of the write-ahead log, which a new primary has from its first moment on;
/// the one in the control file follows with the next checkpoint. A standby has none of its own.
const ALL: &str = "SELECT pg_is_in_recovery() AS is_standby, \
    current_setting('transaction_read_only') = 'on' AS is_read_only, \
    (SELECT system_identifier FROM pg_control_system()) AS system, \
    CASE WHEN pg_is_in_recovery() THEN NULL \
    ELSE ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::integer END AS timeline";
/// For services that hide the rest.
const FEW: &str = "SELECT pg_is_in_recovery() AS is_standby, \
    current_setting('transaction_read_only') = 'on' AS is_read_only, \
    NULL::bigint AS system, NULL::integer AS timeline";

/// See the fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Facts {
    pub(super) is_standby: bool,
    pub(super) is_read_only: bool,
    /// What is the same for a primary and its standbys, and for nobody else.
    pub(super) system: Option<i64>,
    timeline: Option<i32>,
}

impl Facts {
    /// Counts up with each promotion; none on a standby, and where the service hides it.
    pub(super) fn timeline(&self) -> Option<i32> {
        self.timeline
    }
}

/// Asks in one message without preparing anything, as a pooler in transaction mode needs it.
pub(super) async fn read(
    connection: &mut PgConnection,
    lineage: &Lineage,
) -> Result<Facts, sqlx::Error> {
    if !lineage.is_hidden.load(Ordering::Relaxed) {
        match sqlx::raw_sql(ALL).fetch_one(&mut *connection).await {
            Err(sqlx::Error::Database(error)) if is_hidden(error.code().as_deref()) => {
                tracing::warn!(
                    %error,
                    "the server does not tell its timeline: a former primary cannot be told from the present one"
                );
                lineage.is_hidden.store(true, Ordering::Relaxed);
            }
            answer => return of(&answer?),
        }
    }
    of(&sqlx::raw_sql(FEW).fetch_one(connection).await?)
}

/// No right to ask, no such function, not supported.
fn is_hidden(code: Option<&str>) -> bool {
    matches!(code, Some("42501" | "42883" | "0A000"))
}

fn of(row: &PgRow) -> Result<Facts, sqlx::Error> {
    Ok(Facts {
        is_standby: row.try_get("is_standby")?,
        is_read_only: row.try_get("is_read_only")?,
        system: row.try_get("system")?,
        timeline: row.try_get("timeline")?,
    })
}
