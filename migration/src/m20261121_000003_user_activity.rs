//! What happened to an account, by month, so that old months are dropped and not deleted.

use crate::sql::SqlMigration;

pub(crate) const MIGRATION: SqlMigration = SqlMigration {
    name: "m20261121_000003_user_activity",
    up: "
CREATE TABLE user_activity (
    id         uuid         NOT NULL,
    user_id    uuid         NOT NULL CONSTRAINT user_activity_user_id_fkey
                            REFERENCES users (id) ON DELETE CASCADE,
    session_id uuid,
    kind       varchar(50)  NOT NULL,
    ip         inet,
    user_agent text,
    request_id varchar(128),
    details    jsonb        NOT NULL DEFAULT '{}',
    created_at timestamptz  NOT NULL,
    CONSTRAINT user_activity_pkey PRIMARY KEY (id, created_at)
) PARTITION BY RANGE (created_at);
CREATE INDEX user_activity_user_id_idx ON user_activity (user_id, id);
-- Takes what has no month of its own, so that a late maintenance run loses nothing.
CREATE TABLE user_activity_default PARTITION OF user_activity DEFAULT;

CREATE FUNCTION gatepost_maintain_activity(retain_days integer, at timestamptz DEFAULT now())
RETURNS integer LANGUAGE plpgsql SECURITY DEFINER {pinned}
SET timezone = 'UTC' SET lock_timeout = '1s' AS $$
DECLARE
    this_month timestamptz := date_trunc('month', at);
    lower_bound timestamptz;
    upper_bound timestamptz;
    partition text;
    changed integer := 0;
BEGIN
    IF retain_days < 0 THEN
        RAISE EXCEPTION 'retain_days must not be negative, it is %', retain_days
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    -- One run at a time: several instances call this at the same hour.
    PERFORM pg_advisory_xact_lock(hashtextextended('gatepost_maintain_activity', 0));

    FOR month IN 0..2 LOOP
        lower_bound := this_month + make_interval(months => month);
        upper_bound := lower_bound + interval '1 month';
        partition := 'user_activity_' || to_char(lower_bound, 'YYYY_MM');
        CONTINUE WHEN to_regclass(quote_ident(partition)) IS NOT NULL;
        -- Attaching locks the parent less than creating in place would. The rows that the
        -- default partition holds for the month must leave it first, and none may follow. Logins
        -- queue behind this lock, so it is not waited for long: the next run tries again.
        EXECUTE format('CREATE TABLE %I (LIKE user_activity INCLUDING DEFAULTS INCLUDING CONSTRAINTS)',
            partition);
        LOCK TABLE user_activity_default IN ACCESS EXCLUSIVE MODE;
        EXECUTE format('WITH moved AS (DELETE FROM user_activity_default
                WHERE created_at >= %L AND created_at < %L RETURNING *)
            INSERT INTO %I SELECT * FROM moved', lower_bound, upper_bound, partition);
        EXECUTE format('ALTER TABLE user_activity ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)',
            partition, lower_bound, upper_bound);
        changed := changed + 1;
    END LOOP;

    IF retain_days > 0 THEN
        FOR partition IN
            SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
            WHERE i.inhparent = 'user_activity'::regclass
              AND c.relname ~ '^user_activity_[0-9]{4}_[0-9]{2}$'
              AND to_date(right(c.relname, 7), 'YYYY_MM') + interval '1 month'
                  <= at - make_interval(days => retain_days)
        LOOP
            EXECUTE format('DROP TABLE %I', partition);
            changed := changed + 1;
        END LOOP;
        DELETE FROM user_activity_default WHERE created_at < at - make_interval(days => retain_days);
    END IF;
    RETURN changed;
END $$;
REVOKE ALL ON FUNCTION gatepost_maintain_activity(integer, timestamptz) FROM PUBLIC;
COMMENT ON FUNCTION gatepost_maintain_activity(integer, timestamptz) IS
    'Makes the partitions of user_activity for this and the next two months and drops the months
that ended more than retain_days ago (0: none). Returns how many it made and dropped.';
",
    down: "
DROP FUNCTION gatepost_maintain_activity(integer, timestamptz);
DROP TABLE user_activity;
",
};
