//! The chain of the audit log: what was written is given its place and its hash after the commit,
//! in a table of its own, so that no entry is ever changed.
//!
//! An entry waits in `audit_pending` from its insertion to its seal. The triggers fill and empty
//! that table with the owner's rights: who may add entries and seals cannot take one out of the
//! queue without sealing it, cannot leave a number out, and cannot begin a second chain.

use crate::sql::SqlMigration;

pub(crate) const MIGRATION: SqlMigration = SqlMigration {
    name: "m20261121_000020_audit_seals",
    up: "
-- Nothing ever filled them.
ALTER TABLE audit_log DROP COLUMN seq, DROP COLUMN prev_hash, DROP COLUMN hash;

CREATE TABLE audit_seals (
    seq       bigint      NOT NULL CONSTRAINT audit_seals_pkey PRIMARY KEY,
    entry_id  uuid        NOT NULL CONSTRAINT audit_seals_entry_id_key UNIQUE,
    prev_hash bytea       NOT NULL,
    hash      bytea       NOT NULL,
    sealed_at timestamptz NOT NULL,
    CONSTRAINT audit_seals_hash_check CHECK (octet_length(prev_hash) = 32 AND octet_length(hash) = 32)
);
CREATE TABLE audit_pending (
    entry_id uuid NOT NULL CONSTRAINT audit_pending_pkey PRIMARY KEY
);
INSERT INTO audit_pending (entry_id) SELECT id FROM audit_log;

CREATE FUNCTION gatepost_audit_await_seal() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER {pinned} AS $$
BEGIN
    INSERT INTO audit_pending (entry_id) SELECT id FROM entries;
    RETURN NULL;
END $$;
CREATE TRIGGER audit_log_await_seal AFTER INSERT ON audit_log REFERENCING NEW TABLE AS entries
    FOR EACH STATEMENT EXECUTE FUNCTION gatepost_audit_await_seal();

CREATE FUNCTION gatepost_audit_check_seal() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER {pinned} AS $$
DECLARE
    last_seq bigint;
    last_hash bytea;
BEGIN
    SELECT seq, hash INTO last_seq, last_hash FROM audit_seals ORDER BY seq DESC LIMIT 1;
    IF NEW.seq <> coalesce(last_seq, 0) + 1
       OR NEW.prev_hash <> coalesce(last_hash, decode(repeat('00', 32), 'hex')) THEN
        RAISE EXCEPTION 'seal % does not follow seal %', NEW.seq, coalesce(last_seq, 0)
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    DELETE FROM audit_pending WHERE entry_id = NEW.entry_id;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'audit entry % does not wait for a seal', NEW.entry_id
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER audit_seals_check BEFORE INSERT ON audit_seals
    FOR EACH ROW EXECUTE FUNCTION gatepost_audit_check_seal();

-- For the owner too: an accident, or a program with one role for everything. Whoever means it has
-- to switch the trigger off, and the chain shows what was done then.
CREATE FUNCTION gatepost_audit_refuse_change() RETURNS trigger LANGUAGE plpgsql {pinned} AS $$
BEGIN
    RAISE EXCEPTION '% is only ever added to', TG_TABLE_NAME USING ERRCODE = 'insufficient_privilege';
END $$;
CREATE TRIGGER audit_log_refuse_change BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_log
    FOR EACH STATEMENT EXECUTE FUNCTION gatepost_audit_refuse_change();
CREATE TRIGGER audit_seals_refuse_change BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_seals
    FOR EACH STATEMENT EXECUTE FUNCTION gatepost_audit_refuse_change();
",
    // A new table, because columns that come back stand last.
    down: "
CREATE TABLE audit_log_unsealed (
    id              uuid         NOT NULL,
    seq             bigint,
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
INSERT INTO audit_log_unsealed
    SELECT l.id, s.seq, l.at, l.actor_type, l.actor_id, l.actor_session, l.action, l.target_type,
        l.target_id, l.organization_id, l.request_id, l.ip, l.outcome, l.details, s.prev_hash, s.hash
    FROM audit_log l LEFT JOIN audit_seals s ON s.entry_id = l.id;
DROP TABLE audit_log;
DROP TABLE audit_seals;
DROP TABLE audit_pending;
DROP FUNCTION gatepost_audit_refuse_change();
DROP FUNCTION gatepost_audit_check_seal();
DROP FUNCTION gatepost_audit_await_seal();
ALTER TABLE audit_log_unsealed RENAME TO audit_log;
ALTER TABLE audit_log
    ADD CONSTRAINT audit_log_pkey PRIMARY KEY (id),
    ADD CONSTRAINT audit_log_seq_key UNIQUE (seq);
CREATE INDEX audit_log_organization_id_idx ON audit_log (organization_id, at);
CREATE INDEX audit_log_target_idx ON audit_log (target_type, target_id);
CREATE INDEX audit_log_actor_id_idx ON audit_log (actor_id);
CREATE INDEX audit_log_logins_idx ON audit_log (at, action)
    WHERE action IN ('session.opened', 'session.login_failed', 'user.registered');
",
};
