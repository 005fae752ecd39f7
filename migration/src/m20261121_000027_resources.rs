//! What applications register: things of their own types, below an organization, an account, a
//! project or another such thing.

use crate::sql::SqlMigration;

pub(crate) const MIGRATION: SqlMigration = SqlMigration {
    name: "m20261121_000027_resources",
    up: "
-- What the foreign key of resources refers to: a project that moves takes along what is below it.
ALTER TABLE projects ADD CONSTRAINT projects_id_account_id_organization_id_key
    UNIQUE (id, account_id, organization_id);

CREATE TABLE resources (
    id              uuid         NOT NULL CONSTRAINT resources_pkey PRIMARY KEY,
    type            varchar(63)  NOT NULL,
    external_id     varchar(256) NOT NULL,
    organization_id uuid         NOT NULL CONSTRAINT resources_organization_id_fkey
                                 REFERENCES organizations (id) ON DELETE CASCADE,
    account_id      uuid,
    project_id      uuid,
    parent_id       uuid         CONSTRAINT resources_parent_id_fkey
                                 REFERENCES resources (id) ON DELETE CASCADE,
    -- Registered things above it, the topmost first, the parent last.
    ancestors       uuid[]       NOT NULL DEFAULT '{}',
    properties      jsonb        NOT NULL DEFAULT '{}',
    created_at      timestamptz  NOT NULL,
    updated_at      timestamptz  NOT NULL,
    version         bigint       NOT NULL DEFAULT 1,
    CONSTRAINT resources_type_external_id_key UNIQUE (type, external_id),
    CONSTRAINT resources_account_id_fkey FOREIGN KEY (account_id, organization_id)
        REFERENCES accounts (id, organization_id) ON UPDATE CASCADE ON DELETE CASCADE,
    CONSTRAINT resources_project_id_fkey FOREIGN KEY (project_id, account_id, organization_id)
        REFERENCES projects (id, account_id, organization_id) ON UPDATE CASCADE ON DELETE CASCADE,
    CONSTRAINT resources_type_check CHECK (type ~ '^[a-z][a-z0-9_-]{0,62}$'),
    CONSTRAINT resources_external_id_check CHECK (external_id <> ''),
    CONSTRAINT resources_place_check CHECK (project_id IS NULL OR account_id IS NOT NULL),
    CONSTRAINT resources_properties_check CHECK (jsonb_typeof(properties) = 'object'),
    CONSTRAINT resources_depth_check CHECK (cardinality(ancestors) <= 8),
    CONSTRAINT resources_ancestors_check CHECK (id <> ALL (ancestors)
        AND parent_id IS NOT DISTINCT FROM ancestors[cardinality(ancestors)])
);
CREATE INDEX resources_type_idx ON resources (type, id);
CREATE INDEX resources_organization_id_idx ON resources (organization_id, type, id);
CREATE INDEX resources_account_id_idx ON resources (account_id, type, id)
    WHERE account_id IS NOT NULL;
CREATE INDEX resources_project_id_idx ON resources (project_id, type, id)
    WHERE project_id IS NOT NULL;
CREATE INDEX resources_parent_id_idx ON resources (parent_id, type, id)
    WHERE parent_id IS NOT NULL;

ALTER TABLE resources ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY resources_tenant ON resources USING (
    (SELECT current_setting('app.scope', true)) = 'system'
    OR organization_id = ANY ((SELECT string_to_array(
        NULLIF(current_setting('app.organization_ids', true), ''), ',')::uuid[])::uuid[]));

CREATE TRIGGER resources_bump_insert AFTER INSERT ON resources
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION gatepost_bump_revision();
CREATE TRIGGER resources_bump_delete AFTER DELETE ON resources
    REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION gatepost_bump_revision();
CREATE TRIGGER resources_bump_update AFTER UPDATE ON resources
    REFERENCING OLD TABLE AS before NEW TABLE AS after FOR EACH STATEMENT
    EXECUTE FUNCTION gatepost_bump_revision_of('id, type, external_id, organization_id,
        account_id, project_id, parent_id, ancestors, properties');

-- Ids of applications may hold anything, so a payload has the hash of type and id. What moves
-- changes the path of all below it: then everything that is registered is to be forgotten.
CREATE FUNCTION gatepost_notify_registered() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER {pinned} AS $$
DECLARE
    named resources := OLD;
BEGIN
    IF TG_OP = 'UPDATE' AND (OLD.organization_id, OLD.account_id, OLD.project_id, OLD.ancestors)
        IS DISTINCT FROM (NEW.organization_id, NEW.account_id, NEW.project_id, NEW.ancestors) THEN
        PERFORM pg_notify('gatepost_changes', 'registrations');
        RETURN NULL;
    END IF;
    IF TG_OP = 'INSERT' THEN
        named := NEW;
    END IF;
    PERFORM pg_notify('gatepost_changes', 'registered ' || encode(
        sha256(convert_to(named.type || chr(31) || named.external_id, 'UTF8')), 'hex'));
    RETURN NULL;
END $$;
CREATE TRIGGER resources_notify AFTER INSERT OR UPDATE OR DELETE ON resources
    FOR EACH ROW EXECUTE FUNCTION gatepost_notify_registered();
",
    down: "
DROP TABLE resources;
DROP FUNCTION gatepost_notify_registered();
ALTER TABLE projects DROP CONSTRAINT projects_id_account_id_organization_id_key;
",
};
