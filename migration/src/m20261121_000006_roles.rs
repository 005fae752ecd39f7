//! Named sets of permissions: the built-in ones, and those of one organization.

use crate::sql::SqlMigration;

pub(crate) const MIGRATION: SqlMigration = SqlMigration {
    name: "m20261121_000006_roles",
    up: "
CREATE TABLE roles (
    id              uuid        NOT NULL CONSTRAINT roles_pkey PRIMARY KEY,
    organization_id uuid        CONSTRAINT roles_organization_id_fkey
                                REFERENCES organizations (id) ON DELETE CASCADE,
    key             varchar(63) NOT NULL,
    name            varchar(80) NOT NULL,
    description     text        NOT NULL DEFAULT '',
    permissions     text[]      NOT NULL,
    assignable_at   text[]      NOT NULL,
    created_at      timestamptz NOT NULL,
    updated_at      timestamptz NOT NULL,
    version         bigint      NOT NULL DEFAULT 1,
    CONSTRAINT roles_organization_id_key_key UNIQUE (organization_id, key)
);
-- The key alone does not name a built-in role: `admin` at system level is another one than
-- `admin` below it.
CREATE UNIQUE INDEX roles_key_key ON roles (key, assignable_at) WHERE organization_id IS NULL;
",
    down: "
DROP TABLE roles;
",
};
