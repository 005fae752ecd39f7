//! The place of an audit entry in the chain. Written after the commit, and never changed.

use sea_orm::entity::prelude::*;

/// A row of `audit_seals`.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "audit_seals")]
pub struct Model {
    /// 1, 2, 3, ...: triggers let no number be left out.
    #[sea_orm(primary_key, auto_increment = false)]
    pub seq: i64,
    /// No foreign key: it would lock the entry.
    pub entry_id: Uuid,
    /// `hash` of the seal before; 32 zero bytes in the first.
    pub prev_hash: Vec<u8>,
    /// SHA-256 of `prev_hash` and the entry in canonical JSON.
    pub hash: Vec<u8>,
    pub sealed_at: DateTimeUtc,
}

impl ActiveModelBehavior for ActiveModel {}
