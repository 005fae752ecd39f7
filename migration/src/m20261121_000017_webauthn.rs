//! Challenges of WebAuthn, and what keeps devices and credentials from being noted twice.

use crate::sql::SqlMigration;

pub(crate) const MIGRATION: SqlMigration = SqlMigration {
    name: "m20261121_000017_webauthn",
    up: "
CREATE TABLE webauthn_challenges (
    id             uuid        NOT NULL CONSTRAINT webauthn_challenges_pkey PRIMARY KEY,
    challenge_hash bytea       NOT NULL CONSTRAINT webauthn_challenges_challenge_hash_key UNIQUE,
    purpose        varchar(20) NOT NULL,
    user_id        uuid        CONSTRAINT webauthn_challenges_user_id_fkey
                               REFERENCES users (id) ON DELETE CASCADE,
    bound_to       uuid,
    state          bytea       NOT NULL,
    expires_at     timestamptz NOT NULL,
    consumed_at    timestamptz,
    created_at     timestamptz NOT NULL,
    CONSTRAINT webauthn_challenges_purpose_check
        CHECK (purpose IN ('enrol', 'login', 'step_up', 'passkey')),
    -- With a passkey alone nobody knows who asks; else a challenge is for one user in one login
    -- or session.
    CONSTRAINT webauthn_challenges_user_id_check
        CHECK ((user_id IS NULL) = (purpose = 'passkey') AND (bound_to IS NULL) = (user_id IS NULL))
);
CREATE INDEX webauthn_challenges_user_id_idx ON webauthn_challenges (user_id) WHERE user_id IS NOT NULL;
CREATE INDEX webauthn_challenges_expires_at_idx ON webauthn_challenges (expires_at);

-- A credential belongs to one user (WebAuthn, section 7.1, step 26).
CREATE UNIQUE INDEX mfa_factors_credential_id_key ON mfa_factors ((data ->> 'credential_id'))
    WHERE kind = 'webauthn';

-- Of parallel logins from a new device one finds it new.
CREATE UNIQUE INDEX device_fingerprints_seen_key ON device_fingerprints (user_id, fingerprint)
    WHERE token_hash IS NULL;
",
    down: "
DROP INDEX device_fingerprints_seen_key;
DROP INDEX mfa_factors_credential_id_key;
DROP TABLE webauthn_challenges;
",
};
