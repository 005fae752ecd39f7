//! A tenant.

use sea_orm::entity::prelude::*;

/// A row of `organizations`.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "organizations")]
pub struct Model {
    /// UUID v7, so that ordering by `id` is ordering by age.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub name: String,
    /// NFKC and lower case; what uniqueness is judged by. Constraint `organizations_name_key`.
    pub name_normalized: String,
    pub slug: String,
    #[sea_orm(column_type = "JsonBinary")]
    pub settings: Json,
    pub created_at: DateTimeUtc,
    pub updated_at: DateTimeUtc,
    /// Counts changes; the `ETag`.
    pub version: i64,
}

impl ActiveModelBehavior for ActiveModel {}
