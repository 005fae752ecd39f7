//! Who did what. The API may add entries and read them, nothing else.

use sea_orm::entity::prelude::*;

/// A row of `audit_log`.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "audit_log")]
pub struct Model {
    /// UUID v7, so that ordering by `id` is ordering by age.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub at: DateTimeUtc,
    pub actor_type: String,
    pub actor_id: Option<Uuid>,
    pub actor_session: Option<Uuid>,
    pub action: String,
    pub target_type: Option<String>,
    pub target_id: Option<String>,
    pub organization_id: Option<Uuid>,
    pub request_id: Option<String>,
    pub ip: Option<IpNetwork>,
    pub outcome: String,
    #[sea_orm(column_type = "JsonBinary")]
    pub details: Json,
}

impl ActiveModelBehavior for ActiveModel {}
