//! Second factors, the codes that stand in for them, and logins that wait for one.

use crate::sql::SqlMigration;

pub(crate) const MIGRATION: SqlMigration = SqlMigration {
    name: "m20261121_000016_mfa",
    up: "
CREATE TABLE mfa_factors (
    id              uuid        NOT NULL CONSTRAINT mfa_factors_pkey PRIMARY KEY,
    user_id         uuid        NOT NULL CONSTRAINT mfa_factors_user_id_fkey
                                REFERENCES users (id) ON DELETE CASCADE,
    kind            varchar(20) NOT NULL,
    label           varchar(100),
    secret          bytea,
    data            jsonb       NOT NULL DEFAULT '{}',
    confirmed_at    timestamptz,
    last_used_at    timestamptz,
    last_used_step  bigint,
    sign_count      bigint      NOT NULL DEFAULT 0,
    failed_attempts integer     NOT NULL DEFAULT 0,
    locked_at       timestamptz,
    created_at      timestamptz NOT NULL,
    CONSTRAINT mfa_factors_kind_check CHECK (kind IN ('totp', 'webauthn', 'email')),
    CONSTRAINT mfa_factors_secret_check CHECK ((kind = 'totp') = (secret IS NOT NULL)),
    CONSTRAINT mfa_factors_sign_count_check CHECK (sign_count >= 0),
    CONSTRAINT mfa_factors_failed_attempts_check CHECK (failed_attempts >= 0)
);
CREATE INDEX mfa_factors_user_id_idx ON mfa_factors (user_id);
-- A second one would give its holder another set of tries.
CREATE UNIQUE INDEX mfa_factors_single_key ON mfa_factors (user_id, kind) WHERE kind <> 'webauthn';

CREATE TABLE recovery_codes (
    id         uuid         NOT NULL CONSTRAINT recovery_codes_pkey PRIMARY KEY,
    user_id    uuid         NOT NULL CONSTRAINT recovery_codes_user_id_fkey
                            REFERENCES users (id) ON DELETE CASCADE,
    number     smallint     NOT NULL,
    code_hash  varchar(255) NOT NULL,
    used_at    timestamptz,
    created_at timestamptz  NOT NULL,
    CONSTRAINT recovery_codes_number_key UNIQUE (user_id, number),
    CONSTRAINT recovery_codes_number_check CHECK (number BETWEEN 0 AND 9)
);

-- A pending login is open to every factor; a challenge inside a session belongs to that session.
ALTER TABLE mfa_verifications
    ALTER COLUMN factor DROP NOT NULL,
    ADD COLUMN token_hash bytea CONSTRAINT mfa_verifications_token_hash_key UNIQUE,
    ADD COLUMN session_id uuid CONSTRAINT mfa_verifications_session_id_fkey
        REFERENCES sessions (id) ON DELETE CASCADE,
    ADD COLUMN data jsonb NOT NULL DEFAULT '{}';
CREATE INDEX mfa_verifications_session_id_idx ON mfa_verifications (session_id)
    WHERE session_id IS NOT NULL;

-- What the proof of `auth_time` was given with.
ALTER TABLE sessions
    ADD COLUMN auth_factor varchar(20) NOT NULL DEFAULT 'password',
    ADD CONSTRAINT sessions_auth_factor_check
        CHECK (auth_factor IN ('password', 'email', 'totp', 'webauthn', 'recovery_code'));
DROP TRIGGER sessions_notify_update ON sessions;
CREATE TRIGGER sessions_notify_update AFTER UPDATE ON sessions FOR EACH ROW
    WHEN ((OLD.revoked_at, OLD.expires_at, OLD.auth_time, OLD.amr, OLD.auth_factor)
        IS DISTINCT FROM (NEW.revoked_at, NEW.expires_at, NEW.auth_time, NEW.amr, NEW.auth_factor))
    EXECUTE FUNCTION gatepost_notify_change('session');
",
    down: "
DROP TRIGGER sessions_notify_update ON sessions;
CREATE TRIGGER sessions_notify_update AFTER UPDATE ON sessions FOR EACH ROW
    WHEN ((OLD.revoked_at, OLD.expires_at, OLD.auth_time, OLD.amr)
        IS DISTINCT FROM (NEW.revoked_at, NEW.expires_at, NEW.auth_time, NEW.amr))
    EXECUTE FUNCTION gatepost_notify_change('session');
ALTER TABLE sessions DROP COLUMN auth_factor;
-- What is pending can be begun anew.
DELETE FROM mfa_verifications;
ALTER TABLE mfa_verifications
    DROP COLUMN data,
    DROP COLUMN session_id,
    DROP COLUMN token_hash,
    ALTER COLUMN factor SET NOT NULL;
DROP TABLE recovery_codes;
DROP TABLE mfa_factors;
",
};
