//! What administration looks like from outside.

use chrono::{DateTime, Utc};
use sea_orm::{DbErr, FromQueryResult};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::{
    access::{
        permit::{Action, Target},
        resource::ResourceType,
    },
    http::{
        answer::Versioned,
        idempotency::OnceError,
        page::{Limit, Order, Paging},
        patch::stated,
        text::{DisplayName, Email, Locale, PictureUrl, Reason, Username},
    },
    problem::{Code, Problem, constraint},
    role_assignments::model::AssignmentError,
    users::{
        erasure::{ErasureError, LAST_ADMINISTRATOR},
        metadata::Unfit,
        model::{Metadata, UserError, UserView, given},
    },
};

/// Listing users.
pub struct ReadUsers;
impl Action for ReadUsers {
    const NAME: &'static str = "user:read";
    const TARGET: Target = Target::System;
}

/// Reading one user.
pub struct ReadUser;
impl Action for ReadUser {
    const NAME: &'static str = "user:read";
    const TARGET: Target = Target::Path(ResourceType::User, "user_id");
}

/// Letting a user in.
pub struct ApproveUser;
impl Action for ApproveUser {
    const NAME: &'static str = "user:approve";
    const TARGET: Target = Target::Path(ResourceType::User, "user_id");
}

/// Turning a user away.
pub struct RejectUser;
impl Action for RejectUser {
    const NAME: &'static str = "user:approve";
    const TARGET: Target = Target::Path(ResourceType::User, "user_id");
}

/// Closing and opening an account.
pub struct UpdateUser;
impl Action for UpdateUser {
    const NAME: &'static str = "user:update";
    const TARGET: Target = Target::Path(ResourceType::User, "user_id");
}

/// Making a user.
pub struct CreateUser;
impl Action for CreateUser {
    const NAME: &'static str = "user:create";
    const TARGET: Target = Target::System;
}

/// Erasing a user.
pub struct DeleteUser;
impl Action for DeleteUser {
    const NAME: &'static str = "user:delete";
    const TARGET: Target = Target::Path(ResourceType::User, "user_id");
}

/// Reading the numbers.
pub struct ReadOverview;
impl Action for ReadOverview {
    const NAME: &'static str = "user:read";
    const TARGET: Target = Target::System;
}

/// Reading the audit log.
pub struct ReadAudit;
impl Action for ReadAudit {
    const NAME: &'static str = "audit:read";
    const TARGET: Target = Target::System;
}

/// The states of a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Has to prove the address.
    PendingVerification,
    /// Waits for an administrator.
    PendingApproval,
    /// May log in.
    Active,
    /// Was turned away.
    Rejected,
    /// Was closed.
    Disabled,
}

impl Status {
    /// Its name in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::PendingVerification => "pending_verification",
            Self::PendingApproval => "pending_approval",
            Self::Active => "active",
            Self::Rejected => "rejected",
            Self::Disabled => "disabled",
        }
    }
}

/// Query of `GET /api/admin/users`.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct UserFilter {
    /// Items a page has at most.
    #[serde(default)]
    #[param(value_type = Option<u8>, minimum = 1, maximum = 200, default = 50)]
    pub limit: Limit,
    /// `next_cursor` of the page before.
    #[param(max_length = 200)]
    pub cursor: Option<String>,
    /// Oldest first (`created_at`) or newest first (`-created_at`, the default).
    #[serde(default)]
    #[param(inline)]
    pub order: Order,
    /// Exactly this address.
    #[param(max_length = 254)]
    pub email: Option<String>,
    /// In this state.
    #[param(inline)]
    pub status: Option<Status>,
    /// Start of the address, the username or the name on the screen.
    #[param(max_length = 100)]
    pub q: Option<String>,
    /// Holds the role with this key now, on the system or on any other resource.
    #[param(max_length = 63)]
    pub role: Option<String>,
    /// Has shown no sign of life since this time: no login, no request, no approval.
    pub inactive_since: Option<DateTime<Utc>>,
}

impl UserFilter {
    /// The part that every list has.
    pub fn paging(&self) -> Paging {
        Paging {
            limit: self.limit,
            cursor: self.cursor.clone(),
            order: self.order,
        }
    }
}

/// Body of the steps; may be empty.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct WithReason {
    /// Kept in the audit log; who is rejected reads it in the mail, too.
    pub reason: Option<Reason>,
}

/// Query of `GET /api/admin/audit`.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct AuditFilter {
    /// Items a page has at most.
    #[serde(default)]
    #[param(value_type = Option<u8>, minimum = 1, maximum = 200, default = 50)]
    pub limit: Limit,
    /// `next_cursor` of the page before.
    #[param(max_length = 200)]
    pub cursor: Option<String>,
    /// Oldest first (`created_at`) or newest first (`-created_at`, the default).
    #[serde(default)]
    #[param(inline)]
    pub order: Order,
    /// Done by this principal.
    pub actor_id: Option<Uuid>,
    /// Exactly this action, such as `role.assigned`.
    #[param(max_length = 100)]
    pub action: Option<String>,
    /// Done to something of this type.
    #[param(max_length = 100)]
    pub target_type: Option<String>,
    /// Done to the thing with this id.
    #[param(max_length = 256)]
    pub target_id: Option<String>,
    /// Not before this time.
    pub from: Option<DateTime<Utc>>,
    /// Before this time.
    pub until: Option<DateTime<Utc>>,
}

impl AuditFilter {
    /// The part that every list has.
    pub fn paging(&self) -> Paging {
        Paging {
            limit: self.limit,
            cursor: self.cursor.clone(),
            order: self.order,
        }
    }
}

/// One entry of the audit log.
#[derive(Serialize, ToSchema)]
pub struct AuditView {
    /// Its id.
    pub id: Uuid,
    /// Its place in the chain; `null` for the second until it is sealed.
    pub seq: Option<i64>,
    /// Its hash in the chain, 64 hexadecimal digits.
    pub hash: Option<String>,
    /// When.
    pub at: DateTime<Utc>,
    /// `user`, `service_account`, `anonymous` or `program`.
    pub actor_type: String,
    /// Who, where that is known.
    pub actor_id: Option<Uuid>,
    /// In which session.
    pub actor_session: Option<Uuid>,
    /// What was done.
    pub action: String,
    /// To what.
    pub target_type: Option<String>,
    /// To which one.
    pub target_id: Option<String>,
    /// In which tenant.
    pub organization_id: Option<Uuid>,
    /// The request, as the logs know it.
    pub request_id: Option<String>,
    /// From which address.
    pub ip: Option<String>,
    /// What else there is to know.
    pub details: serde_json::Value,
}

impl From<entity::audit_log::Model> for AuditView {
    fn from(row: entity::audit_log::Model) -> Self {
        Self {
            id: row.id,
            seq: None,
            hash: None,
            at: row.at,
            actor_type: row.actor_type,
            actor_id: row.actor_id,
            actor_session: row.actor_session,
            action: row.action,
            target_type: row.target_type,
            target_id: row.target_id,
            organization_id: row.organization_id,
            request_id: row.request_id,
            ip: row.ip.map(|ip| ip.ip().to_string()),
            details: row.details,
        }
    }
}

/// A user as administrators see them.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct AdminUserView {
    /// What they see themselves.
    #[serde(flatten)]
    pub user: UserView,
    /// What policies see of them.
    pub attributes: serde_json::Value,
    /// Whether there is a password to log in with.
    pub has_password: bool,
    /// Whether the next login has to set a new one.
    pub password_must_change: bool,
    /// Whether this is an administrator who was made for emergencies.
    pub break_glass: bool,
    /// Who approved them.
    pub approved_by: Option<Uuid>,
    /// When they were approved.
    pub approved_at: Option<DateTime<Utc>>,
    /// When they last sent a request or refreshed a session, to about ten minutes.
    pub last_seen_at: Option<DateTime<Utc>>,
    /// When their account was closed by "this was not me"; a new password opens it.
    pub locked_down_at: Option<DateTime<Utc>>,
    /// When they were told that their account will be closed for want of use.
    pub dormancy_warned_at: Option<DateTime<Utc>>,
}

impl From<entity::user::Model> for AdminUserView {
    fn from(user: entity::user::Model) -> Self {
        Self {
            attributes: user.attributes.clone(),
            has_password: user.password_hash.is_some(),
            password_must_change: user.password_must_change,
            break_glass: user.break_glass,
            approved_by: user.approved_by,
            approved_at: user.approved_at,
            last_seen_at: user.last_seen_at,
            locked_down_at: user.locked_down_at,
            dormancy_warned_at: user.dormancy_warned_at,
            user: user.into(),
        }
    }
}

impl Versioned for AdminUserView {
    fn version(&self) -> i64 {
        self.user.version()
    }
}

/// Body of `POST /api/admin/users`.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewUser {
    /// Where mail reaches the person.
    pub email: Email,
    /// For logging in.
    #[serde(default, deserialize_with = "stated")]
    #[schema(nullable = false)]
    pub username: Option<Username>,
    /// What the person is called on the screen.
    #[serde(default, deserialize_with = "stated")]
    #[schema(nullable = false)]
    pub display_name: Option<DisplayName>,
    /// The language of their mails.
    #[serde(default, deserialize_with = "stated")]
    #[schema(nullable = false)]
    pub locale: Option<Locale>,
    /// What policies see of them: up to 16 KiB of JSON.
    #[serde(default, deserialize_with = "stated")]
    #[schema(nullable = false)]
    pub attributes: Option<Metadata>,
    /// What applications keep about them: up to 16 KiB of JSON.
    #[serde(default, deserialize_with = "stated")]
    #[schema(nullable = false)]
    pub metadata: Option<Metadata>,
    /// Good for one login, which has to set another one. Without it, the person gets a mail with
    /// a link to set one.
    #[serde(default, deserialize_with = "stated")]
    #[schema(value_type = Option<String>, nullable = false, format = "password", max_length = 1024)]
    pub password: Option<SecretString>,
}

/// Body of `PATCH /api/admin/users/{user_id}`: any subset; `null` clears what can be cleared.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UserChange {
    /// New address. It is not proven to be theirs; their sessions and open links end.
    #[serde(default, deserialize_with = "stated")]
    #[schema(nullable = false)]
    pub email: Option<Email>,
    /// New name on the screen.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<DisplayName>)]
    pub display_name: Option<Option<DisplayName>>,
    /// New username.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<Username>)]
    pub username: Option<Option<Username>>,
    /// New picture.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<PictureUrl>)]
    pub profile_picture_url: Option<Option<PictureUrl>>,
    /// New language.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<Locale>)]
    pub locale: Option<Option<Locale>>,
    /// Takes the place of all that policies saw of them.
    #[serde(default, deserialize_with = "stated")]
    #[schema(nullable = false)]
    pub attributes: Option<Metadata>,
    /// Takes the place of all that applications kept about them.
    #[serde(default, deserialize_with = "stated")]
    #[schema(nullable = false)]
    pub metadata: Option<Metadata>,
}

/// The numbers of the console's first page.
#[derive(Debug, Serialize, ToSchema)]
pub struct Overview {
    /// Users by status.
    pub users: UserCounts,
    /// Tenants.
    pub organizations: i64,
    /// Sessions that could be used now.
    pub live_sessions: i64,
    /// The last 30 days in UTC, today last.
    pub days: Vec<Day>,
}

/// Users by status.
#[derive(Debug, PartialEq, Eq, FromQueryResult, Serialize, ToSchema)]
pub struct UserCounts {
    /// All of them.
    pub total: i64,
    /// May log in.
    pub active: i64,
    /// Have to prove their address.
    pub pending_verification: i64,
    /// Wait for an administrator.
    pub pending_approval: i64,
    /// Were turned away.
    pub rejected: i64,
    /// Were closed.
    pub disabled: i64,
}

/// What happened on one day.
#[derive(Debug, PartialEq, Eq, FromQueryResult, Serialize, ToSchema)]
pub struct Day {
    /// Which day, in UTC.
    pub date: chrono::NaiveDate,
    /// Sessions that were opened.
    pub logins: i64,
    /// Logins that failed, also with names that nobody has.
    pub failures: i64,
    /// People who registered.
    pub registrations: i64,
}

/// Why a user was not changed.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// No such user.
    #[error("user not found")]
    NotFound,
    /// Nobody does this to themselves.
    #[error("nobody does this to themselves")]
    Oneself,
    /// The state that the user is in does not lead there.
    #[error("a user who is {from} cannot be {to}")]
    WrongState {
        /// The state now.
        from: String,
        /// What was asked for.
        to: &'static str,
    },
    /// The user holds permissions that the caller lacks.
    #[error("the user holds roles that you do not")]
    Above,
    /// It was changed in the meantime.
    #[error("changed in the meantime")]
    Stale,
    /// Another user has this address.
    #[error("the address is in use")]
    EmailTaken,
    /// The address is too long once it is normalized.
    #[error("must have at most 254 characters")]
    Address,
    /// There is no such role for the system.
    #[error("there is no role with this key for the system")]
    UnknownRole,
    /// The user was not erased, or lost no role, because somebody has to stay.
    #[error(transparent)]
    Erasure(#[from] ErasureError),
    /// The metadata does not fit the schema.
    #[error(transparent)]
    Metadata(#[from] Unfit),
    /// A rule of users was broken.
    #[error(transparent)]
    User(#[from] UserError),
    /// A rule of role assignments was broken.
    #[error(transparent)]
    Assignment(#[from] AssignmentError),
    /// The idempotency key stood in the way.
    #[error(transparent)]
    Once(#[from] OnceError),
    /// The database failed.
    #[error("database failure")]
    Database(#[source] DbErr),
}

impl From<DbErr> for AdminError {
    fn from(error: DbErr) -> Self {
        match constraint(&error) {
            Some("users_email_key") => Self::EmailTaken,
            Some("users_username_key") => UserError::UsernameTaken.into(),
            Some(LAST_ADMINISTRATOR) => ErasureError::LastAdministrator.into(),
            _ => Self::Database(error),
        }
    }
}

impl From<AdminError> for Problem {
    fn from(error: AdminError) -> Self {
        match error {
            AdminError::NotFound => Self::plain(Code::NotFound),
            AdminError::Oneself => Self::new(Code::Forbidden, "Nobody does this to themselves."),
            AdminError::Above => Self::new(
                Code::Forbidden,
                "The user holds system roles with permissions that you lack.",
            ),
            AdminError::WrongState { .. } => Self::new(Code::Conflict, error),
            AdminError::Stale => Self::plain(Code::PreconditionFailed),
            AdminError::EmailTaken => Self::plain(Code::EmailTaken),
            AdminError::Address => Self::invalid("email", "invalid_value", error.to_string()),
            AdminError::UnknownRole => Self::invalid("role", "unknown_role", error.to_string()),
            AdminError::Erasure(error) => error.into(),
            AdminError::Metadata(unfit) => unfit.into(),
            AdminError::User(UserError::Password(fault)) => {
                Self::invalid("password", fault.code(), fault.to_string())
            }
            AdminError::User(error) => error.into(),
            AdminError::Assignment(error) => error.into(),
            AdminError::Once(error) => error.into(),
            AdminError::Database(source) => source.into(),
        }
    }
}
