//! Getting an account back: links that undo a change of address, and accounts that wait for a
//! new password after "this was not me".

use crate::sql::SqlMigration;

pub(crate) const MIGRATION: SqlMigration = SqlMigration {
    name: "m20261121_000015_recovery",
    up: "
ALTER TABLE one_time_tokens
    DROP CONSTRAINT one_time_tokens_kind_check,
    ADD CONSTRAINT one_time_tokens_kind_check CHECK (kind IN ('email_verification', 'email_change',
        'email_change_cancel', 'password_reset', 'password_change', 'lockdown'));
ALTER TABLE users ADD COLUMN locked_down_at timestamptz;
",
    down: "
ALTER TABLE users DROP COLUMN locked_down_at;
DELETE FROM one_time_tokens WHERE kind = 'email_change_cancel';
ALTER TABLE one_time_tokens
    DROP CONSTRAINT one_time_tokens_kind_check,
    ADD CONSTRAINT one_time_tokens_kind_check CHECK (kind IN ('email_verification', 'email_change',
        'password_reset', 'password_change', 'lockdown'));
",
};
