//! Finding people, closing the accounts of those who stay away, and an administrator who stays.

use crate::sql::SqlMigration;

pub(crate) const MIGRATION: SqlMigration = SqlMigration {
    name: "m20261121_000019_people",
    up: "
ALTER TABLE users
    ADD COLUMN enabled_at timestamptz,
    ADD COLUMN dormancy_warned_at timestamptz;
-- The last sign of life; the program has the same expression.
CREATE INDEX users_last_active_idx ON users
    (GREATEST(last_seen_at, last_login_at, approved_at, enabled_at, created_at), id);
CREATE INDEX users_email_prefix_idx ON users (email_normalized text_pattern_ops);
CREATE INDEX users_username_prefix_idx ON users (username_normalized text_pattern_ops)
    WHERE username_normalized IS NOT NULL;
CREATE INDEX users_display_name_prefix_idx ON users (lower(display_name) text_pattern_ops)
    WHERE display_name IS NOT NULL;
-- For the numbers of each day: read without the table, and written at one end only.
CREATE INDEX audit_log_logins_idx ON audit_log (at, action)
    WHERE action IN ('session.opened', 'session.login_failed', 'user.registered');

-- The system keeps an active user whose role `admin` on it does not expire. One lock for all who
-- might take the last one away: who comes second sees what the first one left.
CREATE FUNCTION gatepost_keep_last_administrator() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER {pinned} AS $$
DECLARE
    scope text := COALESCE(current_setting('app.scope', true), '');
    administrator uuid;
    concerned boolean;
BEGIN
    PERFORM set_config('app.scope', 'system', true);
    SELECT id INTO administrator FROM roles
        WHERE key = 'admin' AND organization_id IS NULL AND 'system' = ANY (assignable_at);
    IF TG_TABLE_NAME = 'users' THEN
        concerned := EXISTS (SELECT FROM user_role_assignments
            WHERE user_id = OLD.id AND role_id = administrator AND expires_at IS NULL);
    ELSE
        concerned := OLD.role_id = administrator;
    END IF;
    IF concerned THEN
        PERFORM pg_advisory_xact_lock(hashtextextended('gatepost_last_administrator', 0));
        PERFORM 1 FROM user_role_assignments a
            JOIN users u ON u.id = a.user_id AND u.status = 'active'
            WHERE a.role_id = administrator AND a.resource_type = 'system' AND a.expires_at IS NULL;
        IF NOT FOUND THEN
            RAISE EXCEPTION USING ERRCODE = 'GP002', MESSAGE = 'last_administrator',
                TABLE = 'user_role_assignments',
                CONSTRAINT = 'user_role_assignments_last_administrator',
                DETAIL = 'The system would be left without an active administrator.';
        END IF;
    END IF;
    PERFORM set_config('app.scope', scope, true);
    RETURN NULL;
END $$;
CREATE TRIGGER user_role_assignments_last_administrator
    AFTER DELETE OR UPDATE ON user_role_assignments FOR EACH ROW
    WHEN (OLD.resource_type = 'system' AND OLD.user_id IS NOT NULL AND OLD.expires_at IS NULL)
    EXECUTE FUNCTION gatepost_keep_last_administrator();
CREATE TRIGGER users_last_administrator AFTER UPDATE OF status ON users FOR EACH ROW
    WHEN (OLD.status = 'active' AND NEW.status <> 'active')
    EXECUTE FUNCTION gatepost_keep_last_administrator();
",
    down: "
DROP TRIGGER users_last_administrator ON users;
DROP TRIGGER user_role_assignments_last_administrator ON user_role_assignments;
DROP FUNCTION gatepost_keep_last_administrator();
DROP INDEX audit_log_logins_idx;
DROP INDEX users_display_name_prefix_idx;
DROP INDEX users_username_prefix_idx;
DROP INDEX users_email_prefix_idx;
DROP INDEX users_last_active_idx;
ALTER TABLE users DROP COLUMN dormancy_warned_at, DROP COLUMN enabled_at;
",
};
