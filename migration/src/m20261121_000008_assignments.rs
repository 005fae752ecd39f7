//! Who holds which role where, and who is invited to.
//!
//! What must hold whatever the program does is judged here: an assignment names a resource that
//! exists and belongs to its organization, it goes with the resource, and the last owner stays.

use crate::sql::SqlMigration;

pub(crate) const MIGRATION: SqlMigration = SqlMigration {
    name: "m20261121_000008_assignments",
    up: "
CREATE TABLE user_role_assignments (
    id                 uuid        NOT NULL CONSTRAINT user_role_assignments_pkey PRIMARY KEY,
    principal_type     varchar(20) NOT NULL,
    user_id            uuid        CONSTRAINT user_role_assignments_user_id_fkey
                                   REFERENCES users (id) ON DELETE CASCADE,
    service_account_id uuid        CONSTRAINT user_role_assignments_service_account_id_fkey
                                   REFERENCES service_accounts (id) ON DELETE CASCADE,
    group_id           uuid,
    role_id            uuid        NOT NULL CONSTRAINT user_role_assignments_role_id_fkey
                                   REFERENCES roles (id),
    resource_type      varchar(20) NOT NULL,
    resource_id        uuid,
    organization_id    uuid        CONSTRAINT user_role_assignments_organization_id_fkey
                                   REFERENCES organizations (id) ON DELETE CASCADE,
    granted_by         uuid,
    reason             text,
    expires_at         timestamptz,
    created_at         timestamptz NOT NULL,
    CONSTRAINT user_role_assignments_principal_check CHECK (
        num_nonnulls(user_id, service_account_id, group_id) = 1 AND CASE principal_type
            WHEN 'user' THEN user_id IS NOT NULL
            WHEN 'service_account' THEN service_account_id IS NOT NULL
            WHEN 'group' THEN group_id IS NOT NULL
            ELSE false END),
    CONSTRAINT user_role_assignments_resource_check CHECK (CASE resource_type
        WHEN 'system' THEN num_nonnulls(resource_id, organization_id) = 0
        WHEN 'organization' THEN resource_id IS NOT NULL AND organization_id IS NOT NULL
            AND resource_id = organization_id
        WHEN 'account' THEN num_nonnulls(resource_id, organization_id) = 2
        WHEN 'project' THEN num_nonnulls(resource_id, organization_id) = 2
        ELSE false END)
);
CREATE UNIQUE INDEX user_role_assignments_key ON user_role_assignments (
    COALESCE(user_id, service_account_id, group_id), principal_type, role_id, resource_type,
    COALESCE(resource_id, '00000000-0000-0000-0000-000000000000'));
CREATE INDEX user_role_assignments_user_id_idx ON user_role_assignments (user_id)
    WHERE user_id IS NOT NULL;
CREATE INDEX user_role_assignments_service_account_id_idx
    ON user_role_assignments (service_account_id) WHERE service_account_id IS NOT NULL;
CREATE INDEX user_role_assignments_group_id_idx ON user_role_assignments (group_id)
    WHERE group_id IS NOT NULL;
CREATE INDEX user_role_assignments_resource_id_idx
    ON user_role_assignments (resource_type, resource_id);
CREATE INDEX user_role_assignments_organization_id_idx
    ON user_role_assignments (organization_id, id) WHERE organization_id IS NOT NULL;
CREATE INDEX user_role_assignments_role_id_idx ON user_role_assignments (role_id);
CREATE INDEX user_role_assignments_expires_at_idx ON user_role_assignments (expires_at)
    WHERE expires_at IS NOT NULL;

CREATE TABLE invitations (
    id               uuid         NOT NULL CONSTRAINT invitations_pkey PRIMARY KEY,
    organization_id  uuid         NOT NULL CONSTRAINT invitations_organization_id_fkey
                                  REFERENCES organizations (id) ON DELETE CASCADE,
    email            varchar(254) NOT NULL,
    email_normalized varchar(254) NOT NULL,
    role_id          uuid         NOT NULL CONSTRAINT invitations_role_id_fkey
                                  REFERENCES roles (id) ON DELETE CASCADE,
    resource_type    varchar(20)  NOT NULL,
    resource_id      uuid         NOT NULL,
    invited_by       uuid,
    token_hash       bytea        NOT NULL CONSTRAINT invitations_token_hash_key UNIQUE,
    expires_at       timestamptz  NOT NULL,
    accepted_at      timestamptz,
    accepted_by      uuid         CONSTRAINT invitations_accepted_by_fkey
                                  REFERENCES users (id) ON DELETE SET NULL,
    revoked_at       timestamptz,
    created_at       timestamptz  NOT NULL,
    CONSTRAINT invitations_resource_check CHECK (CASE resource_type
        WHEN 'organization' THEN resource_id = organization_id
        ELSE resource_type IN ('account', 'project') END)
);
CREATE INDEX invitations_organization_id_idx ON invitations (organization_id, id);
CREATE INDEX invitations_email_idx ON invitations (email_normalized)
    WHERE accepted_at IS NULL AND revoked_at IS NULL;
CREATE INDEX invitations_role_id_idx ON invitations (role_id);
CREATE INDEX invitations_resource_id_idx ON invitations (resource_type, resource_id);
CREATE INDEX invitations_accepted_by_idx ON invitations (accepted_by)
    WHERE accepted_by IS NOT NULL;

-- The functions below look at every tenant. A function cannot carry app.scope in its definition,
-- because only superusers may put a setting of our own there, so each sets it and puts it back;
-- an error on the way puts it back too.

-- Stands for foreign keys: the resource is one of three tables, and a role is the
-- organization's own or nobody's. KEY SHARE keeps the resource until the transaction ends.
CREATE FUNCTION gatepost_check_role_target() RETURNS trigger
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
CREATE TRIGGER user_role_assignments_check_target
    BEFORE INSERT OR UPDATE OF role_id, resource_type, resource_id, organization_id
    ON user_role_assignments FOR EACH ROW EXECUTE FUNCTION gatepost_check_role_target();
CREATE TRIGGER invitations_check_target
    BEFORE INSERT OR UPDATE OF role_id, resource_type, resource_id, organization_id
    ON invitations FOR EACH ROW EXECUTE FUNCTION gatepost_check_role_target();

CREATE FUNCTION gatepost_drop_roles_on_resource() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER {pinned} AS $$
DECLARE
    scope text := COALESCE(current_setting('app.scope', true), '');
BEGIN
    PERFORM set_config('app.scope', 'system', true);
    DELETE FROM user_role_assignments
        WHERE resource_type = TG_ARGV[0] AND resource_id = OLD.id;
    DELETE FROM invitations WHERE resource_type = TG_ARGV[0] AND resource_id = OLD.id;
    PERFORM set_config('app.scope', scope, true);
    RETURN NULL;
END $$;
CREATE TRIGGER organizations_drop_roles AFTER DELETE ON organizations
    FOR EACH ROW EXECUTE FUNCTION gatepost_drop_roles_on_resource('organization');
CREATE TRIGGER accounts_drop_roles AFTER DELETE ON accounts
    FOR EACH ROW EXECUTE FUNCTION gatepost_drop_roles_on_resource('account');
CREATE TRIGGER projects_drop_roles AFTER DELETE ON projects
    FOR EACH ROW EXECUTE FUNCTION gatepost_drop_roles_on_resource('project');

-- A project that moves to another tenant takes along the people who hold a built-in role on it;
-- roles that the old tenant made, and its open invitations, end.
CREATE FUNCTION gatepost_move_roles_on_project() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER {pinned} AS $$
DECLARE
    scope text := COALESCE(current_setting('app.scope', true), '');
BEGIN
    PERFORM set_config('app.scope', 'system', true);
    DELETE FROM invitations WHERE resource_type = 'project' AND resource_id = NEW.id;
    DELETE FROM user_role_assignments a USING roles r
        WHERE a.resource_type = 'project' AND a.resource_id = NEW.id
          AND r.id = a.role_id AND r.organization_id IS NOT NULL;
    UPDATE user_role_assignments SET organization_id = NEW.organization_id
        WHERE resource_type = 'project' AND resource_id = NEW.id;
    PERFORM set_config('app.scope', scope, true);
    RETURN NULL;
END $$;
CREATE TRIGGER projects_move_roles AFTER UPDATE OF organization_id ON projects
    FOR EACH ROW WHEN (OLD.organization_id IS DISTINCT FROM NEW.organization_id)
    EXECUTE FUNCTION gatepost_move_roles_on_project();

-- Runs when the transaction commits, so that handing over in two steps is allowed. The lock on
-- the organization makes a second transaction that removes another owner wait and then see what
-- the first one left. Not FOR UPDATE: that would also wait for everybody who merely refers to
-- the organization, and deadlock with those who wait for authz_state.
CREATE FUNCTION gatepost_keep_last_owner() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER {pinned} AS $$
DECLARE
    scope text := COALESCE(current_setting('app.scope', true), '');
    kept boolean := true;
BEGIN
    PERFORM set_config('app.scope', 'system', true);
    IF EXISTS (SELECT FROM roles
        WHERE id = OLD.role_id AND key = 'owner' AND organization_id IS NULL) THEN
        PERFORM 1 FROM organizations WHERE id = OLD.resource_id FOR NO KEY UPDATE;
        -- An organization that is gone needs no owner.
        kept := NOT FOUND;
    END IF;
    kept := kept OR EXISTS (
        SELECT FROM user_role_assignments a
            JOIN roles r ON r.id = a.role_id AND r.key = 'owner' AND r.organization_id IS NULL
            LEFT JOIN users u ON u.id = a.user_id
            LEFT JOIN service_accounts s ON s.id = a.service_account_id
        WHERE a.resource_type = 'organization' AND a.resource_id = OLD.resource_id
          AND a.expires_at IS NULL AND 'active' IN (u.status, s.status));
    IF NOT kept THEN
        RAISE EXCEPTION USING ERRCODE = 'GP001', MESSAGE = 'last_owner',
            TABLE = 'user_role_assignments', CONSTRAINT = 'user_role_assignments_last_owner',
            DETAIL = format('Organization %s would be left without an active owner.',
                OLD.resource_id);
    END IF;
    PERFORM set_config('app.scope', scope, true);
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER user_role_assignments_last_owner
    AFTER DELETE OR UPDATE ON user_role_assignments DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW WHEN (OLD.resource_type = 'organization' AND OLD.expires_at IS NULL)
    EXECUTE FUNCTION gatepost_keep_last_owner();
",
    down: "
DROP TRIGGER projects_move_roles ON projects;
DROP TRIGGER projects_drop_roles ON projects;
DROP TRIGGER accounts_drop_roles ON accounts;
DROP TRIGGER organizations_drop_roles ON organizations;
DROP TABLE invitations;
DROP TABLE user_role_assignments;
DROP FUNCTION gatepost_keep_last_owner();
DROP FUNCTION gatepost_move_roles_on_project();
DROP FUNCTION gatepost_drop_roles_on_resource();
DROP FUNCTION gatepost_check_role_target();
",
};
