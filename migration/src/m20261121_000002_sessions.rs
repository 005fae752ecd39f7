//! Where people are logged in, and on which devices.

use crate::sql::SqlMigration;

pub(crate) const MIGRATION: SqlMigration = SqlMigration {
    name: "m20261121_000002_sessions",
    up: "
CREATE TABLE device_fingerprints (
    id            uuid         NOT NULL CONSTRAINT device_fingerprints_pkey PRIMARY KEY,
    user_id       uuid         NOT NULL CONSTRAINT device_fingerprints_user_id_fkey
                               REFERENCES users (id) ON DELETE CASCADE,
    token_hash    bytea        CONSTRAINT device_fingerprints_token_hash_key UNIQUE,
    fingerprint   text,
    name          varchar(100),
    trusted_until timestamptz,
    first_seen_at timestamptz  NOT NULL,
    last_seen_at  timestamptz  NOT NULL,
    ip            inet,
    user_agent    text,
    revoked_at    timestamptz
);
CREATE INDEX device_fingerprints_user_id_idx ON device_fingerprints (user_id, last_seen_at);

CREATE TABLE sessions (
    id              uuid        NOT NULL CONSTRAINT sessions_pkey PRIMARY KEY,
    user_id         uuid        NOT NULL CONSTRAINT sessions_user_id_fkey
                                REFERENCES users (id) ON DELETE CASCADE,
    created_at      timestamptz NOT NULL,
    last_used_at    timestamptz NOT NULL,
    idle_expires_at timestamptz NOT NULL,
    expires_at      timestamptz NOT NULL,
    auth_time       timestamptz NOT NULL,
    amr             text[]      NOT NULL,
    ip              inet,
    user_agent      text,
    device_id       uuid        CONSTRAINT sessions_device_id_fkey
                                REFERENCES device_fingerprints (id) ON DELETE SET NULL,
    remember        boolean     NOT NULL DEFAULT false,
    cookie_hash     bytea       CONSTRAINT sessions_cookie_hash_key UNIQUE,
    revoked_at      timestamptz,
    revoke_reason   varchar(50)
);
CREATE INDEX sessions_user_id_idx ON sessions (user_id, id);
CREATE INDEX sessions_device_id_idx ON sessions (device_id) WHERE device_id IS NOT NULL;
CREATE INDEX sessions_expires_at_idx ON sessions (expires_at);

CREATE TABLE refresh_tokens (
    id          uuid        NOT NULL CONSTRAINT refresh_tokens_pkey PRIMARY KEY,
    session_id  uuid        NOT NULL CONSTRAINT refresh_tokens_session_id_fkey
                            REFERENCES sessions (id) ON DELETE CASCADE,
    user_id     uuid        NOT NULL CONSTRAINT refresh_tokens_user_id_fkey
                            REFERENCES users (id) ON DELETE CASCADE,
    token_hash  bytea       NOT NULL CONSTRAINT refresh_tokens_token_hash_key UNIQUE,
    nonce       bytea       NOT NULL,
    issued_at   timestamptz NOT NULL,
    used_at     timestamptz,
    replaced_by uuid
);
CREATE INDEX refresh_tokens_session_id_idx ON refresh_tokens (session_id);
CREATE INDEX refresh_tokens_user_id_idx ON refresh_tokens (user_id);
-- A session has one live token; a second one would be a fork that reuse detection cannot see.
CREATE UNIQUE INDEX refresh_tokens_live_key ON refresh_tokens (session_id) WHERE used_at IS NULL;
",
    down: "
DROP TABLE refresh_tokens;
DROP TABLE sessions;
DROP TABLE device_fingerprints;
",
};
