//! The numbers of the console's first page.

use sea_orm::{ConnectionTrait, DbErr, FromQueryResult, Statement};

use super::model::{AdminError, Day, Overview, ReadOverview, UserCounts};
use crate::{
    access::authority::Authority,
    database::tx::{Scope, Tx},
    state::AppState,
};

const USERS: &str = "SELECT count(*) AS total, \
       count(*) FILTER (WHERE status = 'active') AS active, \
       count(*) FILTER (WHERE status = 'pending_verification') AS pending_verification, \
       count(*) FILTER (WHERE status = 'pending_approval') AS pending_approval, \
       count(*) FILTER (WHERE status = 'rejected') AS rejected, \
       count(*) FILTER (WHERE status = 'disabled') AS disabled FROM users";

const OTHERS: &str = "SELECT (SELECT count(*) FROM organizations) AS organizations, \
       (SELECT count(*) FROM sessions WHERE revoked_at IS NULL AND expires_at > $1 \
          AND idle_expires_at > $1 AND epoch = (SELECT session_epoch FROM lineage)) AS live_sessions";

/// Every one of the last 30 days, also those on which nothing happened. The condition is that of
/// the index `audit_log_logins_idx`, which alone is read.
const DAYS: &str = "SELECT d.day::date AS date, \
       count(*) FILTER (WHERE a.action = 'session.opened') AS logins, \
       count(*) FILTER (WHERE a.action = 'session.login_failed') AS failures, \
       count(*) FILTER (WHERE a.action = 'user.registered') AS registrations \
     FROM generate_series(date_trunc('day', $1::timestamptz AT TIME ZONE 'UTC') - interval '29 days', \
                          date_trunc('day', $1::timestamptz AT TIME ZONE 'UTC'), interval '1 day') AS d (day) \
     LEFT JOIN (SELECT date_trunc('day', at AT TIME ZONE 'UTC') AS day, action FROM audit_log \
                WHERE action IN ('session.opened', 'session.login_failed', 'user.registered') \
                  AND at >= (date_trunc('day', $1::timestamptz AT TIME ZONE 'UTC') - interval '29 days') \
                            AT TIME ZONE 'UTC') a ON a.day = d.day \
     GROUP BY d.day ORDER BY d.day";

#[derive(FromQueryResult)]
struct Others {
    organizations: i64,
    live_sessions: i64,
}

/// Counts users, tenants and sessions, and what happened on each of the last 30 days.
///
/// # Errors
///
/// The database's.
pub async fn overview(
    state: &AppState,
    _by: &Authority<'_, ReadOverview>,
) -> Result<Overview, AdminError> {
    let now = state.clock.now();
    let tx = Tx::begin(state, &Scope::System).await?;
    let backend = tx.get_database_backend();
    let statement = |sql: &str| Statement::from_sql_and_values(backend, sql, [now.into()]);
    let users = UserCounts::find_by_statement(Statement::from_string(backend, USERS));
    let users = one(users.one(&*tx).await?)?;
    let others = one(Others::find_by_statement(statement(OTHERS))
        .one(&*tx)
        .await?)?;
    let days = Day::find_by_statement(statement(DAYS)).all(&*tx).await?;
    tx.commit().await?;
    Ok(Overview {
        users,
        organizations: others.organizations,
        live_sessions: others.live_sessions,
        days,
    })
}

/// Counting always answers with a row.
fn one<T>(row: Option<T>) -> Result<T, DbErr> {
    row.ok_or_else(|| DbErr::RecordNotFound("a count without a row".to_owned()))
}
