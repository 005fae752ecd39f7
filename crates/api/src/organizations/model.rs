//! What an organization looks like from outside.

use chrono::{DateTime, Utc};
use entity::organization;
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
        text::{Name, Slug},
    },
    problem::{Code, Problem},
    role_assignments::model::AssignmentError,
};

const ONE: Target = Target::Path(ResourceType::Organization, "organization_id");

/// Action `organization:list`.
pub struct List;
impl Action for List {
    const NAME: &'static str = "organization:list";
    const TARGET: Target = Target::Own;
}

/// Action `organization:create`.
pub struct Create;
impl Action for Create {
    const NAME: &'static str = "organization:create";
    const TARGET: Target = Target::System;
}

/// Action `organization:read`.
pub struct Read;
impl Action for Read {
    const NAME: &'static str = "organization:read";
    const TARGET: Target = ONE;
}

/// Action `organization:update`.
pub struct Update;
impl Action for Update {
    const NAME: &'static str = "organization:update";
    const TARGET: Target = ONE;
}

/// Action `organization:delete`.
pub struct Delete;
impl Action for Delete {
    const NAME: &'static str = "organization:delete";
    const TARGET: Target = ONE;
}

/// Body of `POST /api/organizations`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewOrganization {
    /// Unique, whatever the letter case.
    pub name: Name,
    /// Unique; made of the name if left out.
    #[serde(default, deserialize_with = "stated")]
    #[schema(nullable = false)]
    pub slug: Option<Slug>,
}

/// Body of `PATCH /api/organizations/{id}`: what is left out stays as it is.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OrganizationChange {
    /// Unique, whatever the letter case.
    #[serde(default, deserialize_with = "stated")]
    #[schema(nullable = false)]
    pub name: Option<Name>,
    /// Unique.
    #[serde(default, deserialize_with = "stated")]
    #[schema(nullable = false)]
    pub slug: Option<Slug>,
    /// Whether everyone who holds a role in it must have a second factor.
    #[serde(default, deserialize_with = "stated")]
    #[schema(nullable = false)]
    pub mfa_required: Option<bool>,
}

/// An organization: a tenant, whose things nobody outside of it sees.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = Organization)]
pub struct OrganizationView {
    /// Its id.
    pub id: Uuid,
    /// Its name.
    pub name: String,
    /// Its short name, for URLs.
    pub slug: String,
    /// Whether everyone who holds a role in it must have a second factor.
    pub mfa_required: bool,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it was changed last.
    pub updated_at: DateTime<Utc>,
    /// Counts changes; `ETag` is made of it.
    pub version: i64,
}

/// The key in `organizations.settings` that [`OrganizationView::mfa_required`] is kept under.
pub(super) const MFA_REQUIRED: &str = "mfa_required";

impl From<organization::Model> for OrganizationView {
    fn from(row: organization::Model) -> Self {
        Self {
            mfa_required: row.settings[MFA_REQUIRED] == true,
            id: row.id,
            name: row.name,
            slug: row.slug,
            created_at: row.created_at,
            updated_at: row.updated_at,
            version: row.version,
        }
    }
}

impl Versioned for OrganizationView {
    fn version(&self) -> i64 {
        self.version
    }
}

/// Why something did not happen to an organization.
#[derive(Debug, thiserror::Error)]
pub enum OrganizationError {
    /// It is gone.
    #[error("no such organization")]
    NotFound,
    /// Another one has this name.
    #[error("An organization with this name exists.")]
    NameTaken,
    /// Another one has this slug.
    #[error("An organization with this slug exists.")]
    SlugTaken,
    /// It has accounts.
    #[error("The organization has accounts. Delete them first.")]
    NotEmpty,
    /// It was changed since the client saw it.
    #[error("the organization was changed in the meantime")]
    Changed,
    /// Its creator could not be made its owner.
    #[error("the creator did not become owner")]
    Owner(#[from] AssignmentError),
    /// The idempotency key stood in the way.
    #[error(transparent)]
    Once(#[from] OnceError),
    /// The database failed.
    #[error("database failure")]
    Database(#[from] DbErr),
}

impl From<OrganizationError> for Problem {
    fn from(error: OrganizationError) -> Self {
        match error {
            OrganizationError::NotFound => Self::plain(Code::NotFound),
            OrganizationError::NameTaken | OrganizationError::SlugTaken => {
                Self::new(Code::NameTaken, error)
            }
            OrganizationError::NotEmpty => Self::new(Code::NotEmpty, error),
            OrganizationError::Changed => Self::plain(Code::PreconditionFailed),
            OrganizationError::Owner(source) => source.into(),
            OrganizationError::Once(source) => source.into(),
            OrganizationError::Database(source) => source.into(),
        }
    }
}
