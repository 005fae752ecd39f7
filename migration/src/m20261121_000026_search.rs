//! Indexes by which searches for who may do what, and with what, go page by page.

use crate::sql::SqlMigration;

pub(crate) const MIGRATION: SqlMigration = SqlMigration {
    name: "m20261121_000026_search",
    up: "
-- What is below one place, in the order of pages: the rest of a place is never sorted.
CREATE INDEX accounts_organization_id_idx ON accounts (organization_id, id);
CREATE INDEX projects_account_id_idx ON projects (account_id, id);

-- Who holds something at one place, in the order of pages, and which role that is.
CREATE INDEX user_role_assignments_resource_user_idx
    ON user_role_assignments (resource_type, resource_id, user_id, role_id)
    WHERE user_id IS NOT NULL;
CREATE INDEX user_role_assignments_resource_service_account_idx
    ON user_role_assignments (resource_type, resource_id, service_account_id, role_id)
    WHERE service_account_id IS NOT NULL;
CREATE INDEX user_role_assignments_resource_group_idx
    ON user_role_assignments (resource_type, resource_id, group_id, role_id)
    WHERE group_id IS NOT NULL;
",
    down: "
DROP INDEX user_role_assignments_resource_group_idx;
DROP INDEX user_role_assignments_resource_service_account_idx;
DROP INDEX user_role_assignments_resource_user_idx;
DROP INDEX projects_account_id_idx;
DROP INDEX accounts_organization_id_idx;
",
};
