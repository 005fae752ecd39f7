//! A device that a person used, and whether they trust it.

use sea_orm::entity::prelude::*;

/// A row of `device_fingerprints`.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "device_fingerprints")]
pub struct Model {
    /// UUID v7, so that ordering by `id` is ordering by age.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub user_id: Uuid,
    /// SHA-256 of the device's token. None: never trusted.
    pub token_hash: Option<Vec<u8>>,
    pub fingerprint: Option<String>,
    pub name: Option<String>,
    pub trusted_until: Option<DateTimeUtc>,
    pub first_seen_at: DateTimeUtc,
    pub last_seen_at: DateTimeUtc,
    pub ip: Option<IpNetwork>,
    pub user_agent: Option<String>,
    pub revoked_at: Option<DateTimeUtc>,
}

impl ActiveModelBehavior for ActiveModel {}
