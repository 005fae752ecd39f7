//! Every instance hears which revision of who may do what it knows of.

use crate::sql::SqlMigration;

pub(crate) const MIGRATION: SqlMigration = SqlMigration {
    name: "m20261121_000029_revision_notices",
    up: "
CREATE FUNCTION gatepost_notify_revision() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER {pinned} AS $$
BEGIN
    PERFORM pg_notify('gatepost_changes', 'revision ' || NEW.revision);
    RETURN NULL;
END $$;
-- Deferred: whoever hears of a revision has heard of all that its transaction changed.
CREATE CONSTRAINT TRIGGER authz_state_notify AFTER UPDATE ON authz_state
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION gatepost_notify_revision();
",
    down: "
DROP TRIGGER authz_state_notify ON authz_state;
DROP FUNCTION gatepost_notify_revision();
",
};
