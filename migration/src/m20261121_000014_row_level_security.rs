//! Tenants do not see each other, whatever a query forgets.
//!
//! Settings of the transaction say whose rows are meant: `app.scope` = `system` (all),
//! `app.organization_ids` (UUIDs with commas between), `app.user_id`. None set means none seen.
//! The sub-selects make the planner read a setting once per statement and not once per row.

use crate::sql::SqlMigration;

pub(crate) const MIGRATION: SqlMigration = SqlMigration {
    name: "m20261121_000014_row_level_security",
    up: "
ALTER TABLE organizations ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY organizations_tenant ON organizations USING (
    (SELECT current_setting('app.scope', true)) = 'system'
    OR id = ANY ((SELECT string_to_array(
        NULLIF(current_setting('app.organization_ids', true), ''), ',')::uuid[])::uuid[]));

ALTER TABLE accounts ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY accounts_tenant ON accounts USING (
    (SELECT current_setting('app.scope', true)) = 'system'
    OR organization_id = ANY ((SELECT string_to_array(
        NULLIF(current_setting('app.organization_ids', true), ''), ',')::uuid[])::uuid[]));

ALTER TABLE projects ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY projects_tenant ON projects USING (
    (SELECT current_setting('app.scope', true)) = 'system'
    OR organization_id = ANY ((SELECT string_to_array(
        NULLIF(current_setting('app.organization_ids', true), ''), ',')::uuid[])::uuid[]));

ALTER TABLE roles ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY roles_tenant ON roles USING (
    (SELECT current_setting('app.scope', true)) = 'system'
    OR organization_id = ANY ((SELECT string_to_array(
        NULLIF(current_setting('app.organization_ids', true), ''), ',')::uuid[])::uuid[]));
CREATE POLICY roles_built_in ON roles FOR SELECT USING (organization_id IS NULL);

ALTER TABLE user_role_assignments ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY user_role_assignments_tenant ON user_role_assignments USING (
    (SELECT current_setting('app.scope', true)) = 'system'
    OR organization_id = ANY ((SELECT string_to_array(
        NULLIF(current_setting('app.organization_ids', true), ''), ',')::uuid[])::uuid[]));
CREATE POLICY user_role_assignments_own ON user_role_assignments FOR SELECT USING (
    user_id = (SELECT NULLIF(current_setting('app.user_id', true), '')::uuid));

ALTER TABLE invitations ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY invitations_tenant ON invitations USING (
    (SELECT current_setting('app.scope', true)) = 'system'
    OR organization_id = ANY ((SELECT string_to_array(
        NULLIF(current_setting('app.organization_ids', true), ''), ',')::uuid[])::uuid[]));
",
    down: "
DROP POLICY invitations_tenant ON invitations;
ALTER TABLE invitations NO FORCE ROW LEVEL SECURITY, DISABLE ROW LEVEL SECURITY;
DROP POLICY user_role_assignments_own ON user_role_assignments;
DROP POLICY user_role_assignments_tenant ON user_role_assignments;
ALTER TABLE user_role_assignments NO FORCE ROW LEVEL SECURITY, DISABLE ROW LEVEL SECURITY;
DROP POLICY roles_built_in ON roles;
DROP POLICY roles_tenant ON roles;
ALTER TABLE roles NO FORCE ROW LEVEL SECURITY, DISABLE ROW LEVEL SECURITY;
DROP POLICY projects_tenant ON projects;
ALTER TABLE projects NO FORCE ROW LEVEL SECURITY, DISABLE ROW LEVEL SECURITY;
DROP POLICY accounts_tenant ON accounts;
ALTER TABLE accounts NO FORCE ROW LEVEL SECURITY, DISABLE ROW LEVEL SECURITY;
DROP POLICY organizations_tenant ON organizations;
ALTER TABLE organizations NO FORCE ROW LEVEL SECURITY, DISABLE ROW LEVEL SECURITY;
",
};
