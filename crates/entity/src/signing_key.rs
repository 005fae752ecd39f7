//! A key that signs access tokens.

use sea_orm::entity::prelude::*;

/// A row of `signing_keys`.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "signing_keys")]
pub struct Model {
    /// RFC 7638 thumbprint.
    #[sea_orm(primary_key, auto_increment = false)]
    pub kid: String,
    pub algorithm: String,
    /// Sealed.
    pub private_key: Vec<u8>,
    #[sea_orm(column_type = "JsonBinary")]
    pub public_jwk: Json,
    /// `next`, `active` or `retired`; one of each of the first two per algorithm.
    pub state: String,
    pub created_at: DateTimeUtc,
    pub activated_at: Option<DateTimeUtc>,
    pub retired_at: Option<DateTimeUtc>,
    /// When its last token has expired.
    pub expires_at: Option<DateTimeUtc>,
}

impl ActiveModelBehavior for ActiveModel {}
