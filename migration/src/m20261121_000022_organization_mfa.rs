//! Organizations that ask everyone who holds a role in them for a second factor.

use crate::sql::SqlMigration;

pub(crate) const MIGRATION: SqlMigration = SqlMigration {
    name: "m20261121_000022_organization_mfa",
    up: "
-- A login looks at every tenant that its user belongs to, and may see the rows of none.
CREATE FUNCTION gatepost_organization_requires_mfa(person uuid, instant timestamptz)
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
REVOKE EXECUTE ON FUNCTION gatepost_organization_requires_mfa(uuid, timestamptz) FROM PUBLIC;
",
    down: "
DROP FUNCTION gatepost_organization_requires_mfa(uuid, timestamptz);
",
};
