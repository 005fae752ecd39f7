//! What the caches of all instances are told: channel `gatepost_changes`, payload `<kind> <id>`.

use crate::sql::SqlMigration;

pub(crate) const MIGRATION: SqlMigration = SqlMigration {
    name: "m20261121_000013_notifications",
    up: "
-- Takes the words before the id.
CREATE FUNCTION gatepost_notify_change() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER {pinned} AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        PERFORM pg_notify('gatepost_changes', TG_ARGV[0] || ' ' || OLD.id);
    ELSE
        PERFORM pg_notify('gatepost_changes', TG_ARGV[0] || ' ' || NEW.id);
    END IF;
    RETURN NULL;
END $$;

CREATE FUNCTION gatepost_notify_keys() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER {pinned} AS $$
BEGIN
    PERFORM pg_notify('gatepost_changes', 'keys');
    RETURN NULL;
END $$;

CREATE FUNCTION gatepost_notify_grants() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER {pinned} AS $$
BEGIN
    IF TG_OP <> 'INSERT' THEN
        PERFORM pg_notify('gatepost_changes', 'grants ' || OLD.principal_type || ' '
            || COALESCE(OLD.user_id, OLD.service_account_id, OLD.group_id));
    END IF;
    IF TG_OP <> 'DELETE' THEN
        PERFORM pg_notify('gatepost_changes', 'grants ' || NEW.principal_type || ' '
            || COALESCE(NEW.user_id, NEW.service_account_id, NEW.group_id));
    END IF;
    RETURN NULL;
END $$;

-- Calls of a service account are known by its keys.
CREATE FUNCTION gatepost_notify_service_account() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER {pinned} AS $$
BEGIN
    PERFORM pg_notify('gatepost_changes', 'grants service_account ' || NEW.id);
    PERFORM pg_notify('gatepost_changes', 'api_key ' || id)
        FROM api_keys WHERE service_account_id = NEW.id;
    RETURN NULL;
END $$;

-- Being used moves last_used_at and idle_expires_at only, and is nobody else's business.
CREATE TRIGGER sessions_notify_update AFTER UPDATE ON sessions FOR EACH ROW
    WHEN ((OLD.revoked_at, OLD.expires_at, OLD.auth_time, OLD.amr)
        IS DISTINCT FROM (NEW.revoked_at, NEW.expires_at, NEW.auth_time, NEW.amr))
    EXECUTE FUNCTION gatepost_notify_change('session');
CREATE TRIGGER sessions_notify_delete AFTER DELETE ON sessions FOR EACH ROW
    EXECUTE FUNCTION gatepost_notify_change('session');

CREATE TRIGGER users_notify_update AFTER UPDATE ON users FOR EACH ROW
    WHEN ((OLD.status, OLD.password_must_change, OLD.attributes)
        IS DISTINCT FROM (NEW.status, NEW.password_must_change, NEW.attributes))
    EXECUTE FUNCTION gatepost_notify_change('user');
CREATE TRIGGER users_notify_delete AFTER DELETE ON users FOR EACH ROW
    EXECUTE FUNCTION gatepost_notify_change('user');

CREATE TRIGGER user_role_assignments_notify AFTER INSERT OR UPDATE OR DELETE
    ON user_role_assignments FOR EACH ROW EXECUTE FUNCTION gatepost_notify_grants();

CREATE TRIGGER roles_notify_update AFTER UPDATE ON roles FOR EACH ROW
    WHEN ((OLD.organization_id, OLD.key, OLD.permissions, OLD.assignable_at)
        IS DISTINCT FROM (NEW.organization_id, NEW.key, NEW.permissions, NEW.assignable_at))
    EXECUTE FUNCTION gatepost_notify_change('role');
CREATE TRIGGER roles_notify_delete AFTER DELETE ON roles FOR EACH ROW
    EXECUTE FUNCTION gatepost_notify_change('role');

CREATE TRIGGER organizations_notify_delete AFTER DELETE ON organizations FOR EACH ROW
    EXECUTE FUNCTION gatepost_notify_change('resource organization');
CREATE TRIGGER accounts_notify_update AFTER UPDATE ON accounts FOR EACH ROW
    WHEN (OLD.organization_id IS DISTINCT FROM NEW.organization_id)
    EXECUTE FUNCTION gatepost_notify_change('resource account');
CREATE TRIGGER accounts_notify_delete AFTER DELETE ON accounts FOR EACH ROW
    EXECUTE FUNCTION gatepost_notify_change('resource account');
CREATE TRIGGER projects_notify_update AFTER UPDATE ON projects FOR EACH ROW
    WHEN ((OLD.organization_id, OLD.account_id, OLD.owner_id)
        IS DISTINCT FROM (NEW.organization_id, NEW.account_id, NEW.owner_id))
    EXECUTE FUNCTION gatepost_notify_change('resource project');
CREATE TRIGGER projects_notify_delete AFTER DELETE ON projects FOR EACH ROW
    EXECUTE FUNCTION gatepost_notify_change('resource project');

CREATE TRIGGER api_keys_notify_update AFTER UPDATE ON api_keys FOR EACH ROW
    WHEN ((OLD.permissions, OLD.expires_at, OLD.revoked_at, OLD.key_hash)
        IS DISTINCT FROM (NEW.permissions, NEW.expires_at, NEW.revoked_at, NEW.key_hash))
    EXECUTE FUNCTION gatepost_notify_change('api_key');
CREATE TRIGGER api_keys_notify_delete AFTER DELETE ON api_keys FOR EACH ROW
    EXECUTE FUNCTION gatepost_notify_change('api_key');
CREATE TRIGGER service_accounts_notify_update AFTER UPDATE ON service_accounts FOR EACH ROW
    WHEN (OLD.status IS DISTINCT FROM NEW.status)
    EXECUTE FUNCTION gatepost_notify_service_account();

CREATE TRIGGER signing_keys_notify AFTER INSERT OR UPDATE OR DELETE ON signing_keys
    FOR EACH STATEMENT EXECUTE FUNCTION gatepost_notify_keys();
",
    down: "
DROP TRIGGER signing_keys_notify ON signing_keys;
DROP TRIGGER service_accounts_notify_update ON service_accounts;
DROP TRIGGER api_keys_notify_delete ON api_keys;
DROP TRIGGER api_keys_notify_update ON api_keys;
DROP TRIGGER projects_notify_delete ON projects;
DROP TRIGGER projects_notify_update ON projects;
DROP TRIGGER accounts_notify_delete ON accounts;
DROP TRIGGER accounts_notify_update ON accounts;
DROP TRIGGER organizations_notify_delete ON organizations;
DROP TRIGGER roles_notify_delete ON roles;
DROP TRIGGER roles_notify_update ON roles;
DROP TRIGGER user_role_assignments_notify ON user_role_assignments;
DROP TRIGGER users_notify_delete ON users;
DROP TRIGGER users_notify_update ON users;
DROP TRIGGER sessions_notify_delete ON sessions;
DROP TRIGGER sessions_notify_update ON sessions;
DROP FUNCTION gatepost_notify_service_account();
DROP FUNCTION gatepost_notify_grants();
DROP FUNCTION gatepost_notify_keys();
DROP FUNCTION gatepost_notify_change();
",
};
