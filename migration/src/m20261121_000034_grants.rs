//! Roles can be held on what applications register, asked for there, and people invited to it.

use crate::sql::SqlMigration;

pub(crate) const MIGRATION: SqlMigration = SqlMigration {
    name: "m20261121_000034_grants",
    up: "
-- What is below a thing, at any depth: roles on it hold there, too.
CREATE INDEX resources_ancestors_idx ON resources USING gin (ancestors);

ALTER TABLE user_role_assignments
    DROP CONSTRAINT user_role_assignments_resource_check,
    ADD CONSTRAINT user_role_assignments_resource_check CHECK (CASE resource_type
        WHEN 'system' THEN num_nonnulls(resource_id, organization_id) = 0
        WHEN 'organization' THEN resource_id IS NOT NULL AND organization_id IS NOT NULL
            AND resource_id = organization_id
        WHEN 'account' THEN num_nonnulls(resource_id, organization_id) = 2
        WHEN 'project' THEN num_nonnulls(resource_id, organization_id) = 2
        WHEN 'resource' THEN num_nonnulls(resource_id, organization_id) = 2
        ELSE false END);
ALTER TABLE role_requests
    DROP CONSTRAINT role_requests_resource_check,
    ADD CONSTRAINT role_requests_resource_check CHECK (CASE resource_type
        WHEN 'system' THEN num_nonnulls(resource_id, organization_id) = 0
        WHEN 'organization' THEN resource_id IS NOT NULL AND organization_id IS NOT NULL
            AND resource_id = organization_id
        WHEN 'account' THEN num_nonnulls(resource_id, organization_id) = 2
        WHEN 'project' THEN num_nonnulls(resource_id, organization_id) = 2
        WHEN 'resource' THEN num_nonnulls(resource_id, organization_id) = 2
        ELSE false END);
ALTER TABLE invitations
    DROP CONSTRAINT invitations_resource_check,
    ADD CONSTRAINT invitations_resource_check CHECK (CASE resource_type
        WHEN 'organization' THEN resource_id = organization_id
        ELSE resource_type IN ('account', 'project', 'resource') END);

-- As before, and what applications registered.
CREATE OR REPLACE FUNCTION gatepost_check_role_target() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER {pinned} AS $$
DECLARE
    scope text := COALESCE(current_setting('app.scope', true), '');
BEGIN
    PERFORM set_config('app.scope', 'system', true);
    IF NEW.resource_type = 'account' THEN
        PERFORM 1 FROM accounts WHERE id = NEW.resource_id
            AND organization_id = NEW.organization_id FOR KEY SHARE;
    ELSIF NEW.resource_type = 'project' THEN
        PERFORM 1 FROM projects WHERE id = NEW.resource_id
            AND organization_id = NEW.organization_id FOR KEY SHARE;
    ELSIF NEW.resource_type = 'resource' THEN
        PERFORM 1 FROM resources WHERE id = NEW.resource_id
            AND organization_id = NEW.organization_id FOR KEY SHARE;
    ELSE
        -- Of an organization the foreign key says it, and the system is always there.
        PERFORM 1;
    END IF;
    IF NOT FOUND THEN
        RAISE EXCEPTION USING ERRCODE = 'foreign_key_violation',
            CONSTRAINT = TG_TABLE_NAME || '_resource_id_fkey', TABLE = TG_TABLE_NAME,
            MESSAGE = format('no %s %s in organization %s',
                NEW.resource_type, NEW.resource_id, NEW.organization_id);
    END IF;
    PERFORM 1 FROM roles WHERE id = NEW.role_id AND organization_id IS NOT NULL
        AND organization_id IS DISTINCT FROM NEW.organization_id;
    IF FOUND THEN
        RAISE EXCEPTION USING ERRCODE = 'foreign_key_violation',
            CONSTRAINT = TG_TABLE_NAME || '_role_id_fkey', TABLE = TG_TABLE_NAME,
            MESSAGE = format('role %s belongs to another organization', NEW.role_id);
    END IF;
    PERFORM set_config('app.scope', scope, true);
    RETURN NEW;
END $$;

-- Once for all that one statement deletes: much can stand below a project.
CREATE FUNCTION gatepost_drop_roles_on_registered() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER {pinned} AS $$
DECLARE
    scope text := COALESCE(current_setting('app.scope', true), '');
BEGIN
    PERFORM set_config('app.scope', 'system', true);
    DELETE FROM user_role_assignments
        WHERE resource_type = 'resource' AND resource_id IN (SELECT id FROM gone);
    DELETE FROM invitations
        WHERE resource_type = 'resource' AND resource_id IN (SELECT id FROM gone);
    DELETE FROM role_requests
        WHERE resource_type = 'resource' AND resource_id IN (SELECT id FROM gone);
    PERFORM set_config('app.scope', scope, true);
    RETURN NULL;
END $$;
CREATE TRIGGER resources_drop_roles AFTER DELETE ON resources
    REFERENCING OLD TABLE AS gone
    FOR EACH STATEMENT EXECUTE FUNCTION gatepost_drop_roles_on_registered();

-- What goes to another tenant, by itself or with its project, takes along what a project does.
CREATE FUNCTION gatepost_move_roles_on_registered() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER {pinned} AS $$
DECLARE
    scope text := COALESCE(current_setting('app.scope', true), '');
BEGIN
    PERFORM set_config('app.scope', 'system', true);
    DELETE FROM invitations WHERE resource_type = 'resource' AND resource_id = NEW.id;
    DELETE FROM role_requests WHERE resource_type = 'resource' AND resource_id = NEW.id;
    DELETE FROM user_role_assignments a USING roles r
        WHERE a.resource_type = 'resource' AND a.resource_id = NEW.id
          AND r.id = a.role_id AND (r.organization_id IS NOT NULL OR a.group_id IS NOT NULL);
    UPDATE user_role_assignments SET organization_id = NEW.organization_id
        WHERE resource_type = 'resource' AND resource_id = NEW.id;
    PERFORM set_config('app.scope', scope, true);
    RETURN NULL;
END $$;
CREATE TRIGGER resources_move_roles AFTER UPDATE OF organization_id ON resources
    FOR EACH ROW WHEN (OLD.organization_id IS DISTINCT FROM NEW.organization_id)
    EXECUTE FUNCTION gatepost_move_roles_on_registered();
",
    down: "
DROP TRIGGER resources_move_roles ON resources;
DROP TRIGGER resources_drop_roles ON resources;
DROP FUNCTION gatepost_move_roles_on_registered();
DROP FUNCTION gatepost_drop_roles_on_registered();
DELETE FROM user_role_assignments WHERE resource_type = 'resource';
DELETE FROM role_requests WHERE resource_type = 'resource';
DELETE FROM invitations WHERE resource_type = 'resource';
-- A table that triggers still wait on cannot be altered.
SET CONSTRAINTS ALL IMMEDIATE;
ALTER TABLE user_role_assignments
    DROP CONSTRAINT user_role_assignments_resource_check,
    ADD CONSTRAINT user_role_assignments_resource_check CHECK (CASE resource_type
        WHEN 'system' THEN num_nonnulls(resource_id, organization_id) = 0
        WHEN 'organization' THEN resource_id IS NOT NULL AND organization_id IS NOT NULL
            AND resource_id = organization_id
        WHEN 'account' THEN num_nonnulls(resource_id, organization_id) = 2
        WHEN 'project' THEN num_nonnulls(resource_id, organization_id) = 2
        ELSE false END);
ALTER TABLE role_requests
    DROP CONSTRAINT role_requests_resource_check,
    ADD CONSTRAINT role_requests_resource_check CHECK (CASE resource_type
        WHEN 'system' THEN num_nonnulls(resource_id, organization_id) = 0
        WHEN 'organization' THEN resource_id IS NOT NULL AND organization_id IS NOT NULL
            AND resource_id = organization_id
        WHEN 'account' THEN num_nonnulls(resource_id, organization_id) = 2
        WHEN 'project' THEN num_nonnulls(resource_id, organization_id) = 2
        ELSE false END);
ALTER TABLE invitations
    DROP CONSTRAINT invitations_resource_check,
    ADD CONSTRAINT invitations_resource_check CHECK (CASE resource_type
        WHEN 'organization' THEN resource_id = organization_id
        ELSE resource_type IN ('account', 'project') END);
CREATE OR REPLACE FUNCTION gatepost_check_role_target() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER {pinned} AS $$
DECLARE
    scope text := COALESCE(current_setting('app.scope', true), '');
BEGIN
    PERFORM set_config('app.scope', 'system', true);
    IF NEW.resource_type = 'account' THEN
        PERFORM 1 FROM accounts WHERE id = NEW.resource_id
            AND organization_id = NEW.organization_id FOR KEY SHARE;
    ELSIF NEW.resource_type = 'project' THEN
        PERFORM 1 FROM projects WHERE id = NEW.resource_id
            AND organization_id = NEW.organization_id FOR KEY SHARE;
    ELSE
        -- Of an organization the foreign key says it, and the system is always there.
        PERFORM 1;
    END IF;
    IF NOT FOUND THEN
        RAISE EXCEPTION USING ERRCODE = 'foreign_key_violation',
            CONSTRAINT = TG_TABLE_NAME || '_resource_id_fkey', TABLE = TG_TABLE_NAME,
            MESSAGE = format('no %s %s in organization %s',
                NEW.resource_type, NEW.resource_id, NEW.organization_id);
    END IF;
    PERFORM 1 FROM roles WHERE id = NEW.role_id AND organization_id IS NOT NULL
        AND organization_id IS DISTINCT FROM NEW.organization_id;
    IF FOUND THEN
        RAISE EXCEPTION USING ERRCODE = 'foreign_key_violation',
            CONSTRAINT = TG_TABLE_NAME || '_role_id_fkey', TABLE = TG_TABLE_NAME,
            MESSAGE = format('role %s belongs to another organization', NEW.role_id);
    END IF;
    PERFORM set_config('app.scope', scope, true);
    RETURN NEW;
END $$;
DROP INDEX resources_ancestors_idx;
",
};
