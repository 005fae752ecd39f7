//! A part of an account.

use sea_orm::entity::prelude::*;

/// A row of `projects`.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "projects")]
pub struct Model {
    /// UUID v7, so that ordering by `id` is ordering by age.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// Always the account's.
    pub organization_id: Uuid,
    pub account_id: Uuid,
    pub owner_id: Option<Uuid>,
    pub name: String,
    /// NFKC and lower case; what uniqueness is judged by. Constraint `projects_account_id_name_key`.
    pub name_normalized: String,
    pub created_at: DateTimeUtc,
    pub updated_at: DateTimeUtc,
    /// Counts changes; the `ETag`.
    pub version: i64,
    #[sea_orm(belongs_to, from = "account_id", to = "id")]
    pub account: BelongsTo<super::account::Entity>,
}

impl ActiveModelBehavior for ActiveModel {}
