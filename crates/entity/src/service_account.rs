//! A principal that is a program.

use sea_orm::entity::prelude::*;

/// A row of `service_accounts`.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "service_accounts")]
pub struct Model {
    /// UUID v7, so that ordering by `id` is ordering by age.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub name: String,
    /// In the form that is compared.
    pub name_normalized: String,
    pub description: String,
    /// `active` or `disabled`.
    pub status: String,
    pub created_by: Option<Uuid>,
    pub created_at: DateTimeUtc,
    pub updated_at: DateTimeUtc,
    /// Counts changes; the `ETag`.
    pub version: i64,
}

impl ActiveModelBehavior for ActiveModel {}
