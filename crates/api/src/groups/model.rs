//! What a group looks like from outside.

use chrono::{DateTime, Utc};
use entity::group;
use sea_orm::DbErr;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{
    access::{
        permit::{Action, Target},
        resource::ResourceType,
    },
    http::{
        answer::Versioned,
        idempotency::OnceError,
        patch::stated,
        text::{Description, Name},
    },
    problem::{Code, Problem},
    role_assignments::model::AssignmentError,
};

const PARENT: Target = Target::Path(ResourceType::Organization, "organization_id");

/// Action `group:read` on the organization.
pub struct Read;
impl Action for Read {
    const NAME: &'static str = "group:read";
    const TARGET: Target = PARENT;
}

/// Action `group:create` on the organization.
pub struct Create;
impl Action for Create {
    const NAME: &'static str = "group:create";
    const TARGET: Target = PARENT;
}

/// Action `group:update` on the organization.
pub struct Update;
impl Action for Update {
    const NAME: &'static str = "group:update";
    const TARGET: Target = PARENT;
}

/// Action `group:delete` on the organization.
pub struct Delete;
impl Action for Delete {
    const NAME: &'static str = "group:delete";
    const TARGET: Target = PARENT;
}

/// Body of `POST /api/organizations/{id}/groups`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewGroup {
    /// Unique in the organization, whatever the letter case.
    pub name: Name,
    /// What it is for.
    #[serde(default, deserialize_with = "stated")]
    #[schema(nullable = false)]
    pub description: Option<Description>,
}

/// Body of `PATCH /api/organizations/{id}/groups/{id}`: what is left out stays as it is.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct GroupChange {
    /// Unique in the organization, whatever the letter case.
    #[serde(default, deserialize_with = "stated")]
    #[schema(nullable = false)]
    pub name: Option<Name>,
    /// What it is for.
    #[serde(default, deserialize_with = "stated")]
    #[schema(nullable = false)]
    pub description: Option<Description>,
}

/// A group. Its members hold what it holds.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = Group)]
pub struct GroupView {
    /// Its id.
    pub id: Uuid,
    /// The organization it belongs to. It holds roles there and on what is below.
    pub organization_id: Uuid,
    /// Its name.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it was changed last. Who is in it is no change of it.
    pub updated_at: DateTime<Utc>,
    /// Counts changes; `ETag` is made of it.
    pub version: i64,
}

impl From<group::Model> for GroupView {
    fn from(row: group::Model) -> Self {
        Self {
            id: row.id,
            organization_id: row.organization_id,
            name: row.name,
            description: row.description,
            created_at: row.created_at,
            updated_at: row.updated_at,
            version: row.version,
        }
    }
}

impl Versioned for GroupView {
    fn version(&self) -> i64 {
        self.version
    }
}

/// Someone in a group.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct GroupMember {
    /// Who.
    pub user_id: Uuid,
    /// What they are called: display name, else username; `null` if they have neither.
    pub name: Option<String>,
    /// Who added them; `null` if nobody knows any more.
    pub added_by: Option<Uuid>,
    /// When they were added.
    pub created_at: DateTime<Utc>,
}

/// Why something did not happen to a group.
#[derive(Debug, thiserror::Error)]
pub enum GroupError {
    /// It, or its organization, is gone, or there is no such member.
    #[error("no such group")]
    NotFound,
    /// Another one of the organization has this name.
    #[error("The organization has a group with this name.")]
    NameTaken,
    /// There is no such user, or they were turned away.
    #[error("is not the id of a user who could hold a role")]
    UnknownUser,
    /// It was changed since the client saw it.
    #[error("the group was changed in the meantime")]
    Changed,
    /// The caller could not give, or take, what the group holds.
    #[error(transparent)]
    Assignment(#[from] AssignmentError),
    /// The idempotency key stood in the way.
    #[error(transparent)]
    Once(#[from] OnceError),
    /// The database failed.
    #[error("database failure")]
    Database(#[from] DbErr),
}

impl From<GroupError> for Problem {
    fn from(error: GroupError) -> Self {
        match error {
            GroupError::NotFound => Self::plain(Code::NotFound),
            GroupError::NameTaken => Self::new(Code::NameTaken, error),
            GroupError::UnknownUser => {
                Self::invalid("user_id", "unknown_principal", error.to_string())
            }
            GroupError::Changed => Self::plain(Code::PreconditionFailed),
            GroupError::Assignment(source) => source.into(),
            GroupError::Once(source) => source.into(),
            GroupError::Database(source) => source.into(),
        }
    }
}
