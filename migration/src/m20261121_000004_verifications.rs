//! Things that count once: codes of second factors and links in mails.

use crate::sql::SqlMigration;

pub(crate) const MIGRATION: SqlMigration = SqlMigration {
    name: "m20261121_000004_verifications",
    up: "
CREATE TABLE mfa_verifications (
    id          uuid        NOT NULL CONSTRAINT mfa_verifications_pkey PRIMARY KEY,
    user_id     uuid        NOT NULL CONSTRAINT mfa_verifications_user_id_fkey
                            REFERENCES users (id) ON DELETE CASCADE,
    purpose     varchar(20) NOT NULL,
    factor      varchar(20) NOT NULL,
    code_hash   bytea,
    attempts    integer     NOT NULL DEFAULT 0,
    expires_at  timestamptz NOT NULL,
    consumed_at timestamptz,
    created_at  timestamptz NOT NULL,
    CONSTRAINT mfa_verifications_purpose_check CHECK (purpose IN ('login', 'step_up', 'enrol')),
    CONSTRAINT mfa_verifications_attempts_check CHECK (attempts >= 0)
);
CREATE INDEX mfa_verifications_user_id_idx ON mfa_verifications (user_id, purpose);
CREATE INDEX mfa_verifications_expires_at_idx ON mfa_verifications (expires_at);

CREATE TABLE one_time_tokens (
    id          uuid        NOT NULL CONSTRAINT one_time_tokens_pkey PRIMARY KEY,
    kind        varchar(30) NOT NULL,
    user_id     uuid        NOT NULL CONSTRAINT one_time_tokens_user_id_fkey
                            REFERENCES users (id) ON DELETE CASCADE,
    token_hash  bytea       NOT NULL CONSTRAINT one_time_tokens_token_hash_key UNIQUE,
    payload     jsonb       NOT NULL DEFAULT '{}',
    expires_at  timestamptz NOT NULL,
    consumed_at timestamptz,
    created_at  timestamptz NOT NULL,
    CONSTRAINT one_time_tokens_kind_check CHECK (kind IN ('email_verification', 'email_change',
        'password_reset', 'password_change', 'lockdown'))
);
CREATE INDEX one_time_tokens_user_id_idx ON one_time_tokens (user_id, kind);
CREATE INDEX one_time_tokens_expires_at_idx ON one_time_tokens (expires_at);
",
    down: "
DROP TABLE one_time_tokens;
DROP TABLE mfa_verifications;
",
};
