//! What a row says of an organization, an account, a project or a role assignment.

use chrono::{DateTime, Utc};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Map, Value};

use super::{
    ids::SourceId,
    person::{Key, Rules},
    report::{Fault, Kind},
};
use crate::{
    access::resource::ResourceType,
    http::{
        body::field_with_nul,
        text::{Name, Reason, Slug, normalized},
    },
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OrganizationLine {
    id: Key,
    name: Name,
    slug: Option<Slug>,
    created_at: Option<DateTime<Utc>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AccountLine {
    id: Key,
    organization_id: Key,
    name: Name,
    created_at: Option<DateTime<Utc>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ProjectLine {
    id: Key,
    account_id: Key,
    owner_id: Option<Key>,
    name: Name,
    created_at: Option<DateTime<Utc>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AssignmentLine {
    /// Names the row; here it gets an id of its own.
    #[serde(rename = "id")]
    _id: Option<Key>,
    user_id: Key,
    role: String,
    resource_type: ResourceType,
    resource_id: Option<Key>,
    expires_at: Option<DateTime<Utc>>,
    reason: Option<Reason>,
    created_at: Option<DateTime<Utc>>,
}

/// An organization, an account or a project.
#[derive(Clone, Debug)]
pub struct Place {
    /// Its id.
    pub id: SourceId,
    /// The organization of an account, or the account of a project.
    pub parent: Option<SourceId>,
    /// The user whom a project belongs to.
    pub owner: Option<SourceId>,
    /// As written.
    pub name: String,
    /// What uniqueness is judged by.
    pub name_normalized: String,
    /// The short name of an organization.
    pub slug: Option<Slug>,
    /// Since when there is such a thing, if that is known.
    pub created_at: Option<DateTime<Utc>>,
}

impl Place {
    /// Reads what a row says.
    ///
    /// # Errors
    ///
    /// The first field that is not acceptable.
    pub fn parse(kind: Kind, row: Map<String, Value>, rules: &Rules) -> Result<Self, Fault> {
        let id = |key: &Key, kind| key.id(&rules.source, kind);
        let (key, parent, owner, name, slug, created_at) = match kind {
            Kind::Organizations => {
                let line: OrganizationLine = read(row)?;
                (line.id, None, None, line.name, line.slug, line.created_at)
            }
            Kind::Accounts => {
                let line: AccountLine = read(row)?;
                let parent = id(&line.organization_id, Kind::Organizations);
                (
                    line.id,
                    Some(parent),
                    None,
                    line.name,
                    None,
                    line.created_at,
                )
            }
            _ => {
                let line: ProjectLine = read(row)?;
                let parent = id(&line.account_id, Kind::Accounts);
                let owner = line.owner_id.map(|key| id(&key, Kind::Users));
                (
                    line.id,
                    Some(parent),
                    owner,
                    line.name,
                    None,
                    line.created_at,
                )
            }
        };
        Ok(Self {
            id: id(&key, kind),
            parent,
            owner,
            name_normalized: normalized(&name),
            name: name.into(),
            slug,
            created_at: created_at.map(|at| at.min(rules.now)),
        })
    }
}

/// A role that somebody held.
#[derive(Clone, Debug)]
pub struct Assignment {
    /// Who.
    pub user: SourceId,
    /// The key of the role.
    pub role: String,
    /// On what kind of resource.
    pub resource_type: ResourceType,
    /// On which; none for the system.
    pub resource: Option<SourceId>,
    /// Until when; `None`: for good.
    pub expires_at: Option<DateTime<Utc>>,
    /// Why.
    pub reason: Option<String>,
    /// Since when, if that is known.
    pub created_at: Option<DateTime<Utc>>,
}

impl Assignment {
    /// Reads what a row says.
    ///
    /// # Errors
    ///
    /// The first field that is not acceptable.
    pub fn parse(row: Map<String, Value>, rules: &Rules) -> Result<Self, Fault> {
        let line: AssignmentLine = read(row)?;
        let kind = match line.resource_type {
            // The three others cannot be written in a row.
            ResourceType::System
            | ResourceType::User
            | ResourceType::ServiceAccount
            | ResourceType::Registered => None,
            ResourceType::Organization => Some(Kind::Organizations),
            ResourceType::Account => Some(Kind::Accounts),
            ResourceType::Project => Some(Kind::Projects),
        };
        let resource = match (kind, line.resource_id) {
            (None, _) => None,
            (Some(kind), Some(key)) => Some(key.id(&rules.source, kind)),
            (Some(_), None) => {
                let text = "resource_id: is missing: a role is held on something";
                return Err(("invalid_field", text.to_owned()));
            }
        };
        Ok(Self {
            user: line.user_id.id(&rules.source, Kind::Users),
            role: line.role,
            resource_type: line.resource_type,
            resource,
            expires_at: line.expires_at,
            reason: line.reason.map(Into::into),
            created_at: line.created_at.map(|at| at.min(rules.now)),
        })
    }
}

fn read<T: DeserializeOwned>(row: Map<String, Value>) -> Result<T, Fault> {
    let value = Value::Object(row);
    if let Some(field) = field_with_nul(&value) {
        let text = format!("{field}: holds a NUL character: take it out");
        return Err(("invalid_field", text));
    }
    serde_path_to_error::deserialize(value).map_err(|error| {
        let path = error.path().to_string();
        let inner = error.into_inner();
        ("invalid_field", format!("{path}: {inner}"))
    })
}
