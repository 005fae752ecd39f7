//! What an invitation looks like from outside.

use chrono::{DateTime, Utc};
use entity::{invitation, role};
use sea_orm::DbErr;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{
    access::{
        permit::{Action, Target},
        resource::ResourceType,
    },
    http::{idempotency::OnceError, patch::stated, text::Email},
    problem::{Code, Problem},
    role_assignments::model::{AssignmentError, ResourceName},
};

const PARENT: Target = Target::Path(ResourceType::Organization, "organization_id");

/// Action `invitation:read` on the organization.
pub struct List;
impl Action for List {
    const NAME: &'static str = "invitation:read";
    const TARGET: Target = PARENT;
}

/// Action `invitation:create` on the organization.
pub struct Create;
impl Action for Create {
    const NAME: &'static str = "invitation:create";
    const TARGET: Target = PARENT;
}

/// Action `invitation:delete` on the organization.
pub struct Revoke;
impl Action for Revoke {
    const NAME: &'static str = "invitation:delete";
    const TARGET: Target = PARENT;
}

/// Taking up an invitation that was sent to oneself.
pub struct Accept;
impl Action for Accept {
    const NAME: &'static str = "self:join";
    const TARGET: Target = Target::Own;
}

/// Body of `POST /api/organizations/{id}/invitations`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewInvitation {
    /// Where the mail goes; only who has this address can accept.
    pub email: Email,
    /// Key of a role that can be assigned at the type of the resource.
    #[schema(example = "viewer", max_length = 63)]
    pub role: String,
    /// The organization or something in it; the organization if left out.
    #[serde(default, deserialize_with = "stated")]
    #[schema(nullable = false)]
    pub resource: Option<ResourceName>,
}

/// Body of `POST /api/invitations/accept`.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Acceptance {
    /// From the link in the mail.
    #[schema(value_type = String, format = "password", max_length = 200)]
    pub token: secrecy::SecretString,
}

/// What has become of an invitation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum InvitationStatus {
    /// It can be accepted.
    Pending,
    /// It was.
    Accepted,
    /// Nobody accepted it in time.
    Expired,
    /// It was taken back, or another one replaced it.
    Revoked,
}

/// An invitation. Its token is in the mail only.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = Invitation)]
pub struct InvitationView {
    /// Its id.
    pub id: Uuid,
    /// The organization that invites.
    pub organization_id: Uuid,
    /// The address that was invited.
    pub email: String,
    /// Key of the role.
    #[schema(example = "viewer")]
    pub role: String,
    /// Where the role will hold.
    pub resource: ResourceName,
    /// What has become of it.
    pub status: InvitationStatus,
    /// Who invited.
    pub invited_by: Option<Uuid>,
    /// Until when it can be accepted.
    pub expires_at: DateTime<Utc>,
    /// When it was accepted.
    pub accepted_at: Option<DateTime<Utc>>,
    /// When it was sent.
    pub created_at: DateTime<Utc>,
}

impl InvitationView {
    /// The view of an invitation to `role` on `resource`, at `now`.
    pub fn of(
        row: invitation::Model,
        role: &role::Model,
        resource: ResourceName,
        now: DateTime<Utc>,
    ) -> Self {
        let status = if row.accepted_at.is_some() {
            InvitationStatus::Accepted
        } else if row.revoked_at.is_some() {
            InvitationStatus::Revoked
        } else if row.expires_at <= now {
            InvitationStatus::Expired
        } else {
            InvitationStatus::Pending
        };
        Self {
            id: row.id,
            organization_id: row.organization_id,
            email: row.email,
            role: role.key.clone(),
            resource,
            status,
            invited_by: row.invited_by,
            expires_at: row.expires_at,
            accepted_at: row.accepted_at,
            created_at: row.created_at,
        }
    }
}

/// Why nobody was invited, or did not join.
#[derive(Debug, thiserror::Error)]
pub enum InvitationError {
    /// No such invitation that is open, or none for this person.
    #[error("no such invitation")]
    NotFound,
    /// Invitations are to an organization or to something in it.
    #[error("cannot be the system")]
    System,
    /// No mail can be sent there.
    #[error("is not an address that mail can be sent to")]
    Address,
    /// What was accepted cannot be taken back; the role can.
    #[error("The invitation was accepted. Remove the role assignment instead.")]
    Accepted,
    /// Who invited may no longer give the role.
    #[error("Who sent the invitation may no longer give this role. Ask for a new invitation.")]
    InviterLacks,
    /// The role cannot be given.
    #[error(transparent)]
    Assignment(#[from] AssignmentError),
    /// The idempotency key stood in the way.
    #[error(transparent)]
    Once(#[from] OnceError),
    /// The database failed.
    #[error("database failure")]
    Database(#[from] DbErr),
}

impl From<InvitationError> for Problem {
    fn from(error: InvitationError) -> Self {
        match error {
            InvitationError::NotFound => Self::plain(Code::NotFound),
            InvitationError::System => {
                Self::invalid("resource.type", "invalid_value", error.to_string())
            }
            InvitationError::Address => Self::invalid("email", "invalid_value", error.to_string()),
            InvitationError::Accepted | InvitationError::InviterLacks => {
                Self::new(Code::Conflict, error)
            }
            InvitationError::Assignment(source) => source.into(),
            InvitationError::Once(source) => source.into(),
            InvitationError::Database(source) => source.into(),
        }
    }
}
