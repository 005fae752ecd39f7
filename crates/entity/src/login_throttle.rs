//! How often a login was tried and failed, across instances.

use sea_orm::entity::prelude::*;

/// A row of `login_throttles`.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "login_throttles")]
pub struct Model {
    /// HMAC of what is counted, an account and an address for example.
    #[sea_orm(primary_key, auto_increment = false)]
    pub key: Vec<u8>,
    /// In a row; success starts anew.
    pub failures: i32,
    pub window_started_at: DateTimeUtc,
    /// Tries since `window_started_at`.
    pub window_count: i32,
    pub locked_until: Option<DateTimeUtc>,
    pub updated_at: DateTimeUtc,
}

impl ActiveModelBehavior for ActiveModel {}
