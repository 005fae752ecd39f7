//! Names of service accounts are compared without regard to case, and caches hear of names.

use crate::sql::SqlMigration;

pub(crate) const MIGRATION: SqlMigration = SqlMigration {
    name: "m20261121_000018_machines",
    up: "
ALTER TABLE service_accounts ADD COLUMN name_normalized text;
UPDATE service_accounts SET name_normalized = lower(name);
ALTER TABLE service_accounts ALTER COLUMN name_normalized SET NOT NULL;
ALTER TABLE service_accounts DROP CONSTRAINT service_accounts_name_key;
ALTER TABLE service_accounts ADD CONSTRAINT service_accounts_name_key UNIQUE (name_normalized);

-- Who may act is told with their names, so a change of those is a change, too.
DROP TRIGGER users_notify_update ON users;
CREATE TRIGGER users_notify_update AFTER UPDATE ON users FOR EACH ROW
    WHEN ((OLD.status, OLD.password_must_change, OLD.attributes, OLD.email, OLD.username,
            OLD.email_verified_at)
        IS DISTINCT FROM (NEW.status, NEW.password_must_change, NEW.attributes, NEW.email,
            NEW.username, NEW.email_verified_at))
    EXECUTE FUNCTION gatepost_notify_change('user');
DROP TRIGGER service_accounts_notify_update ON service_accounts;
CREATE TRIGGER service_accounts_notify_update AFTER UPDATE ON service_accounts FOR EACH ROW
    WHEN ((OLD.status, OLD.name) IS DISTINCT FROM (NEW.status, NEW.name))
    EXECUTE FUNCTION gatepost_notify_service_account();
",
    down: "
DROP TRIGGER service_accounts_notify_update ON service_accounts;
CREATE TRIGGER service_accounts_notify_update AFTER UPDATE ON service_accounts FOR EACH ROW
    WHEN (OLD.status IS DISTINCT FROM NEW.status)
    EXECUTE FUNCTION gatepost_notify_service_account();
DROP TRIGGER users_notify_update ON users;
CREATE TRIGGER users_notify_update AFTER UPDATE ON users FOR EACH ROW
    WHEN ((OLD.status, OLD.password_must_change, OLD.attributes)
        IS DISTINCT FROM (NEW.status, NEW.password_must_change, NEW.attributes))
    EXECUTE FUNCTION gatepost_notify_change('user');

ALTER TABLE service_accounts DROP CONSTRAINT service_accounts_name_key;
ALTER TABLE service_accounts DROP COLUMN name_normalized;
ALTER TABLE service_accounts ADD CONSTRAINT service_accounts_name_key UNIQUE (name);
",
};
