//! A key by which a program calls, for a person or for a service account.

use sea_orm::entity::prelude::*;

/// A row of `api_keys`.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "api_keys")]
pub struct Model {
    /// UUID v7, so that ordering by `id` is ordering by age.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// Either this or `service_account_id`.
    pub user_id: Option<Uuid>,
    pub service_account_id: Option<Uuid>,
    pub name: String,
    /// The start of the key, to tell keys apart.
    pub prefix: String,
    /// SHA-256 of the key.
    pub key_hash: Vec<u8>,
    /// Never more than the owner has when it is used.
    pub permissions: Vec<String>,
    pub expires_at: Option<DateTimeUtc>,
    pub last_used_at: Option<DateTimeUtc>,
    pub last_used_ip: Option<IpNetwork>,
    pub revoked_at: Option<DateTimeUtc>,
    pub created_at: DateTimeUtc,
}

impl ActiveModelBehavior for ActiveModel {}
