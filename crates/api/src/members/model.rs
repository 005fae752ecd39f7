//! What a member looks like from outside.

use chrono::{DateTime, Utc};
use sea_orm::DbErr;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{
    access::{
        actor::Principal,
        permit::{Action, Target},
        resource::ResourceType,
    },
    problem::Problem,
    role_assignments::model::{GroupName, ResourceName},
};

/// Reading who the members of something are.
pub trait ReadMembers: Action {}

/// Action `member:read` on an organization.
pub struct OfOrganization;
impl Action for OfOrganization {
    const NAME: &'static str = "member:read";
    const TARGET: Target = Target::Path(ResourceType::Organization, "organization_id");
}
impl ReadMembers for OfOrganization {}

/// Action `member:read` on an account.
pub struct OfAccount;
impl Action for OfAccount {
    const NAME: &'static str = "member:read";
    const TARGET: Target = Target::Path(ResourceType::Account, "account_id");
}
impl ReadMembers for OfAccount {}

/// Action `member:read` on a project.
pub struct OfProject;
impl Action for OfProject {
    const NAME: &'static str = "member:read";
    const TARGET: Target = Target::Path(ResourceType::Project, "project_id");
}
impl ReadMembers for OfProject {}

/// Who has access to something, by at least one role that is in force.
#[derive(Debug, Serialize, ToSchema)]
pub struct Member {
    /// Who.
    pub principal: Principal,
    /// What they are called: display name or username of a user, name of a service account.
    pub name: Option<String>,
    /// `active`, or why they cannot act at present.
    #[schema(example = "active")]
    pub status: String,
    /// The ways by which they have access, oldest first; at least one.
    pub roles: Vec<MemberRole>,
}

/// One way by which someone has access.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct MemberRole {
    /// The role assignment.
    pub role_assignment_id: Uuid,
    /// The role's key.
    #[schema(example = "editor")]
    pub role: String,
    /// Where it was given: here, or on something above.
    pub resource: ResourceName,
    /// Whether that is above.
    pub inherited: bool,
    /// The group that holds it; `null`: it was given to the member.
    pub group: Option<GroupName>,
    /// Who gave it; `null` if nobody did, such as to who makes an organization.
    pub granted_by: Option<Uuid>,
    /// When the member had it first: it was given, or they came into the group.
    pub since: DateTime<Utc>,
    /// It holds until, and not at, this time; `null`: for good.
    pub expires_at: Option<DateTime<Utc>>,
}

/// Why members were not listed.
#[derive(Debug, thiserror::Error)]
pub enum MemberError {
    /// The database failed.
    #[error("database failure")]
    Database(#[from] DbErr),
}

impl From<MemberError> for Problem {
    fn from(error: MemberError) -> Self {
        match error {
            MemberError::Database(source) => source.into(),
        }
    }
}
