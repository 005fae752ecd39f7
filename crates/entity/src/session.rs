//! Where a person is logged in: one row per login, kept after it ends.

use sea_orm::entity::prelude::*;

/// A row of `sessions`.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "sessions")]
pub struct Model {
    /// UUID v7, so that ordering by `id` is ordering by age.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub user_id: Uuid,
    pub created_at: DateTimeUtc,
    pub last_used_at: DateTimeUtc,
    /// Moves with use, `expires_at` never.
    pub idle_expires_at: DateTimeUtc,
    pub expires_at: DateTimeUtc,
    /// How far the next use moves `idle_expires_at`, in seconds.
    pub idle_seconds: i32,
    /// When the person last proved who they are.
    pub auth_time: DateTimeUtc,
    /// How they proved it (RFC 8176).
    pub amr: Vec<String>,
    pub ip: Option<IpNetwork>,
    pub user_agent: Option<String>,
    pub device_id: Option<Uuid>,
    /// Whether the long time to live was asked for.
    pub remember: bool,
    /// SHA-256 of the token in the session's cookie.
    pub cookie_hash: Option<Vec<u8>>,
    pub revoked_at: Option<DateTimeUtc>,
    pub revoke_reason: Option<String>,
    /// What the proof of `auth_time` was given with: `password`, `email`, `totp`, `webauthn` or
    /// `recovery_code`.
    pub auth_factor: String,
    /// Of `lineage` when it was opened, which the database fills in. The session has ended when that
    /// has gone on.
    pub epoch: i64,
    #[sea_orm(belongs_to, from = "user_id", to = "id")]
    pub user: BelongsTo<super::user::Entity>,
}

impl ActiveModelBehavior for ActiveModel {}
