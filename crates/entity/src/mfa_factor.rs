//! A second means of a person to prove who they are.

use sea_orm::entity::prelude::*;

/// A row of `mfa_factors`.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "mfa_factors")]
pub struct Model {
    /// UUID v7, so that ordering by `id` is ordering by age.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub user_id: Uuid,
    /// `totp`, `webauthn` or `email`. A person has one of each at most, but any number of `webauthn`.
    pub kind: String,
    /// What its owner calls it.
    pub label: Option<String>,
    /// Of `totp`: the shared secret, sealed.
    pub secret: Option<Vec<u8>>,
    /// Of `webauthn`: the credential.
    #[sea_orm(column_type = "JsonBinary")]
    pub data: Json,
    /// None: begun, and good for nothing yet.
    pub confirmed_at: Option<DateTimeUtc>,
    pub last_used_at: Option<DateTimeUtc>,
    /// Of `totp`: the newest time step that was accepted.
    pub last_used_step: Option<i64>,
    /// Of `webauthn`.
    pub sign_count: i64,
    /// Wrong codes in a row, counted before they are looked at.
    pub failed_attempts: i32,
    /// When there were too many of them.
    pub locked_at: Option<DateTimeUtc>,
    pub created_at: DateTimeUtc,
}

impl ActiveModelBehavior for ActiveModel {}
