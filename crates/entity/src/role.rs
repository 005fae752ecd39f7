//! A named set of permissions: built in, or made by one organization.

use sea_orm::entity::prelude::*;

/// A row of `roles`.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "roles")]
pub struct Model {
    /// Fixed in the policy's data for built-in roles.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// None: built in.
    pub organization_id: Option<Uuid>,
    /// Not unique among built-in roles: `admin` at system level is another one than below.
    pub key: String,
    pub name: String,
    pub description: String,
    /// `type:verb`, `type:*` or `*`.
    pub permissions: Vec<String>,
    /// Types of resources.
    pub assignable_at: Vec<String>,
    pub created_at: DateTimeUtc,
    pub updated_at: DateTimeUtc,
    /// Counts changes; the `ETag`.
    pub version: i64,
}

impl ActiveModelBehavior for ActiveModel {}
