//! What happened to an account, for its owner to read. Partitioned by month.

use sea_orm::entity::prelude::*;

/// A row of `user_activity`.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "user_activity")]
pub struct Model {
    /// UUID v7, so that ordering by `id` is ordering by age.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub user_id: Uuid,
    /// May name a session that is gone.
    pub session_id: Option<Uuid>,
    pub kind: String,
    pub ip: Option<IpNetwork>,
    pub user_agent: Option<String>,
    pub request_id: Option<String>,
    #[sea_orm(column_type = "JsonBinary")]
    pub details: Json,
    /// Part of the key, because it decides the partition.
    #[sea_orm(primary_key, auto_increment = false)]
    pub created_at: DateTimeUtc,
}

impl ActiveModelBehavior for ActiveModel {}
