//! A person who may log in.

use sea_orm::entity::prelude::*;

/// A row of `users`.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "users")]
pub struct Model {
    /// UUID v7, so that ordering by `id` is ordering by age.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// As it was typed.
    pub email: String,
    /// NFKC and lower case; what uniqueness is judged by. Constraint `users_email_key`.
    pub email_normalized: String,
    pub username: Option<String>,
    /// NFKC and lower case; what uniqueness is judged by. Constraint `users_username_key`.
    pub username_normalized: Option<String>,
    /// A PHC string. None: no login by password.
    pub password_hash: Option<String>,
    pub display_name: Option<String>,
    pub profile_picture_url: Option<String>,
    pub locale: Option<String>,
    /// An object that its owner edits; never a reason for a decision.
    #[sea_orm(column_type = "JsonBinary")]
    pub metadata: Json,
    /// An object that administrators edit; policies see it.
    #[sea_orm(column_type = "JsonBinary")]
    pub attributes: Json,
    /// `pending_verification`, `pending_approval`, `active`, `rejected` or `disabled`.
    pub status: String,
    pub email_verified_at: Option<DateTimeUtc>,
    pub password_must_change: bool,
    pub password_changed_at: Option<DateTimeUtc>,
    /// "This was not me" was said, and no new password has been set since.
    pub locked_down_at: Option<DateTimeUtc>,
    pub last_login_at: Option<DateTimeUtc>,
    pub last_seen_at: Option<DateTimeUtc>,
    /// When an administrator last opened the account after it had been closed.
    pub enabled_at: Option<DateTimeUtc>,
    /// When its owner was last told that it will be closed for want of use.
    pub dormancy_warned_at: Option<DateTimeUtc>,
    pub approved_by: Option<Uuid>,
    pub approved_at: Option<DateTimeUtc>,
    /// The administrator made at first start.
    pub break_glass: bool,
    pub created_at: DateTimeUtc,
    pub updated_at: DateTimeUtc,
    /// Counts changes; the `ETag`.
    pub version: i64,
}

impl ActiveModelBehavior for ActiveModel {}
