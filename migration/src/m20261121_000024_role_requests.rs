//! People ask for a role for a while; somebody else decides.

use crate::sql::SqlMigration;

pub(crate) const MIGRATION: SqlMigration = SqlMigration {
    name: "m20261121_000024_role_requests",
    up: "
CREATE TABLE role_requests (
    id                 uuid        NOT NULL CONSTRAINT role_requests_pkey PRIMARY KEY,
    organization_id    uuid        CONSTRAINT role_requests_organization_id_fkey
                                   REFERENCES organizations (id) ON DELETE CASCADE,
    user_id            uuid        NOT NULL CONSTRAINT role_requests_user_id_fkey
                                   REFERENCES users (id) ON DELETE CASCADE,
    role_id            uuid        NOT NULL CONSTRAINT role_requests_role_id_fkey
                                   REFERENCES roles (id) ON DELETE CASCADE,
    resource_type      varchar(20) NOT NULL,
    resource_id        uuid,
    duration_seconds   integer     NOT NULL,
    reason             text        NOT NULL,
    state              varchar(20) NOT NULL,
    decided_by         uuid,
    decided_at         timestamptz,
    decision_reason    text,
    role_assignment_id uuid,
    expires_at         timestamptz NOT NULL,
    created_at         timestamptz NOT NULL,
    CONSTRAINT role_requests_duration_check CHECK (duration_seconds > 0),
    CONSTRAINT role_requests_state_check CHECK (
        state IN ('pending', 'approved', 'refused', 'withdrawn', 'expired')),
    CONSTRAINT role_requests_resource_check CHECK (CASE resource_type
        WHEN 'system' THEN num_nonnulls(resource_id, organization_id) = 0
        WHEN 'organization' THEN resource_id IS NOT NULL AND organization_id IS NOT NULL
            AND resource_id = organization_id
        WHEN 'account' THEN num_nonnulls(resource_id, organization_id) = 2
        WHEN 'project' THEN num_nonnulls(resource_id, organization_id) = 2
        ELSE false END)
);
-- Nobody asks twice for the same while they wait.
CREATE UNIQUE INDEX role_requests_pending_key ON role_requests (user_id, role_id, resource_type,
    COALESCE(resource_id, '00000000-0000-0000-0000-000000000000')) WHERE state = 'pending';
CREATE INDEX role_requests_user_id_idx ON role_requests (user_id, id);
CREATE INDEX role_requests_organization_id_idx ON role_requests (organization_id, id)
    WHERE organization_id IS NOT NULL;
CREATE INDEX role_requests_role_id_idx ON role_requests (role_id);
CREATE INDEX role_requests_resource_id_idx ON role_requests (resource_type, resource_id);

CREATE TRIGGER role_requests_check_target
    BEFORE INSERT OR UPDATE OF role_id, resource_type, resource_id, organization_id
    ON role_requests FOR EACH ROW EXECUTE FUNCTION gatepost_check_role_target();

-- Requests end with what they are about, and when it goes to another tenant.
CREATE FUNCTION gatepost_drop_requests_on_resource() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER {pinned} AS $$
DECLARE
    scope text := COALESCE(current_setting('app.scope', true), '');
BEGIN
    PERFORM set_config('app.scope', 'system', true);
    DELETE FROM role_requests WHERE resource_type = TG_ARGV[0] AND resource_id = OLD.id;
    PERFORM set_config('app.scope', scope, true);
    RETURN NULL;
END $$;
CREATE TRIGGER accounts_drop_requests AFTER DELETE ON accounts
    FOR EACH ROW EXECUTE FUNCTION gatepost_drop_requests_on_resource('account');
CREATE TRIGGER projects_drop_requests AFTER DELETE ON projects
    FOR EACH ROW EXECUTE FUNCTION gatepost_drop_requests_on_resource('project');
CREATE TRIGGER projects_move_requests AFTER UPDATE OF organization_id ON projects
    FOR EACH ROW WHEN (OLD.organization_id IS DISTINCT FROM NEW.organization_id)
    EXECUTE FUNCTION gatepost_drop_requests_on_resource('project');

ALTER TABLE role_requests ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY role_requests_tenant ON role_requests USING (
    (SELECT current_setting('app.scope', true)) = 'system'
    OR organization_id = ANY ((SELECT string_to_array(
        NULLIF(current_setting('app.organization_ids', true), ''), ',')::uuid[])::uuid[]));
CREATE POLICY role_requests_own ON role_requests FOR SELECT USING (
    user_id = (SELECT NULLIF(current_setting('app.user_id', true), '')::uuid));
",
    down: "
DROP TRIGGER projects_move_requests ON projects;
DROP TRIGGER projects_drop_requests ON projects;
DROP TRIGGER accounts_drop_requests ON accounts;
DROP FUNCTION gatepost_drop_requests_on_resource();
DROP TABLE role_requests;
",
};
