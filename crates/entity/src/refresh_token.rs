//! The chain of refresh tokens of a session; one of them is unused.

use sea_orm::entity::prelude::*;

/// A row of `refresh_tokens`.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "refresh_tokens")]
pub struct Model {
    /// UUID v7, so that ordering by `id` is ordering by age.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub session_id: Uuid,
    pub user_id: Uuid,
    /// SHA-256 of the token.
    pub token_hash: Vec<u8>,
    /// What the successor is derived from, with the token: a lost answer can be given again.
    pub nonce: Vec<u8>,
    pub issued_at: DateTimeUtc,
    /// None in one row per session at most (`refresh_tokens_live_key`).
    pub used_at: Option<DateTimeUtc>,
    /// The successor's `id`.
    pub replaced_by: Option<Uuid>,
    #[sea_orm(belongs_to, from = "session_id", to = "id")]
    pub session: BelongsTo<super::session::Entity>,
}

impl ActiveModelBehavior for ActiveModel {}
