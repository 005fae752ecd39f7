//! What a security key or passkey was asked to sign.

use sea_orm::entity::prelude::*;

/// A row of `webauthn_challenges`.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "webauthn_challenges")]
pub struct Model {
    /// UUID v7, so that ordering by `id` is ordering by age.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// SHA-256 of the challenge.
    pub challenge_hash: Vec<u8>,
    /// `enrol`, `login`, `step_up` or `passkey`.
    pub purpose: String,
    /// None for `passkey`: who it is comes out at the end.
    pub user_id: Option<Uuid>,
    /// The pending login or the session that asked.
    pub bound_to: Option<Uuid>,
    /// Sealed: what the library has to know at the end.
    pub state: Vec<u8>,
    pub expires_at: DateTimeUtc,
    pub consumed_at: Option<DateTimeUtc>,
    pub created_at: DateTimeUtc,
}

impl ActiveModelBehavior for ActiveModel {}
