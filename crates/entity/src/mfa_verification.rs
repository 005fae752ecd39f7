//! A second factor that was asked for and must be answered.

use sea_orm::entity::prelude::*;

/// A row of `mfa_verifications`.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "mfa_verifications")]
pub struct Model {
    /// UUID v7, so that ordering by `id` is ordering by age.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub user_id: Uuid,
    /// `login`, `step_up` or `enrol`.
    pub purpose: String,
    /// The factor that was asked last; none yet for a login that may use any.
    pub factor: Option<String>,
    /// None for factors that send no code.
    pub code_hash: Option<Vec<u8>>,
    pub attempts: i32,
    pub expires_at: DateTimeUtc,
    pub consumed_at: Option<DateTimeUtc>,
    pub created_at: DateTimeUtc,
    /// SHA-256 of the MFA token, of those that have one.
    pub token_hash: Option<Vec<u8>>,
    /// The session that it belongs to, of those inside one.
    pub session_id: Option<Uuid>,
    /// Of a login: how far it has come, and what it asked for.
    #[sea_orm(column_type = "JsonBinary")]
    pub data: Json,
}

impl ActiveModelBehavior for ActiveModel {}
