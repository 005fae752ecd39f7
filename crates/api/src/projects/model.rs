//! What a project looks like from outside.

use chrono::{DateTime, Utc};
use entity::project;
use sea_orm::DbErr;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{
    access::{
        permit::{Action, Target},
        resource::ResourceType,
    },
    http::{answer::Versioned, idempotency::OnceError, patch::stated, text::Name},
    problem::{Code, Problem},
    role_assignments::model::AssignmentError,
};

const PARENT: Target = Target::Path(ResourceType::Account, "account_id");
const ONE: Target = Target::Path(ResourceType::Project, "project_id");

/// Action `project:read` on the account.
pub struct List;
impl Action for List {
    const NAME: &'static str = "project:read";
    const TARGET: Target = PARENT;
}

/// Action `project:create` on the account.
pub struct Create;
impl Action for Create {
    const NAME: &'static str = "project:create";
    const TARGET: Target = PARENT;
}

/// Action `project:read`.
pub struct Read;
impl Action for Read {
    const NAME: &'static str = "project:read";
    const TARGET: Target = ONE;
}

/// Action `project:update`.
pub struct Update;
impl Action for Update {
    const NAME: &'static str = "project:update";
    const TARGET: Target = ONE;
}

/// Action `project:delete`.
pub struct Delete;
impl Action for Delete {
    const NAME: &'static str = "project:delete";
    const TARGET: Target = ONE;
}

/// Action `project:move`.
pub struct Move;
impl Action for Move {
    const NAME: &'static str = "project:move";
    const TARGET: Target = ONE;
}

/// Body of `POST /api/projects/{id}/move`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Moving {
    /// The account that it goes to, of any organization.
    pub account_id: Uuid,
}

/// Body of `POST /api/accounts/{id}/projects`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewProject {
    /// Unique in the account, whatever the letter case.
    pub name: Name,
    /// An active user; the caller if left out.
    #[serde(default, deserialize_with = "stated")]
    #[schema(nullable = false)]
    pub owner_id: Option<Uuid>,
}

/// Body of `PATCH /api/projects/{id}`: what is left out stays as it is.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ProjectChange {
    /// Unique in the account, whatever the letter case.
    #[serde(default, deserialize_with = "stated")]
    #[schema(nullable = false)]
    pub name: Option<Name>,
    /// An active user.
    #[serde(default, deserialize_with = "stated")]
    #[schema(nullable = false)]
    pub owner_id: Option<Uuid>,
}

/// A project: a part of an account.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = Project)]
pub struct ProjectView {
    /// Its id.
    pub id: Uuid,
    /// The organization it belongs to.
    pub organization_id: Uuid,
    /// The account it belongs to.
    pub account_id: Uuid,
    /// The user it belongs to, if there still is one. It gives no rights by itself; policies see it.
    pub owner_id: Option<Uuid>,
    /// Its name.
    pub name: String,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it was changed last.
    pub updated_at: DateTime<Utc>,
    /// Counts changes; `ETag` is made of it.
    pub version: i64,
}

impl From<project::Model> for ProjectView {
    fn from(row: project::Model) -> Self {
        Self {
            id: row.id,
            organization_id: row.organization_id,
            account_id: row.account_id,
            owner_id: row.owner_id,
            name: row.name,
            created_at: row.created_at,
            updated_at: row.updated_at,
            version: row.version,
        }
    }
}

impl Versioned for ProjectView {
    fn version(&self) -> i64 {
        self.version
    }
}

/// Why something did not happen to a project.
#[derive(Debug, thiserror::Error)]
pub enum ProjectError {
    /// It, or its account, is gone.
    #[error("no such project")]
    NotFound,
    /// Another one of the account has this name.
    #[error("The account has a project with this name.")]
    NameTaken,
    /// There is no such active user.
    #[error("no such active user")]
    UnknownOwner,
    /// Somebody was given a role on it while it moved to another organization.
    #[error("Somebody was given a role on the project at the same time. Try again.")]
    Interfered,
    /// The policy says no, at either end.
    #[error("refused")]
    Refused(Problem),
    /// The caller could not let those in who come along.
    #[error(transparent)]
    Assignment(#[from] AssignmentError),
    /// It was changed since the client saw it.
    #[error("the project was changed in the meantime")]
    Changed,
    /// The idempotency key stood in the way.
    #[error(transparent)]
    Once(#[from] OnceError),
    /// The database failed.
    #[error("database failure")]
    Database(#[from] DbErr),
}

impl From<ProjectError> for Problem {
    fn from(error: ProjectError) -> Self {
        match error {
            ProjectError::NotFound => Self::plain(Code::NotFound),
            ProjectError::NameTaken => Self::new(Code::NameTaken, error),
            ProjectError::UnknownOwner => Self::invalid(
                "owner_id",
                "unknown_user",
                "is not the id of an active user",
            ),
            ProjectError::Interfered => Self::new(Code::Conflict, error),
            ProjectError::Refused(problem) => problem,
            ProjectError::Assignment(source) => source.into(),
            ProjectError::Changed => Self::plain(Code::PreconditionFailed),
            ProjectError::Once(source) => source.into(),
            ProjectError::Database(source) => source.into(),
        }
    }
}
