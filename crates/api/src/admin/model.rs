//! What administration looks like from outside.

use chrono::{DateTime, Utc};
use sea_orm::DbErr;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::{
    access::{
        permit::{Action, Target},
        resource::ResourceType,
    },
    http::{
        page::{Limit, Order, Paging},
        text::Reason,
    },
    problem::{Code, Problem},
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

/// Body of `PUT /api/admin/users/{user_id}/reject` and `…/disable`; may be empty.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct WithReason {
    /// Kept in the audit log.
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

/// Why a user's state was not changed.
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
    /// The database failed.
    #[error("database failure")]
    Database(#[from] DbErr),
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
            AdminError::Database(source) => source.into(),
        }
    }
}
