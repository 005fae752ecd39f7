//! The history of the schema.
//!
//! [`Migrator`] lists the steps; [`up`] takes those that are missing, once, however many programs
//! try at the same time.

mod grants;
mod lock;
mod m20261121_000001_users;
mod m20261121_000002_sessions;
mod m20261121_000003_user_activity;
mod m20261121_000004_verifications;
mod m20261121_000005_tenants;
mod m20261121_000006_roles;
mod m20261121_000007_service_accounts;
mod m20261121_000008_assignments;
mod m20261121_000009_audit_log;
mod m20261121_000010_signing_keys;
mod m20261121_000011_operations;
mod m20261121_000012_authz_state;
mod m20261121_000013_notifications;
mod m20261121_000014_row_level_security;
mod m20261121_000015_recovery;
mod m20261121_000016_mfa;
mod m20261121_000017_webauthn;
mod m20261121_000018_machines;
mod m20261121_000019_people;
mod m20261121_000020_audit_seals;
mod m20261121_000021_session_idle;
mod m20261121_000022_organization_mfa;
mod m20261121_000023_groups;
mod m20261121_000024_role_requests;
mod m20261121_000026_search;
mod m20261121_000027_resources;
mod m20261121_000028_decision_log;
mod m20261121_000029_revision_notices;
mod m20261121_000030_lineage;
mod m20261121_000034_grants;
mod plan;
mod roots;
mod runner;
mod sql;
mod statements;

pub use grants::{API_FUNCTIONS, api_rights, grant_api_role, grant_statements, tables};
pub use lock::LOCK_KEY;
pub use plan::{Loss, Planned, PlannedLock, losses, plan};
pub use roots::system_roots;
pub use runner::{
    Applied, Down, How, MigrateError, Status, connect, connect_any, down, expected_version,
    going_back, known, pending, stamp, status, up, up_as,
};
pub use sea_orm_migration::prelude::MigratorTrait;
use sea_orm_migration::prelude::*;
use sql::SqlMigration;
pub use statements::Mode;

/// The steps, in the order in which they were made.
pub struct Migrator;

impl Migrator {
    #[expect(
        clippy::vec_box,
        reason = "a box of its own is what each becomes in `migrations`"
    )]
    fn steps() -> Vec<Box<SqlMigration>> {
        vec![
            Box::new(m20261121_000001_users::MIGRATION),
            Box::new(m20261121_000002_sessions::MIGRATION),
            Box::new(m20261121_000003_user_activity::MIGRATION),
            Box::new(m20261121_000004_verifications::MIGRATION),
            Box::new(m20261121_000005_tenants::MIGRATION),
            Box::new(m20261121_000006_roles::MIGRATION),
            Box::new(m20261121_000007_service_accounts::MIGRATION),
            Box::new(m20261121_000008_assignments::MIGRATION),
            Box::new(m20261121_000009_audit_log::MIGRATION),
            Box::new(m20261121_000010_signing_keys::MIGRATION),
            Box::new(m20261121_000011_operations::MIGRATION),
            Box::new(m20261121_000012_authz_state::MIGRATION),
            Box::new(m20261121_000013_notifications::MIGRATION),
            Box::new(m20261121_000014_row_level_security::MIGRATION),
            Box::new(m20261121_000015_recovery::MIGRATION),
            Box::new(m20261121_000016_mfa::MIGRATION),
            Box::new(m20261121_000017_webauthn::MIGRATION),
            Box::new(m20261121_000018_machines::MIGRATION),
            Box::new(m20261121_000019_people::MIGRATION),
            Box::new(m20261121_000020_audit_seals::MIGRATION),
            Box::new(m20261121_000021_session_idle::MIGRATION),
            Box::new(m20261121_000022_organization_mfa::MIGRATION),
            Box::new(m20261121_000023_groups::MIGRATION),
            Box::new(m20261121_000024_role_requests::MIGRATION),
            Box::new(m20261121_000026_search::MIGRATION),
            Box::new(m20261121_000027_resources::MIGRATION),
            Box::new(m20261121_000028_decision_log::MIGRATION),
            Box::new(m20261121_000029_revision_notices::MIGRATION),
            Box::new(m20261121_000030_lineage::MIGRATION),
            Box::new(m20261121_000034_grants::MIGRATION),
        ]
    }
}

#[async_trait::async_trait]
impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        let steps = Self::steps().into_iter();
        steps.map(|step| step as Box<dyn MigrationTrait>).collect()
    }
}

/// The SQL that takes a step, as it is run in `schema`.
pub fn sql_of(name: &str, schema: &str) -> Option<String> {
    let step = Migrator::steps()
        .into_iter()
        .find(|step| step.name() == name)?;
    let quoted = format!("\"{}\"", schema.replace('"', "\"\""));
    Some(sql::complete(step.up, &quoted))
}
