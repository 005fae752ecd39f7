//! How long each session lives without use: administrators' consoles for a shorter time than others.

use crate::sql::SqlMigration;

pub(crate) const MIGRATION: SqlMigration = SqlMigration {
    name: "m20261121_000021_session_idle",
    up: "
ALTER TABLE sessions ADD COLUMN idle_seconds integer NOT NULL DEFAULT 3600
    CONSTRAINT sessions_idle_seconds_check CHECK (idle_seconds > 0);
-- A session keeps the distance that its last use gave it.
UPDATE sessions SET idle_seconds =
    GREATEST(1, ceil(extract(epoch FROM idle_expires_at - last_used_at))::integer)
    WHERE revoked_at IS NULL;
",
    down: "
ALTER TABLE sessions DROP COLUMN idle_seconds;
",
};
