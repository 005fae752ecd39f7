//! Who calls.

use std::{fmt, str::FromStr, sync::Arc};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    key::KeyState,
    memo::Reading,
    registered::Below,
    resource::{Located, ResourceRef, ResourceType},
};
use crate::{mfa::model::Factor, policy::Place};

/// What can hold a role and act.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PrincipalType {
    /// A person.
    User,
    /// A program.
    ServiceAccount,
}

impl PrincipalType {
    /// Its name in the database, the interface and the policy.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::ServiceAccount => "service_account",
        }
    }
}

impl FromStr for PrincipalType {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "user" => Ok(Self::User),
            "service_account" => Ok(Self::ServiceAccount),
            _ => Err(()),
        }
    }
}

/// Someone or something that can hold a role.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Principal)]
pub struct Principal {
    /// What it is.
    pub r#type: PrincipalType,
    /// Its id.
    pub id: Uuid,
}

impl Principal {
    /// A user.
    pub const fn user(id: Uuid) -> Self {
        Self {
            r#type: PrincipalType::User,
            id,
        }
    }

    /// A service account.
    pub const fn service_account(id: Uuid) -> Self {
        Self {
            r#type: PrincipalType::ServiceAccount,
            id,
        }
    }
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.r#type.as_str(), self.id)
    }
}

/// What can hold a role: what can act, and groups, which act by their members.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum HolderType {
    /// A person.
    User,
    /// A program.
    ServiceAccount,
    /// People of one organization.
    Group,
}

impl HolderType {
    /// Its name in the database and the interface.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::ServiceAccount => "service_account",
            Self::Group => "group",
        }
    }
}

impl FromStr for HolderType {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "user" => Ok(Self::User),
            "service_account" => Ok(Self::ServiceAccount),
            "group" => Ok(Self::Group),
            _ => Err(()),
        }
    }
}

/// Someone or something that a role is given to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Holder {
    /// What it is.
    pub r#type: HolderType,
    /// Its id.
    pub id: Uuid,
}

impl Holder {
    /// A group.
    pub const fn group(id: Uuid) -> Self {
        Self {
            r#type: HolderType::Group,
            id,
        }
    }

    /// The user that this is, if it is one.
    pub fn user_id(self) -> Option<Uuid> {
        (self.r#type == HolderType::User).then_some(self.id)
    }
}

impl From<Principal> for Holder {
    fn from(principal: Principal) -> Self {
        let r#type = match principal.r#type {
            PrincipalType::User => HolderType::User,
            PrincipalType::ServiceAccount => HolderType::ServiceAccount,
        };
        Self {
            r#type,
            id: principal.id,
        }
    }
}

/// A role held on a resource and on all below it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// The role assignment it comes from.
    pub id: Uuid,
    /// The role's key.
    pub role: Arc<str>,
    /// What the role carries.
    pub permissions: Arc<[String]>,
    /// Where it holds.
    pub resource: ResourceRef,
    /// What an application calls that, if it registered it.
    pub thing: Option<Place>,
    /// The tenant of the resource; none for the system.
    pub organization_id: Option<Uuid>,
    /// The group that holds it, and this one as its member.
    pub group_id: Option<Uuid>,
    /// Holds until, and not at, this time.
    pub expires_at: Option<DateTime<Utc>>,
}

impl Grant {
    /// Where it holds, as policies see it.
    pub fn place(&self) -> Place {
        let ours = || Place::from(&self.resource);
        self.thing.clone().unwrap_or_else(ours)
    }

    /// Whether it counts on what stands at `below` below `base`: it is held there, or above.
    ///
    /// What applications registered is told apart by our ids: another thing can get a name that has
    /// become free.
    pub fn counts_on(&self, base: &Located, below: &Below) -> bool {
        match (self.resource.kind, self.resource.id) {
            (ResourceType::Registered, Some(id)) => below.ids.contains(&id),
            _ => base.path.contains(&self.resource),
        }
    }

    /// Whether it holds at `now`.
    pub fn is_in_force(&self, now: DateTime<Utc>) -> bool {
        self.expires_at.is_none_or(|end| end > now)
    }
}

/// What is known of a principal when the policy is asked about it.
#[derive(Debug)]
pub struct Subject {
    /// Who.
    pub principal: Principal,
    /// `active`, or why not.
    pub status: String,
    /// What policies see of a user; set by administrators only.
    pub attributes: serde_json::Value,
    /// The user's address, if it was proven to be theirs.
    pub email: Option<String>,
    /// What a user logs in as, or a service account is called.
    pub username: Option<String>,
    /// Everything held, expired grants too.
    pub grants: Arc<[Grant]>,
    /// Which reading this is.
    pub reading: Reading,
}

/// The session a request came with.
#[derive(Clone, Debug)]
pub struct SessionState {
    /// Its id.
    pub id: Uuid,
    /// Whose it is.
    pub user_id: Uuid,
    /// When the user last proved who they are.
    pub auth_time: DateTime<Utc>,
    /// How (RFC 8176), since the login.
    pub amr: Vec<String>,
    /// What they proved it with then, if this version of the program knows it.
    pub auth_factor: Option<Factor>,
    /// Ends without use at this time.
    pub idle_expires_at: DateTime<Utc>,
    /// Ends at this time in any case.
    pub expires_at: DateTime<Utc>,
}

/// What a request proved its sender with.
#[derive(Clone, Debug)]
pub enum Credential {
    /// An access token or the console's cookie: a person who logged in.
    Session(Arc<SessionState>),
    /// An API key: a program that acts for a person or a service account.
    ApiKey(Arc<KeyState>),
}

/// Who calls, and by what proof.
#[derive(Clone, Debug)]
pub struct Actor {
    /// Who, and what they hold; with an API key no more than the key leaves of it.
    pub subject: Arc<Subject>,
    /// What says that it is them.
    pub credential: Credential,
}

impl Actor {
    /// Who.
    pub fn principal(&self) -> Principal {
        self.subject.principal
    }

    /// The session that the request came with, if a person sent it.
    pub fn session(&self) -> Option<&SessionState> {
        match &self.credential {
            Credential::Session(session) => Some(session),
            Credential::ApiKey(_) => None,
        }
    }

    /// The API key that the request came with, if a program sent it.
    pub fn key(&self) -> Option<&KeyState> {
        match &self.credential {
            Credential::Session(_) => None,
            Credential::ApiKey(key) => Some(key),
        }
    }

    /// The id of that session.
    pub fn session_id(&self) -> Option<Uuid> {
        self.session().map(|session| session.id)
    }

    /// The id of the user who calls, or whose API key does; a service account's if there is none.
    pub fn user_id(&self) -> Uuid {
        self.subject.principal.id
    }

    /// The id of the user who calls, or whose API key does; nothing for service accounts.
    pub fn user(&self) -> Option<Uuid> {
        let principal = self.subject.principal;
        (principal.r#type == PrincipalType::User).then_some(principal.id)
    }
}
