//! A part of an organization.

use sea_orm::entity::prelude::*;

/// A row of `accounts`.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "accounts")]
pub struct Model {
    /// UUID v7, so that ordering by `id` is ordering by age.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub organization_id: Uuid,
    pub name: String,
    /// NFKC and lower case; what uniqueness is judged by. Constraint `accounts_organization_id_name_key`.
    pub name_normalized: String,
    pub created_at: DateTimeUtc,
    pub updated_at: DateTimeUtc,
    /// Counts changes; the `ETag`.
    pub version: i64,
    #[sea_orm(belongs_to, from = "organization_id", to = "id")]
    pub organization: BelongsTo<super::organization::Entity>,
}

impl ActiveModelBehavior for ActiveModel {}
