//! The revision of who may do what: every change to it counts one up in its own transaction.

use crate::sql::SqlMigration;

pub(crate) const MIGRATION: SqlMigration = SqlMigration {
    name: "m20261121_000012_authz_state",
    up: "
CREATE TABLE authz_state (
    id       smallint NOT NULL DEFAULT 1 CONSTRAINT authz_state_pkey PRIMARY KEY,
    revision bigint   NOT NULL,
    CONSTRAINT authz_state_id_check CHECK (id = 1)
);
INSERT INTO authz_state (id, revision) VALUES (1, 0);

CREATE FUNCTION gatepost_bump_revision() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER {pinned} AS $$
BEGIN
    IF EXISTS (SELECT FROM changed) THEN
        UPDATE authz_state SET revision = revision + 1;
    END IF;
    RETURN NULL;
END $$;

-- Takes the columns that decide; a change to others, such as a name, does not count.
CREATE FUNCTION gatepost_bump_revision_of() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER {pinned} AS $$
DECLARE
    differs boolean;
BEGIN
    EXECUTE format('SELECT EXISTS (SELECT %1$s FROM before EXCEPT ALL SELECT %1$s FROM after)',
        TG_ARGV[0]) INTO differs;
    IF differs THEN
        UPDATE authz_state SET revision = revision + 1;
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER roles_bump_insert AFTER INSERT ON roles REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION gatepost_bump_revision();
CREATE TRIGGER roles_bump_delete AFTER DELETE ON roles REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION gatepost_bump_revision();
CREATE TRIGGER roles_bump_update AFTER UPDATE ON roles
    REFERENCING OLD TABLE AS before NEW TABLE AS after FOR EACH STATEMENT
    EXECUTE FUNCTION gatepost_bump_revision_of('id, organization_id, key, permissions, assignable_at');

CREATE TRIGGER user_role_assignments_bump_insert AFTER INSERT ON user_role_assignments
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION gatepost_bump_revision();
CREATE TRIGGER user_role_assignments_bump_delete AFTER DELETE ON user_role_assignments
    REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION gatepost_bump_revision();
CREATE TRIGGER user_role_assignments_bump_update AFTER UPDATE ON user_role_assignments
    REFERENCING OLD TABLE AS before NEW TABLE AS after FOR EACH STATEMENT
    EXECUTE FUNCTION gatepost_bump_revision_of('id, user_id, service_account_id, group_id, role_id,
        resource_type, resource_id, organization_id, expires_at');

CREATE TRIGGER organizations_bump_insert AFTER INSERT ON organizations
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION gatepost_bump_revision();
CREATE TRIGGER organizations_bump_delete AFTER DELETE ON organizations
    REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION gatepost_bump_revision();

CREATE TRIGGER accounts_bump_insert AFTER INSERT ON accounts REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION gatepost_bump_revision();
CREATE TRIGGER accounts_bump_delete AFTER DELETE ON accounts REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION gatepost_bump_revision();
CREATE TRIGGER accounts_bump_update AFTER UPDATE ON accounts
    REFERENCING OLD TABLE AS before NEW TABLE AS after FOR EACH STATEMENT
    EXECUTE FUNCTION gatepost_bump_revision_of('id, organization_id');

CREATE TRIGGER projects_bump_insert AFTER INSERT ON projects REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION gatepost_bump_revision();
CREATE TRIGGER projects_bump_delete AFTER DELETE ON projects REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION gatepost_bump_revision();
CREATE TRIGGER projects_bump_update AFTER UPDATE ON projects
    REFERENCING OLD TABLE AS before NEW TABLE AS after FOR EACH STATEMENT
    EXECUTE FUNCTION gatepost_bump_revision_of('id, organization_id, account_id, owner_id');
",
    down: "
DROP TRIGGER projects_bump_update ON projects;
DROP TRIGGER projects_bump_delete ON projects;
DROP TRIGGER projects_bump_insert ON projects;
DROP TRIGGER accounts_bump_update ON accounts;
DROP TRIGGER accounts_bump_delete ON accounts;
DROP TRIGGER accounts_bump_insert ON accounts;
DROP TRIGGER organizations_bump_delete ON organizations;
DROP TRIGGER organizations_bump_insert ON organizations;
DROP TRIGGER user_role_assignments_bump_update ON user_role_assignments;
DROP TRIGGER user_role_assignments_bump_delete ON user_role_assignments;
DROP TRIGGER user_role_assignments_bump_insert ON user_role_assignments;
DROP TRIGGER roles_bump_update ON roles;
DROP TRIGGER roles_bump_delete ON roles;
DROP TRIGGER roles_bump_insert ON roles;
DROP FUNCTION gatepost_bump_revision_of();
DROP FUNCTION gatepost_bump_revision();
DROP TABLE authz_state;
",
};
