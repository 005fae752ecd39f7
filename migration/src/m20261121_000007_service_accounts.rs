//! Principals that are programs, and the keys by which programs call.

use crate::sql::SqlMigration;

pub(crate) const MIGRATION: SqlMigration = SqlMigration {
    name: "m20261121_000007_service_accounts",
    up: "
CREATE TABLE service_accounts (
    id          uuid        NOT NULL CONSTRAINT service_accounts_pkey PRIMARY KEY,
    name        varchar(80) NOT NULL CONSTRAINT service_accounts_name_key UNIQUE,
    description text        NOT NULL DEFAULT '',
    status      varchar(20) NOT NULL,
    created_by  uuid,
    created_at  timestamptz NOT NULL,
    updated_at  timestamptz NOT NULL,
    version     bigint      NOT NULL DEFAULT 1,
    CONSTRAINT service_accounts_status_check CHECK (status IN ('active', 'disabled'))
);

CREATE TABLE api_keys (
    id                 uuid        NOT NULL CONSTRAINT api_keys_pkey PRIMARY KEY,
    user_id            uuid        CONSTRAINT api_keys_user_id_fkey
                                   REFERENCES users (id) ON DELETE CASCADE,
    service_account_id uuid        CONSTRAINT api_keys_service_account_id_fkey
                                   REFERENCES service_accounts (id) ON DELETE CASCADE,
    name               varchar(80) NOT NULL,
    prefix             varchar(20) NOT NULL,
    key_hash           bytea       NOT NULL CONSTRAINT api_keys_key_hash_key UNIQUE,
    permissions        text[]      NOT NULL,
    expires_at         timestamptz,
    last_used_at       timestamptz,
    last_used_ip       inet,
    revoked_at         timestamptz,
    created_at         timestamptz NOT NULL,
    CONSTRAINT api_keys_owner_check CHECK (num_nonnulls(user_id, service_account_id) = 1)
);
CREATE INDEX api_keys_user_id_idx ON api_keys (user_id) WHERE user_id IS NOT NULL;
CREATE INDEX api_keys_service_account_id_idx ON api_keys (service_account_id)
    WHERE service_account_id IS NOT NULL;
",
    down: "
DROP TABLE api_keys;
DROP TABLE service_accounts;
",
};
