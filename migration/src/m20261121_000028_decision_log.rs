//! What was decided, by day, so that old days are dropped and not deleted.

use crate::sql::SqlMigration;

pub(crate) const MIGRATION: SqlMigration = SqlMigration {
    name: "m20261121_000028_decision_log",
    up: "
CREATE TABLE decision_log (
    id         uuid        NOT NULL,
    at         timestamptz NOT NULL,
    source     text        NOT NULL,
    request_id text,
    allowed    boolean     NOT NULL,
    reasons    text[]      NOT NULL,
    policy     text,
    input      jsonb       NOT NULL,
    masked     text[]      NOT NULL,
    CONSTRAINT decision_log_pkey PRIMARY KEY (at, id)
) PARTITION BY RANGE (at);
-- Takes what has no day of its own, so that a late maintenance run loses nothing.
CREATE TABLE decision_log_default PARTITION OF decision_log DEFAULT;

-- Questions of all tenants stand here: for those who may read at the system.
ALTER TABLE decision_log ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY decision_log_system ON decision_log USING (
    (SELECT current_setting('app.scope', true)) = 'system');

CREATE FUNCTION gatepost_maintain_decisions(retain_days integer, at timestamptz DEFAULT now())
RETURNS integer LANGUAGE plpgsql SECURITY DEFINER {pinned}
SET timezone = 'UTC' SET lock_timeout = '1s' AS $$
DECLARE
    today timestamptz := date_trunc('day', gatepost_maintain_decisions.at);
    lower_bound timestamptz;
    upper_bound timestamptz;
    partition text;
    changed integer := 0;
BEGIN
    IF retain_days < 1 THEN
        RAISE EXCEPTION 'retain_days must be positive, it is %', retain_days
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    -- One run at a time: several instances call this at the same hour.
    PERFORM pg_advisory_xact_lock(hashtextextended('gatepost_maintain_decisions', 0));

    FOR day IN 0..2 LOOP
        lower_bound := today + make_interval(days => day);
        upper_bound := lower_bound + interval '1 day';
        partition := 'decision_log_' || to_char(lower_bound, 'YYYY_MM_DD');
        CONTINUE WHEN to_regclass(quote_ident(partition)) IS NOT NULL;
        -- As in gatepost_maintain_activity: attached, not created in place, and after the rows
        -- of the day have left the default partition.
        EXECUTE format('CREATE TABLE %I (LIKE decision_log INCLUDING DEFAULTS INCLUDING CONSTRAINTS)',
            partition);
        LOCK TABLE decision_log_default IN ACCESS EXCLUSIVE MODE;
        EXECUTE format('WITH moved AS (DELETE FROM decision_log_default
                WHERE at >= %L AND at < %L RETURNING *)
            INSERT INTO %I SELECT * FROM moved', lower_bound, upper_bound, partition);
        EXECUTE format('ALTER TABLE decision_log ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)',
            partition, lower_bound, upper_bound);
        changed := changed + 1;
    END LOOP;

    FOR partition IN
        SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
        WHERE i.inhparent = 'decision_log'::regclass
          AND c.relname ~ '^decision_log_[0-9]{4}_[0-9]{2}_[0-9]{2}$'
          AND to_date(right(c.relname, 10), 'YYYY_MM_DD') + interval '1 day'
              <= today - make_interval(days => retain_days)
    LOOP
        EXECUTE format('DROP TABLE %I', partition);
        changed := changed + 1;
    END LOOP;
    DELETE FROM decision_log_default d WHERE d.at < today - make_interval(days => retain_days);
    RETURN changed;
END $$;
REVOKE ALL ON FUNCTION gatepost_maintain_decisions(integer, timestamptz) FROM PUBLIC;
COMMENT ON FUNCTION gatepost_maintain_decisions(integer, timestamptz) IS
    'Makes the partitions of decision_log for today and the next two days and drops the days that
ended more than retain_days ago. Returns how many it made and dropped.';
",
    down: "
DROP FUNCTION gatepost_maintain_decisions(integer, timestamptz);
DROP TABLE decision_log;
",
};
