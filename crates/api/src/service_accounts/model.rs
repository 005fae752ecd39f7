//! What a service account looks like from outside.

use chrono::{DateTime, Utc};
use entity::service_account;
use sea_orm::DbErr;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{
    access::{
        permit::{Action, Target},
        resource::ResourceType,
    },
    api_keys::model::ApiKeyError,
    http::{
        answer::Versioned,
        idempotency::OnceError,
        patch::stated,
        text::{Description, Name},
    },
    problem::{Code, Problem},
};

const NAME: &str = "service_account:manage";
const ONE: Target = Target::Path(ResourceType::ServiceAccount, "service_account_id");

/// Action `service_account:manage` at the system.
pub struct Manage;
impl Action for Manage {
    const NAME: &'static str = NAME;
    const TARGET: Target = Target::System;
}

/// Action `service_account:manage` on one.
pub struct ManageOne;
impl Action for ManageOne {
    const NAME: &'static str = NAME;
    const TARGET: Target = ONE;
}

/// Seeing the keys of one.
pub struct ReadKeys;
impl Action for ReadKeys {
    const NAME: &'static str = NAME;
    const TARGET: Target = ONE;
    const BY_KEY: bool = false;
}

/// Making and revoking keys of one.
pub struct ManageKeys;
impl Action for ManageKeys {
    const NAME: &'static str = NAME;
    const TARGET: Target = ONE;
    const STEP_UP: bool = true;
}

/// Whether a service account may act.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = ServiceAccountStatus)]
pub enum Status {
    /// It may.
    Active,
    /// Its keys are refused until it is active again.
    Disabled,
}

impl Status {
    /// Its name in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Disabled => "disabled",
        }
    }
}

/// Body of `POST /api/admin/service-accounts`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewServiceAccount {
    /// Unique, whatever the letter case.
    pub name: Name,
    /// What it is for.
    #[serde(default, deserialize_with = "stated")]
    #[schema(nullable = false)]
    pub description: Option<Description>,
}

/// Body of `PATCH /api/admin/service-accounts/{id}`: what is left out stays as it is.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ServiceAccountChange {
    /// Unique, whatever the letter case.
    #[serde(default, deserialize_with = "stated")]
    #[schema(nullable = false)]
    pub name: Option<Name>,
    /// What it is for.
    #[serde(default, deserialize_with = "stated")]
    #[schema(nullable = false)]
    pub description: Option<Description>,
    /// `disabled`: its keys are refused from the next request on.
    #[serde(default, deserialize_with = "stated")]
    #[schema(nullable = false, inline)]
    pub status: Option<Status>,
}

/// A principal that is a program.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = ServiceAccount)]
pub struct ServiceAccountView {
    /// Its id; `{"type": "service_account", "id": …}` is its name as a principal.
    pub id: Uuid,
    /// Its name.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// `active` or `disabled`.
    pub status: String,
    /// Who made it.
    pub created_by: Option<Uuid>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it was changed last.
    pub updated_at: DateTime<Utc>,
    /// Counts changes; `ETag` is made of it.
    pub version: i64,
}

impl From<service_account::Model> for ServiceAccountView {
    fn from(row: service_account::Model) -> Self {
        Self {
            id: row.id,
            name: row.name,
            description: row.description,
            status: row.status,
            created_by: row.created_by,
            created_at: row.created_at,
            updated_at: row.updated_at,
            version: row.version,
        }
    }
}

impl Versioned for ServiceAccountView {
    fn version(&self) -> i64 {
        self.version
    }
}

/// Why something did not happen to a service account.
#[derive(Debug, thiserror::Error)]
pub enum ServiceAccountError {
    /// It is gone.
    #[error("no such service account")]
    NotFound,
    /// Another one has this name.
    #[error("A service account with this name exists.")]
    NameTaken,
    /// A service account would change itself.
    #[error("A service account does not change itself.")]
    Oneself,
    /// It holds more than the caller.
    #[error("The service account holds what you do not hold there: {}.", .0.join(", "))]
    Above(Vec<String>),
    /// An organization would be left without an owner.
    #[error("the last owner stays")]
    LastOwner,
    /// It was changed since the client saw it.
    #[error("the service account was changed in the meantime")]
    Changed,
    /// Its key was not made or revoked.
    #[error(transparent)]
    Key(#[from] ApiKeyError),
    /// The idempotency key stood in the way.
    #[error(transparent)]
    Once(#[from] OnceError),
    /// The database failed.
    #[error("database failure")]
    Database(#[from] DbErr),
}

impl From<ServiceAccountError> for Problem {
    fn from(error: ServiceAccountError) -> Self {
        match error {
            ServiceAccountError::NotFound => Self::plain(Code::NotFound),
            ServiceAccountError::NameTaken => Self::new(Code::NameTaken, error),
            ServiceAccountError::Oneself | ServiceAccountError::Above(_) => {
                Self::new(Code::Forbidden, error)
            }
            ServiceAccountError::LastOwner => Self::plain(Code::LastOwner),
            ServiceAccountError::Changed => Self::plain(Code::PreconditionFailed),
            ServiceAccountError::Key(source) => source.into(),
            ServiceAccountError::Once(source) => source.into(),
            ServiceAccountError::Database(source) => source.into(),
        }
    }
}
