//! One row: which primary the data comes from, and the epoch of sessions. A function fills it.

use sea_orm::entity::prelude::*;

/// A row of `lineage`.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "lineage")]
pub struct Model {
    /// Always 1.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: i16,
    /// As the server names its cluster; unknown before the first connection.
    pub system_identifier: Option<i64>,
    /// Counts up with each promotion of a standby.
    pub timeline: Option<i32>,
    /// Sessions of older ones have ended.
    pub session_epoch: i64,
    pub changed_at: DateTimeUtc,
}

impl ActiveModelBehavior for ActiveModel {}
