//! What a role looks like from outside.

use chrono::{DateTime, Utc};
use entity::role;
use sea_orm::DbErr;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::{
    access::{
        permit::{Action, Target},
        resource::ResourceType,
    },
    api_keys::model::Permissions,
    http::{
        answer::Versioned,
        idempotency::OnceError,
        patch::stated,
        text::{Description, Name, RoleKey},
    },
    problem::{Code, Problem},
};

const PARENT: Target = Target::Path(ResourceType::Organization, "organization_id");

/// Action `role:read` on the organization.
pub struct Read;
impl Action for Read {
    const NAME: &'static str = "role:read";
    const TARGET: Target = PARENT;
}

/// Action `role:create` on the organization.
pub struct Create;
impl Action for Create {
    const NAME: &'static str = "role:create";
    const TARGET: Target = PARENT;
}

/// Action `role:update` on the organization.
pub struct Update;
impl Action for Update {
    const NAME: &'static str = "role:update";
    const TARGET: Target = PARENT;
}

/// Action `role:delete` on the organization.
pub struct Delete;
impl Action for Delete {
    const NAME: &'static str = "role:delete";
    const TARGET: Target = PARENT;
}

/// Where a role of an organization can be given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// On the organization.
    Organization,
    /// On its accounts.
    Account,
    /// On their projects.
    Project,
    /// On what applications registered in it.
    Resource,
}

impl Level {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Organization => "organization",
            Self::Account => "account",
            Self::Project => "project",
            Self::Resource => "resource",
        }
    }
}

/// Where a role can be given: some of the four levels.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(try_from = "Vec<Level>")]
#[schema(value_type = Vec<Level>, min_items = 1, max_items = 4)]
pub struct Levels(Vec<Level>);

impl TryFrom<Vec<Level>> for Levels {
    type Error = &'static str;

    fn try_from(mut levels: Vec<Level>) -> Result<Self, &'static str> {
        levels.sort_unstable();
        if levels.is_empty() || levels.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err("must name at least one level, and each once");
        }
        Ok(Self(levels))
    }
}

impl Levels {
    /// As the database has them.
    pub fn names(&self) -> Vec<String> {
        self.0
            .iter()
            .map(|level| level.as_str().to_owned())
            .collect()
    }
}

/// Body of `POST /api/organizations/{id}/roles`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewRole {
    /// What it is called in requests. Unique in the organization, and no built-in role's. It stays.
    pub key: RoleKey,
    /// What people call it.
    pub name: Name,
    /// What it is for.
    #[serde(default, deserialize_with = "stated")]
    #[schema(nullable = false)]
    pub description: Option<Description>,
    /// What it carries: nothing that its maker does not hold on the organization.
    pub permissions: Permissions,
    /// Where it can be given.
    pub assignable_at: Levels,
}

/// Body of `PATCH /api/organizations/{id}/roles/{id}`: what is left out stays as it is.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RoleChange {
    /// What people call it.
    #[serde(default, deserialize_with = "stated")]
    #[schema(nullable = false)]
    pub name: Option<Name>,
    /// What it is for.
    #[serde(default, deserialize_with = "stated")]
    #[schema(nullable = false)]
    pub description: Option<Description>,
    /// What it carries, from the next request of its holders on.
    #[serde(default, deserialize_with = "stated")]
    #[schema(nullable = false)]
    pub permissions: Option<Permissions>,
    /// Where it can be given from now on; where it is held already it stays.
    #[serde(default, deserialize_with = "stated")]
    #[schema(nullable = false)]
    pub assignable_at: Option<Levels>,
}

/// Whether to say only what a change would do.
#[derive(Clone, Copy, Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct DryRun {
    /// `true`: nothing is changed, and the answer is the accesses that would be gained and lost.
    #[serde(default)]
    pub dry_run: bool,
}

/// A role: a named set of permissions.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = Role)]
pub struct RoleView {
    /// Its id.
    pub id: Uuid,
    /// The organization that made it; `null`: built in.
    pub organization_id: Option<Uuid>,
    /// What it is called in requests. Built-in roles of one key may differ from level to level.
    #[schema(example = "deployer")]
    pub key: String,
    /// What people call it.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// What it carries.
    pub permissions: Vec<String>,
    /// Where it can be given.
    pub assignable_at: Vec<String>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it was changed last.
    pub updated_at: DateTime<Utc>,
    /// Counts changes; `ETag` is made of it.
    pub version: i64,
}

impl From<role::Model> for RoleView {
    fn from(row: role::Model) -> Self {
        Self {
            id: row.id,
            organization_id: row.organization_id,
            key: row.key,
            name: row.name,
            description: row.description,
            permissions: row.permissions,
            assignable_at: row.assignable_at,
            created_at: row.created_at,
            updated_at: row.updated_at,
            version: row.version,
        }
    }
}

impl Versioned for RoleView {
    fn version(&self) -> i64 {
        self.version
    }
}

/// Why something did not happen to a role.
#[derive(Debug, thiserror::Error)]
pub enum RoleError {
    /// It is gone, or of another organization.
    #[error("no such role")]
    NotFound,
    /// Another role of the organization, or a built-in one, has this key.
    #[error("There is a role with this key.")]
    KeyTaken,
    /// Built-in roles are changed in the policy's data.
    #[error("This role is built in: it is changed in the policy's data, for all organizations.")]
    BuiltIn,
    /// A permission that no question is ever about.
    #[error("{0} is not a permission of this installation")]
    UnknownPermission(String),
    /// The caller lacks some of what the role carries, or would carry.
    #[error("You do not hold on the organization what the role carries: {}.", .0.join(", "))]
    Lacking(Vec<String>),
    /// Somebody holds it.
    #[error("Somebody holds the role. Remove its role assignments first.")]
    InUse,
    /// It was changed since the client saw it.
    #[error("the role was changed in the meantime")]
    Changed,
    /// The idempotency key stood in the way.
    #[error(transparent)]
    Once(#[from] OnceError),
    /// The database failed.
    #[error("database failure")]
    Database(#[from] DbErr),
}

impl From<RoleError> for Problem {
    fn from(error: RoleError) -> Self {
        match error {
            RoleError::NotFound => Self::plain(Code::NotFound),
            RoleError::KeyTaken => Self::new(Code::NameTaken, error),
            RoleError::BuiltIn => Self::new(Code::Conflict, error),
            RoleError::UnknownPermission(_) => {
                Self::invalid("permissions", "unknown_permission", error.to_string())
            }
            RoleError::Lacking(_) => Self::new(Code::Forbidden, error),
            RoleError::InUse => Self::plain(Code::RoleInUse),
            RoleError::Changed => Self::plain(Code::PreconditionFailed),
            RoleError::Once(source) => source.into(),
            RoleError::Database(source) => source.into(),
        }
    }
}
