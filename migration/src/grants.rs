//! What the API's role may do: rows it needs, and nothing of the schema.

use sea_orm_migration::{
    prelude::*,
    sea_orm::{DatabaseConnection, DbBackend, Statement, TransactionTrait},
};
use tracing::warn;

use crate::runner::MigrateError;

const ALL: &str = "SELECT, INSERT, UPDATE, DELETE";

/// The rights on each table. A test compares the list with the tables that there are.
const RIGHTS: [(&str, &str); 33] = [
    ("accounts", ALL),
    ("api_keys", ALL),
    // What was written stays written, also by a program that was taken over.
    ("audit_log", "SELECT, INSERT"),
    // Filled and emptied by triggers, which run with the owner's rights.
    ("audit_pending", "SELECT"),
    ("audit_seals", "SELECT, INSERT"),
    // Counted up by triggers, which run with the owner's rights.
    ("authz_state", "SELECT"),
    // Old days go by gatepost_maintain_decisions.
    ("decision_log", "SELECT, INSERT"),
    ("device_fingerprints", ALL),
    ("group_members", ALL),
    ("groups", ALL),
    ("idempotency_keys", ALL),
    ("invitations", ALL),
    // Written by gatepost_adopt_timeline, with the owner's rights.
    ("lineage", "SELECT"),
    ("login_throttles", ALL),
    ("mfa_factors", ALL),
    ("mfa_verifications", ALL),
    ("one_time_tokens", ALL),
    ("organizations", ALL),
    ("outbox", ALL),
    ("projects", ALL),
    ("recovery_codes", ALL),
    ("refresh_tokens", ALL),
    ("resources", ALL),
    ("role_requests", ALL),
    ("roles", ALL),
    ("seaql_migrations", "SELECT"),
    ("service_accounts", ALL),
    ("sessions", ALL),
    ("signing_keys", ALL),
    // Old months go by gatepost_maintain_activity, a person's rows with the person.
    ("user_activity", "SELECT, INSERT"),
    ("user_role_assignments", ALL),
    ("users", ALL),
    ("webauthn_challenges", ALL),
];

/// The functions that the API calls, as `to_regprocedure` takes them.
pub const API_FUNCTIONS: [&str; 5] = [
    "gatepost_maintain_activity(integer, timestamptz)",
    "gatepost_maintain_decisions(integer, timestamptz)",
    "gatepost_session_epoch()",
    "gatepost_adopt_timeline()",
    "gatepost_organization_requires_mfa(uuid, timestamptz)",
];

/// The rights of the API's role, table by table.
pub fn api_rights() -> &'static [(&'static str, &'static str)] {
    &RIGHTS
}

/// All tables of the newest schema.
pub fn tables() -> impl Iterator<Item = &'static str> {
    RIGHTS.iter().map(|(table, _)| *table)
}

/// What [`grant_api_role`] runs, for a transaction of somebody else's. The names are not quoted.
pub fn grant_statements(schema: &str, role: &str) -> String {
    let quoted = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
    statements(&quoted(schema), &quoted(role))
}

/// Gives `role` exactly the rights that the API needs, and takes back any other on our tables.
///
/// Call it after each migration: a new table has no rights yet. If `role` is the role that is
/// connected, it owns the tables and nothing is done.
///
/// # Errors
///
/// [`MigrateError::Role`] if there is no such role.
pub async fn grant_api_role(db: &DatabaseConnection, role: &str) -> Result<(), MigrateError> {
    let found = db
        .query_one_raw(Statement::from_sql_and_values(
            DbBackend::Postgres,
            "SELECT quote_ident(rolname) AS role, quote_ident(current_schema()) AS schema,
                rolname = current_user AS own, rolsuper OR rolbypassrls AS sees_all
             FROM pg_roles WHERE rolname = $1",
            [role.into()],
        ))
        .await?
        .ok_or_else(|| {
            MigrateError::Role(format!(
                "there is no role {role:?}: make it with CREATE ROLE … LOGIN first"
            ))
        })?;
    if found.try_get("", "sees_all")? {
        warn!(
            "role {role:?} is not bound by row-level security: take SUPERUSER and BYPASSRLS away"
        );
    }
    if found.try_get("", "own")? {
        return Ok(());
    }
    let role: String = found.try_get("", "role")?;
    let schema: String = found.try_get("", "schema")?;
    let transaction = db.begin().await?;
    transaction
        .execute_unprepared(&statements(&schema, &role))
        .await?;
    transaction.commit().await?;
    Ok(())
}

/// Both names are quoted already.
fn statements(schema: &str, role: &str) -> String {
    let sql = format!(
        // Two programs that grant at once would get "tuple concurrently updated".
        "SELECT pg_advisory_xact_lock(hashtextextended('gatepost_grants', 0));
         SET LOCAL lock_timeout = '5s';
         GRANT USAGE ON SCHEMA {schema} TO {role};
         GRANT EXECUTE ON FUNCTION {} TO {role};",
        API_FUNCTIONS
            .map(|function| format!("{schema}.{function}"))
            .join(", ")
    );
    let rights = RIGHTS.map(|(table, rights)| {
        format!(
            "REVOKE ALL ON {schema}.{table} FROM {role};
             GRANT {rights} ON {schema}.{table} TO {role};"
        )
    });
    sql + &rights.concat()
}
