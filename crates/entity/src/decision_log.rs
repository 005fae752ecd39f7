//! What was decided. Partitioned by day. The API may add rows and read them, nothing else.

use sea_orm::entity::prelude::*;

/// A row of `decision_log`.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "decision_log")]
pub struct Model {
    /// Part of the key, because it decides the partition: the time that the question was asked at.
    #[sea_orm(primary_key, auto_increment = false)]
    pub at: DateTimeUtc,
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// `gatepost`, or `opa:` and the id of an OPA server.
    pub source: String,
    pub request_id: Option<String>,
    pub allowed: bool,
    /// Codes.
    pub reasons: Vec<String>,
    /// The digest of the policy, where it is known.
    pub policy: Option<String>,
    /// The whole question, masked.
    #[sea_orm(column_type = "JsonBinary")]
    pub input: Json,
    /// Where (JSON Pointer) something was taken out of the question.
    pub masked: Vec<String>,
}

impl ActiveModelBehavior for ActiveModel {}
