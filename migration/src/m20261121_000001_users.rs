//! People, and how often somebody failed to be one of them.

use crate::sql::SqlMigration;

pub(crate) const MIGRATION: SqlMigration = SqlMigration {
    name: "m20261121_000001_users",
    up: "
CREATE TABLE users (
    id                   uuid         NOT NULL CONSTRAINT users_pkey PRIMARY KEY,
    email                varchar(254) NOT NULL,
    email_normalized     varchar(254) NOT NULL CONSTRAINT users_email_key UNIQUE,
    username             varchar(50),
    username_normalized  varchar(50)  CONSTRAINT users_username_key UNIQUE,
    password_hash        varchar(255),
    display_name         varchar(100),
    profile_picture_url  varchar(500),
    locale               varchar(35),
    metadata             jsonb        NOT NULL DEFAULT '{}',
    attributes           jsonb        NOT NULL DEFAULT '{}',
    status               varchar(20)  NOT NULL,
    email_verified_at    timestamptz,
    password_must_change boolean      NOT NULL DEFAULT false,
    password_changed_at  timestamptz,
    last_login_at        timestamptz,
    last_seen_at         timestamptz,
    approved_by          uuid         CONSTRAINT users_approved_by_fkey
                                      REFERENCES users (id) ON DELETE SET NULL,
    approved_at          timestamptz,
    break_glass          boolean      NOT NULL DEFAULT false,
    created_at           timestamptz  NOT NULL,
    updated_at           timestamptz  NOT NULL,
    version              bigint       NOT NULL DEFAULT 1,
    CONSTRAINT users_status_check CHECK (status IN
        ('pending_verification', 'pending_approval', 'active', 'rejected', 'disabled')),
    CONSTRAINT users_username_check CHECK ((username IS NULL) = (username_normalized IS NULL)),
    CONSTRAINT users_metadata_check CHECK (jsonb_typeof(metadata) = 'object'),
    CONSTRAINT users_attributes_check CHECK (jsonb_typeof(attributes) = 'object')
);
CREATE INDEX users_status_idx ON users (status, id);
CREATE INDEX users_approved_by_idx ON users (approved_by) WHERE approved_by IS NOT NULL;

CREATE TABLE login_throttles (
    key               bytea       NOT NULL CONSTRAINT login_throttles_pkey PRIMARY KEY,
    failures          integer     NOT NULL DEFAULT 0,
    window_started_at timestamptz NOT NULL,
    window_count      integer     NOT NULL DEFAULT 0,
    locked_until      timestamptz,
    updated_at        timestamptz NOT NULL
);
CREATE INDEX login_throttles_updated_at_idx ON login_throttles (updated_at);
",
    down: "
DROP TABLE login_throttles;
DROP TABLE users;
",
};
