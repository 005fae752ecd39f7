//! Which primary the data comes from. A new one may lack what the one before had acknowledged, such
//! as a revocation: what was handed out before does not count any more.

use crate::sql::SqlMigration;

pub(crate) const MIGRATION: SqlMigration = SqlMigration {
    name: "m20261121_000030_lineage",
    up: "
-- The server that last took writes, as it names itself; unknown until the first connection.
CREATE TABLE lineage (
    id                smallint    NOT NULL DEFAULT 1 CONSTRAINT lineage_pkey PRIMARY KEY,
    system_identifier bigint,
    timeline          integer,
    session_epoch     bigint      NOT NULL DEFAULT 1,
    changed_at        timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT lineage_id_check CHECK (id = 1)
);
INSERT INTO lineage (id) VALUES (1);

CREATE FUNCTION gatepost_session_epoch() RETURNS bigint
LANGUAGE sql STABLE SECURITY DEFINER {pinned} AS $$
    SELECT session_epoch FROM lineage
$$;

-- Sessions of older epochs have ended. Constant for those that there are, so no row is rewritten.
ALTER TABLE sessions ADD COLUMN epoch bigint NOT NULL DEFAULT 1;
ALTER TABLE sessions ALTER COLUMN epoch SET DEFAULT gatepost_session_epoch();

-- Ends all sessions; for the owner, who knows that data was brought back from elsewhere.
CREATE FUNCTION gatepost_bump_epoch(reason text) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER {pinned} AS $$
DECLARE
    epoch bigint;
BEGIN
    UPDATE lineage SET session_epoch = session_epoch + 1, changed_at = clock_timestamp()
        RETURNING session_epoch INTO epoch;
    INSERT INTO audit_log (id, at, actor_type, action, target_type, outcome, details)
        VALUES (gen_random_uuid(), clock_timestamp(), 'program', 'sessions.epoch_bumped', 'system',
            'success', jsonb_build_object('reason', reason, 'epoch', epoch));
    PERFORM pg_notify('gatepost_changes', 'everything');
    RETURN epoch;
END $$;
REVOKE EXECUTE ON FUNCTION gatepost_bump_epoch(text) FROM PUBLIC;

-- Whether this server is another primary than the last. Whoever asks first writes it down.
CREATE FUNCTION gatepost_adopt_timeline() RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER {pinned} AS $$
DECLARE
    here bigint := (SELECT system_identifier FROM pg_control_system());
    now_on integer := ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::integer;
    last lineage%ROWTYPE;
BEGIN
    SELECT * INTO last FROM lineage;
    IF (last.system_identifier, last.timeline) IS NOT DISTINCT FROM (here, now_on) THEN
        RETURN false;
    END IF;
    SELECT * INTO last FROM lineage FOR UPDATE;
    IF (last.system_identifier, last.timeline) IS NOT DISTINCT FROM (here, now_on) THEN
        RETURN false;
    END IF;
    UPDATE lineage SET system_identifier = here, timeline = now_on, changed_at = clock_timestamp();
    IF last.timeline IS NULL THEN
        RETURN false;
    END IF;
    PERFORM gatepost_bump_epoch(format('new primary: timeline %s of server %s, before %s of %s',
        now_on, here, last.timeline, last.system_identifier));
    RETURN true;
END $$;
",
    down: "
-- They had ended, and nothing else would say so.
UPDATE sessions SET revoked_at = now(), revoke_reason = 'new_primary'
    WHERE revoked_at IS NULL AND epoch < gatepost_session_epoch();
DROP FUNCTION gatepost_adopt_timeline();
DROP FUNCTION gatepost_bump_epoch(text);
ALTER TABLE sessions DROP COLUMN epoch;
DROP FUNCTION gatepost_session_epoch();
-- Renamed first, so that it does not count as a loss: the next connection finds out what it says.
ALTER TABLE lineage RENAME TO lineage_gone;
DROP TABLE lineage_gone;
",
};
