//! Groups of an organization: their members hold what the group holds.

use crate::sql::SqlMigration;

pub(crate) const MIGRATION: SqlMigration = SqlMigration {
    name: "m20261121_000023_groups",
    up: "
CREATE TABLE groups (
    id              uuid        NOT NULL CONSTRAINT groups_pkey PRIMARY KEY,
    organization_id uuid        NOT NULL CONSTRAINT groups_organization_id_fkey
                                REFERENCES organizations (id) ON DELETE CASCADE,
    name            varchar(80) NOT NULL,
    name_normalized text        NOT NULL,
    description     text        NOT NULL DEFAULT '',
    created_at      timestamptz NOT NULL,
    updated_at      timestamptz NOT NULL,
    version         bigint      NOT NULL DEFAULT 1,
    CONSTRAINT groups_organization_id_name_key UNIQUE (organization_id, name_normalized),
    -- What the foreign keys of members and assignments refer to.
    CONSTRAINT groups_id_organization_id_key UNIQUE (id, organization_id)
);

CREATE TABLE group_members (
    group_id        uuid        NOT NULL,
    user_id         uuid        NOT NULL CONSTRAINT group_members_user_id_fkey
                                REFERENCES users (id) ON DELETE CASCADE,
    organization_id uuid        NOT NULL,
    added_by        uuid,
    created_at      timestamptz NOT NULL,
    CONSTRAINT group_members_pkey PRIMARY KEY (group_id, user_id),
    CONSTRAINT group_members_group_id_fkey FOREIGN KEY (group_id, organization_id)
        REFERENCES groups (id, organization_id) ON DELETE CASCADE
);
CREATE INDEX group_members_user_id_idx ON group_members (user_id);

-- Both columns, so that a group holds nothing outside of its own organization. The foreign key
-- does not look at rows without an organization, so those of the system are refused besides.
ALTER TABLE user_role_assignments
    ADD CONSTRAINT user_role_assignments_group_id_fkey FOREIGN KEY (group_id, organization_id)
        REFERENCES groups (id, organization_id) ON DELETE CASCADE,
    ADD CONSTRAINT user_role_assignments_group_check
        CHECK (group_id IS NULL OR organization_id IS NOT NULL);

-- As before, and what groups of the old tenant held ends, too.
CREATE OR REPLACE FUNCTION gatepost_move_roles_on_project() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER {pinned} AS $$
DECLARE
    scope text := COALESCE(current_setting('app.scope', true), '');
BEGIN
    PERFORM set_config('app.scope', 'system', true);
    DELETE FROM invitations WHERE resource_type = 'project' AND resource_id = NEW.id;
    DELETE FROM user_role_assignments a USING roles r
        WHERE a.resource_type = 'project' AND a.resource_id = NEW.id
          AND r.id = a.role_id AND (r.organization_id IS NOT NULL OR a.group_id IS NOT NULL);
    UPDATE user_role_assignments SET organization_id = NEW.organization_id
        WHERE resource_type = 'project' AND resource_id = NEW.id;
    PERFORM set_config('app.scope', scope, true);
    RETURN NULL;
END $$;

-- As before, and who holds a role by a group is asked for a second factor, too.
CREATE OR REPLACE FUNCTION gatepost_organization_requires_mfa(person uuid, instant timestamptz)
RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER {pinned} AS $$
DECLARE
    scope text := COALESCE(current_setting('app.scope', true), '');
    required boolean;
BEGIN
    PERFORM set_config('app.scope', 'system', true);
    required := EXISTS (SELECT FROM user_role_assignments a
        JOIN organizations o ON o.id = a.organization_id
        WHERE (a.user_id = person
            OR a.group_id = ANY (ARRAY(SELECT group_id FROM group_members WHERE user_id = person)))
          AND (a.expires_at IS NULL OR a.expires_at > instant)
          AND o.settings -> 'mfa_required' = 'true'::jsonb);
    PERFORM set_config('app.scope', scope, true);
    RETURN required;
END $$;

CREATE TRIGGER group_members_bump_insert AFTER INSERT ON group_members
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION gatepost_bump_revision();
CREATE TRIGGER group_members_bump_delete AFTER DELETE ON group_members
    REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION gatepost_bump_revision();
CREATE TRIGGER group_members_bump_update AFTER UPDATE ON group_members
    REFERENCING OLD TABLE AS before NEW TABLE AS after FOR EACH STATEMENT
    EXECUTE FUNCTION gatepost_bump_revision_of('group_id, user_id');

CREATE FUNCTION gatepost_notify_member() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER {pinned} AS $$
BEGIN
    IF TG_OP <> 'INSERT' THEN
        PERFORM pg_notify('gatepost_changes', 'grants user ' || OLD.user_id);
    END IF;
    IF TG_OP <> 'DELETE' THEN
        PERFORM pg_notify('gatepost_changes', 'grants user ' || NEW.user_id);
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER group_members_notify AFTER INSERT OR UPDATE OR DELETE
    ON group_members FOR EACH ROW EXECUTE FUNCTION gatepost_notify_member();

ALTER TABLE groups ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY groups_tenant ON groups USING (
    (SELECT current_setting('app.scope', true)) = 'system'
    OR organization_id = ANY ((SELECT string_to_array(
        NULLIF(current_setting('app.organization_ids', true), ''), ',')::uuid[])::uuid[]));
ALTER TABLE group_members ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY group_members_tenant ON group_members USING (
    (SELECT current_setting('app.scope', true)) = 'system'
    OR organization_id = ANY ((SELECT string_to_array(
        NULLIF(current_setting('app.organization_ids', true), ''), ',')::uuid[])::uuid[]));
",
    down: "
DELETE FROM user_role_assignments WHERE group_id IS NOT NULL;
-- A table that triggers still wait on cannot be altered.
SET CONSTRAINTS ALL IMMEDIATE;
ALTER TABLE user_role_assignments
    DROP CONSTRAINT user_role_assignments_group_check,
    DROP CONSTRAINT user_role_assignments_group_id_fkey;
CREATE OR REPLACE FUNCTION gatepost_organization_requires_mfa(person uuid, instant timestamptz)
RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER {pinned} AS $$
DECLARE
    scope text := COALESCE(current_setting('app.scope', true), '');
    required boolean;
BEGIN
    PERFORM set_config('app.scope', 'system', true);
    required := EXISTS (SELECT FROM user_role_assignments a
        JOIN organizations o ON o.id = a.organization_id
        WHERE a.user_id = person AND (a.expires_at IS NULL OR a.expires_at > instant)
          AND o.settings -> 'mfa_required' = 'true'::jsonb);
    PERFORM set_config('app.scope', scope, true);
    RETURN required;
END $$;
DROP TABLE group_members;
DROP TABLE groups;
DROP FUNCTION gatepost_notify_member();
CREATE OR REPLACE FUNCTION gatepost_move_roles_on_project() RETURNS trigger
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
",
};
