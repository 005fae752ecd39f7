//! What an account looks like from outside.

use chrono::{DateTime, Utc};
use entity::account;
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
};

const PARENT: Target = Target::Path(ResourceType::Organization, "organization_id");
const ONE: Target = Target::Path(ResourceType::Account, "account_id");

/// Action `account:read` on the organization.
pub struct List;
impl Action for List {
    const NAME: &'static str = "account:read";
    const TARGET: Target = PARENT;
}

/// Action `account:create` on the organization.
pub struct Create;
impl Action for Create {
    const NAME: &'static str = "account:create";
    const TARGET: Target = PARENT;
}

/// Action `account:read`.
pub struct Read;
impl Action for Read {
    const NAME: &'static str = "account:read";
    const TARGET: Target = ONE;
}

/// Action `account:update`.
pub struct Update;
impl Action for Update {
    const NAME: &'static str = "account:update";
    const TARGET: Target = ONE;
}

/// Action `account:delete`.
pub struct Delete;
impl Action for Delete {
    const NAME: &'static str = "account:delete";
    const TARGET: Target = ONE;
}

/// Body of `POST /api/organizations/{id}/accounts`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewAccount {
    /// Unique in the organization, whatever the letter case.
    pub name: Name,
}

/// Body of `PATCH /api/accounts/{id}`: what is left out stays as it is.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AccountChange {
    /// Unique in the organization, whatever the letter case.
    #[serde(default, deserialize_with = "stated")]
    #[schema(nullable = false)]
    pub name: Option<Name>,
}

/// An account: a part of an organization, with projects in it.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = Account)]
pub struct AccountView {
    /// Its id.
    pub id: Uuid,
    /// The organization it belongs to.
    pub organization_id: Uuid,
    /// Its name.
    pub name: String,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it was changed last.
    pub updated_at: DateTime<Utc>,
    /// Counts changes; `ETag` is made of it.
    pub version: i64,
}

impl From<account::Model> for AccountView {
    fn from(row: account::Model) -> Self {
        Self {
            id: row.id,
            organization_id: row.organization_id,
            name: row.name,
            created_at: row.created_at,
            updated_at: row.updated_at,
            version: row.version,
        }
    }
}

impl Versioned for AccountView {
    fn version(&self) -> i64 {
        self.version
    }
}

/// Why something did not happen to an account.
#[derive(Debug, thiserror::Error)]
pub enum AccountError {
    /// It, or its organization, is gone.
    #[error("no such account")]
    NotFound,
    /// Another one of the organization has this name.
    #[error("The organization has an account with this name.")]
    NameTaken,
    /// It has projects.
    #[error("The account has projects. Delete them first.")]
    NotEmpty,
    /// It was changed since the client saw it.
    #[error("the account was changed in the meantime")]
    Changed,
    /// The idempotency key stood in the way.
    #[error(transparent)]
    Once(#[from] OnceError),
    /// The database failed.
    #[error("database failure")]
    Database(#[from] DbErr),
}

impl From<AccountError> for Problem {
    fn from(error: AccountError) -> Self {
        match error {
            AccountError::NotFound => Self::plain(Code::NotFound),
            AccountError::NameTaken => Self::new(Code::NameTaken, error),
            AccountError::NotEmpty => Self::new(Code::NotEmpty, error),
            AccountError::Changed => Self::plain(Code::PreconditionFailed),
            AccountError::Once(source) => source.into(),
            AccountError::Database(source) => source.into(),
        }
    }
}
