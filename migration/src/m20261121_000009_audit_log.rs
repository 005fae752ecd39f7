//! Who did what. No foreign keys: an entry outlives what it speaks of.

use crate::sql::SqlMigration;

pub(crate) const MIGRATION: SqlMigration = SqlMigration {
    name: "m20261121_000009_audit_log",
    up: "
CREATE TABLE audit_log (
    id              uuid         NOT NULL CONSTRAINT audit_log_pkey PRIMARY KEY,
    seq             bigint       CONSTRAINT audit_log_seq_key UNIQUE,
    at              timestamptz  NOT NULL,
    actor_type      varchar(20)  NOT NULL,
    actor_id        uuid,
    actor_session   uuid,
    action          varchar(100) NOT NULL,
    target_type     varchar(63),
    target_id       text,
    organization_id uuid,
    request_id      varchar(128),
    ip              inet,
    outcome         varchar(20)  NOT NULL,
    details         jsonb        NOT NULL DEFAULT '{}',
    prev_hash       bytea,
    hash            bytea
);
CREATE INDEX audit_log_organization_id_idx ON audit_log (organization_id, at);
CREATE INDEX audit_log_target_idx ON audit_log (target_type, target_id);
CREATE INDEX audit_log_actor_id_idx ON audit_log (actor_id);
",
    down: "
DROP TABLE audit_log;
",
};
