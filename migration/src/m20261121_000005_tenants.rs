//! Organizations, their accounts and the accounts' projects.

use crate::sql::SqlMigration;

pub(crate) const MIGRATION: SqlMigration = SqlMigration {
    name: "m20261121_000005_tenants",
    up: "
CREATE TABLE organizations (
    id              uuid        NOT NULL CONSTRAINT organizations_pkey PRIMARY KEY,
    name            varchar(80) NOT NULL,
    name_normalized text        NOT NULL CONSTRAINT organizations_name_key UNIQUE,
    slug            varchar(80) NOT NULL CONSTRAINT organizations_slug_key UNIQUE,
    settings        jsonb       NOT NULL DEFAULT '{}',
    created_at      timestamptz NOT NULL,
    updated_at      timestamptz NOT NULL,
    version         bigint      NOT NULL DEFAULT 1,
    CONSTRAINT organizations_settings_check CHECK (jsonb_typeof(settings) = 'object')
);

CREATE TABLE accounts (
    id              uuid        NOT NULL CONSTRAINT accounts_pkey PRIMARY KEY,
    organization_id uuid        NOT NULL CONSTRAINT accounts_organization_id_fkey
                                REFERENCES organizations (id) ON DELETE RESTRICT,
    name            varchar(80) NOT NULL,
    name_normalized text        NOT NULL,
    created_at      timestamptz NOT NULL,
    updated_at      timestamptz NOT NULL,
    version         bigint      NOT NULL DEFAULT 1,
    CONSTRAINT accounts_organization_id_name_key UNIQUE (organization_id, name_normalized),
    -- What the foreign key of projects refers to.
    CONSTRAINT accounts_id_organization_id_key UNIQUE (id, organization_id)
);

CREATE TABLE projects (
    id              uuid        NOT NULL CONSTRAINT projects_pkey PRIMARY KEY,
    organization_id uuid        NOT NULL,
    account_id      uuid        NOT NULL,
    owner_id        uuid        CONSTRAINT projects_owner_id_fkey
                                REFERENCES users (id) ON DELETE SET NULL,
    name            varchar(80) NOT NULL,
    name_normalized text        NOT NULL,
    created_at      timestamptz NOT NULL,
    updated_at      timestamptz NOT NULL,
    version         bigint      NOT NULL DEFAULT 1,
    CONSTRAINT projects_account_id_name_key UNIQUE (account_id, name_normalized),
    -- Both columns, so that a project cannot claim another tenant than its account's.
    CONSTRAINT projects_account_id_fkey FOREIGN KEY (account_id, organization_id)
        REFERENCES accounts (id, organization_id) ON DELETE RESTRICT
);
CREATE INDEX projects_organization_id_idx ON projects (organization_id, id);
CREATE INDEX projects_owner_id_idx ON projects (owner_id) WHERE owner_id IS NOT NULL;
",
    down: "
DROP TABLE projects;
DROP TABLE accounts;
DROP TABLE organizations;
",
};
