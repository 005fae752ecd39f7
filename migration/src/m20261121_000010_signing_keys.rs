//! The keys that sign access tokens.

use crate::sql::SqlMigration;

pub(crate) const MIGRATION: SqlMigration = SqlMigration {
    name: "m20261121_000010_signing_keys",
    up: "
CREATE TABLE signing_keys (
    kid          text        NOT NULL CONSTRAINT signing_keys_pkey PRIMARY KEY,
    algorithm    varchar(10) NOT NULL,
    private_key  bytea       NOT NULL,
    public_jwk   jsonb       NOT NULL,
    state        varchar(10) NOT NULL,
    created_at   timestamptz NOT NULL,
    activated_at timestamptz,
    retired_at   timestamptz,
    expires_at   timestamptz,
    CONSTRAINT signing_keys_state_check CHECK (state IN ('next', 'active', 'retired'))
);
-- Two instances that make keys at once cannot both win.
CREATE UNIQUE INDEX signing_keys_state_key ON signing_keys (algorithm, state)
    WHERE state IN ('next', 'active');
",
    down: "
DROP TABLE signing_keys;
",
};
