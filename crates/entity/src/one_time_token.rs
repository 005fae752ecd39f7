//! A link or a step that counts once. The token itself is not stored.

use sea_orm::entity::prelude::*;

/// A row of `one_time_tokens`.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "one_time_tokens")]
pub struct Model {
    /// UUID v7, so that ordering by `id` is ordering by age.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// `email_verification`, `email_change`, `email_change_cancel`, `password_reset`,
    /// `password_change` or `lockdown`.
    pub kind: String,
    pub user_id: Uuid,
    /// SHA-256 of the token.
    pub token_hash: Vec<u8>,
    #[sea_orm(column_type = "JsonBinary")]
    pub payload: Json,
    pub expires_at: DateTimeUtc,
    pub consumed_at: Option<DateTimeUtc>,
    pub created_at: DateTimeUtc,
}

impl ActiveModelBehavior for ActiveModel {}
