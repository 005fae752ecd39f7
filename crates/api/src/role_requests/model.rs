//! What a role request looks like from outside.

use chrono::{DateTime, Utc};
use entity::{role, role_request};
use sea_orm::DbErr;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::{
    access::permit::{Action, Target},
    http::{
        answer::Versioned,
        idempotency::OnceError,
        page::{Limit, Order, Paging},
        patch::stated,
        text::Reason,
    },
    problem::{Code, Problem, constraint},
    role_assignments::model::{AssignmentError, ResourceName},
};

/// The shortest time that a role can be asked for, in seconds.
const SHORTEST: u32 = 60;
/// The longest one: 30 days.
const LONGEST: u32 = 30 * 24 * 60 * 60;

/// Asking for roles, and looking at what was asked for.
pub struct Own;
impl Action for Own {
    const NAME: &'static str = "self:request";
    const TARGET: Target = Target::Own;
}

/// Action `role:assign`, before it is known where.
pub struct Decide;
impl Action for Decide {
    const NAME: &'static str = "role:assign";
    const TARGET: Target = Target::Anywhere;
}

/// Body of `POST /api/role-requests`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewRoleRequest {
    /// Key of a role that can be assigned at the type of the resource.
    #[schema(example = "editor", max_length = 63)]
    pub role: String,
    /// Where it is to hold. Who asks holds some role there, or above, already.
    pub resource: ResourceName,
    /// For how long, in seconds from the approval on.
    pub duration_seconds: Duration,
    /// Why; for those who decide.
    pub reason: Reason,
}

/// How long a role is asked for: a minute to 30 days, in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(try_from = "u32")]
#[schema(value_type = u32, minimum = 60, maximum = 2_592_000)]
pub struct Duration(u32);

impl TryFrom<u32> for Duration {
    type Error = String;

    fn try_from(seconds: u32) -> Result<Self, String> {
        if (SHORTEST..=LONGEST).contains(&seconds) {
            Ok(Self(seconds))
        } else {
            Err(format!("must be {SHORTEST} to {LONGEST}"))
        }
    }
}

impl Duration {
    /// As the database has it.
    pub fn seconds(self) -> i32 {
        i32::try_from(self.0).unwrap_or(i32::MAX)
    }
}

/// Body of a decision; it may be left out.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DecisionReason {
    /// Why; who asked is told.
    #[serde(default, deserialize_with = "stated")]
    #[schema(nullable = false)]
    pub reason: Option<Reason>,
}

/// What has become of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RequestStatus {
    /// It can be decided.
    Pending,
    /// The role was given; it ends by itself.
    Approved,
    /// It was not.
    Refused,
    /// Who asked took it back.
    Withdrawn,
    /// Nobody decided in time.
    Expired,
}

impl RequestStatus {
    /// As the database has it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Approved => "approved",
            Self::Refused => "refused",
            Self::Withdrawn => "withdrawn",
            Self::Expired => "expired",
        }
    }
}

/// Someone asks for a role for a while.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = RoleRequest)]
pub struct RoleRequestView {
    /// Its id.
    pub id: Uuid,
    /// Who asks.
    pub user_id: Uuid,
    /// The role's key.
    #[schema(example = "editor")]
    pub role: String,
    /// Where it is to hold.
    pub resource: ResourceName,
    /// For how long, in seconds from the approval on.
    pub duration_seconds: i32,
    /// Why.
    pub reason: String,
    /// What has become of it.
    pub status: RequestStatus,
    /// Who decided.
    pub decided_by: Option<Uuid>,
    /// When.
    pub decided_at: Option<DateTime<Utc>>,
    /// Why so.
    pub decision_reason: Option<String>,
    /// The role assignment that the approval made; it may be gone.
    pub role_assignment_id: Option<Uuid>,
    /// Until when it can be decided.
    pub expires_at: DateTime<Utc>,
    /// When it was asked.
    pub created_at: DateTime<Utc>,
}

impl RoleRequestView {
    /// The view of a request for `role` on `resource`, at `now`.
    ///
    /// # Errors
    ///
    /// If the row names a type or a state that this program does not know.
    pub fn of(
        row: role_request::Model,
        role: &role::Model,
        resource: ResourceName,
        now: DateTime<Utc>,
    ) -> Result<Self, DbErr> {
        let unknown = || DbErr::Type(format!("role request {} names an unknown type", row.id));
        let status = match row.state.as_str() {
            "pending" if row.expires_at <= now => RequestStatus::Expired,
            "pending" => RequestStatus::Pending,
            "approved" => RequestStatus::Approved,
            "refused" => RequestStatus::Refused,
            "withdrawn" => RequestStatus::Withdrawn,
            "expired" => RequestStatus::Expired,
            _ => return Err(unknown()),
        };
        Ok(Self {
            id: row.id,
            user_id: row.user_id,
            role: role.key.clone(),
            resource,
            duration_seconds: row.duration_seconds,
            reason: row.reason,
            status,
            decided_by: row.decided_by,
            decided_at: row.decided_at,
            decision_reason: row.decision_reason,
            role_assignment_id: row.role_assignment_id,
            expires_at: row.expires_at,
            created_at: row.created_at,
        })
    }
}

impl Versioned for RoleRequestView {
    /// A request is decided once.
    fn version(&self) -> i64 {
        if self.status == RequestStatus::Pending {
            1
        } else {
            2
        }
    }
}

/// The query of the list of requests.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct RequestFilter {
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
    /// That this has become of.
    #[param(inline)]
    pub status: Option<RequestStatus>,
    /// Of this user.
    pub user_id: Option<Uuid>,
}

impl RequestFilter {
    /// The part that every list has.
    pub fn paging(&self) -> Paging {
        Paging {
            limit: self.limit,
            cursor: self.cursor.clone(),
            order: self.order,
        }
    }
}

/// Why a role was not asked for, or not decided on.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// It is gone, or not the caller's to see.
    #[error("no such role request")]
    NotFound,
    /// The same is asked for already.
    #[error("You have asked for this role there already, and nobody has decided.")]
    Pending,
    /// Nobody decides on their own request.
    #[error("Nobody decides on what they have asked for themselves.")]
    OwnRequest,
    /// It was decided, withdrawn, or is too old.
    #[error("The request is not open any more.")]
    Closed,
    /// Who asked has left, or may not act.
    #[error("Who asked has no access there any more, or may not act.")]
    NoMember,
    /// The role cannot be given.
    #[error(transparent)]
    Assignment(#[from] AssignmentError),
    /// The idempotency key stood in the way.
    #[error(transparent)]
    Once(#[from] OnceError),
    /// The database failed.
    #[error("database failure")]
    Database(#[source] DbErr),
}

impl From<DbErr> for RequestError {
    fn from(error: DbErr) -> Self {
        match constraint(&error) {
            Some("role_requests_pending_key") => Self::Pending,
            Some(
                "role_requests_resource_id_fkey"
                | "role_requests_organization_id_fkey"
                | "role_requests_role_id_fkey",
            ) => Self::NotFound,
            _ => Self::Database(error),
        }
    }
}

impl From<RequestError> for Problem {
    fn from(error: RequestError) -> Self {
        match error {
            RequestError::NotFound => Self::plain(Code::NotFound),
            RequestError::OwnRequest => Self::new(Code::Forbidden, error),
            RequestError::Pending | RequestError::Closed | RequestError::NoMember => {
                Self::new(Code::Conflict, error)
            }
            RequestError::Assignment(source) => source.into(),
            RequestError::Once(source) => source.into(),
            RequestError::Database(source) => source.into(),
        }
    }
}
