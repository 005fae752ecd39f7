//! What permissions are about, and where it stands in the hierarchy
//! `system -> organization -> account -> project`.

use std::{collections::HashMap, fmt, str::FromStr, sync::Arc};

use sea_orm::{ConnectionTrait, DbErr, FromQueryResult, Statement};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::actor::{Principal, PrincipalType};
use crate::{
    database::tx::{Scope, Tx},
    state::AppState,
};

/// The types of resources that are Gatepost's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ResourceType {
    /// The installation as a whole.
    System,
    /// A tenant.
    Organization,
    /// Part of an organization.
    Account,
    /// Part of an account.
    Project,
    /// A person's account; below the system.
    #[serde(skip)]
    User,
    /// A program's account; below the system.
    #[serde(skip)]
    ServiceAccount,
    /// Something that an application registered, by our own id of it. Only what is stored says so:
    /// outside it has the application's type.
    #[serde(skip)]
    Registered,
}

impl ResourceType {
    /// Its name in the database, the interface and the policy.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::Organization => "organization",
            Self::Account => "account",
            Self::Project => "project",
            Self::User => "user",
            Self::ServiceAccount => "service_account",
            Self::Registered => "resource",
        }
    }

    /// The type that a row of the database names.
    pub fn stored(text: &str) -> Option<Self> {
        if text == Self::Registered.as_str() {
            Some(Self::Registered)
        } else {
            text.parse().ok()
        }
    }
}

impl ResourceType {
    /// Whether the database knows where one stands; the others stand right below the system.
    pub const fn is_looked_up(self) -> bool {
        matches!(self, Self::Organization | Self::Account | Self::Project)
    }
}

impl FromStr for ResourceType {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "system" => Ok(Self::System),
            "organization" => Ok(Self::Organization),
            "account" => Ok(Self::Account),
            "project" => Ok(Self::Project),
            "user" => Ok(Self::User),
            "service_account" => Ok(Self::ServiceAccount),
            _ => Err(()),
        }
    }
}

/// One resource. The system has no id; everything else has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ResourceRef {
    /// What it is.
    pub kind: ResourceType,
    /// Which one.
    pub id: Option<Uuid>,
}

impl ResourceRef {
    /// The installation as a whole.
    pub const SYSTEM: Self = Self {
        kind: ResourceType::System,
        id: None,
    };

    /// One of a kind that has ids.
    pub const fn new(kind: ResourceType, id: Uuid) -> Self {
        Self { kind, id: Some(id) }
    }
}

impl fmt::Display for ResourceRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.id {
            Some(id) => write!(f, "{}:{id}", self.kind.as_str()),
            None => f.write_str(self.kind.as_str()),
        }
    }
}

/// A resource that exists, with all that stands above it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Located {
    /// The resource itself.
    pub resource: ResourceRef,
    /// From the system down to the resource itself.
    pub path: Arc<[ResourceRef]>,
    /// The user who owns it, where a resource has one.
    pub owner_id: Option<Uuid>,
}

impl Located {
    /// The system.
    pub fn system() -> Self {
        Self {
            resource: ResourceRef::SYSTEM,
            path: [ResourceRef::SYSTEM].into(),
            owner_id: None,
        }
    }

    /// A user. It stands right below the system, so nothing has to be looked up.
    pub fn user(id: Uuid) -> Self {
        Self::principal(Principal::user(id))
    }

    /// A user or a service account, which stand right below the system.
    pub fn principal(principal: Principal) -> Self {
        let kind = match principal.r#type {
            PrincipalType::User => ResourceType::User,
            PrincipalType::ServiceAccount => ResourceType::ServiceAccount,
        };
        Self::below_system(ResourceRef::new(kind, principal.id))
    }

    fn below_system(resource: ResourceRef) -> Self {
        Self {
            resource,
            path: [ResourceRef::SYSTEM, resource].into(),
            owner_id: None,
        }
    }

    /// The tenant it belongs to.
    pub fn organization_id(&self) -> Option<Uuid> {
        let is_organization = |part: &&ResourceRef| part.kind == ResourceType::Organization;
        self.path
            .iter()
            .find(is_organization)
            .and_then(|part| part.id)
    }

    /// The rows that someone who was allowed to act here may touch.
    pub fn scope(&self) -> Scope {
        match self.organization_id() {
            Some(id) => Scope::Organizations(vec![id]),
            None => Scope::System,
        }
    }
}

#[derive(FromQueryResult)]
struct Parents {
    kind: String,
    id: Uuid,
    organization: Uuid,
    account: Option<Uuid>,
    owner: Option<Uuid>,
}

/// Where a resource stands, or nothing if there is no such resource.
///
/// Answered from memory where that is known to be true.
pub async fn locate(
    state: &AppState,
    resource: ResourceRef,
) -> Result<Option<Arc<Located>>, DbErr> {
    let (kind, id) = match (resource.kind, resource.id) {
        (ResourceType::System, _) => return Ok(Some(Arc::new(Located::system()))),
        (_, None) => return Ok(None),
        (kind, Some(id)) => (kind, id),
    };
    match kind {
        ResourceType::User => return Ok(Some(Arc::new(Located::user(id)))),
        ResourceType::ServiceAccount => {
            let principal = Principal::service_account(id);
            return Ok(Some(Arc::new(Located::principal(principal))));
        }
        // Found by what the application calls it.
        ResourceType::Registered => return Ok(None),
        _ => {}
    }
    state
        .cache
        .resources
        .get_or_load(resource, async || {
            let found = look_up(state, &[ResourceRef::new(kind, id)]).await?;
            Ok(found.into_iter().next().map(|(_, located)| located))
        })
        .await
}

/// Where organizations, accounts and projects stand, those of them that there are; by one query.
pub async fn locate_many(
    state: &AppState,
    resources: impl IntoIterator<Item = ResourceRef>,
) -> Result<HashMap<ResourceRef, Arc<Located>>, DbErr> {
    state
        .cache
        .resources
        .get_or_load_many(resources, async |missing| look_up(state, &missing).await)
        .await
}

/// Of those that have parents in the database.
const PARENTS: &str = "SELECT 'organization' AS kind, id, id AS organization, NULL::uuid AS account, \
            NULL::uuid AS owner FROM organizations WHERE id = ANY($1) \
     UNION ALL \
     SELECT 'account', id, organization_id, id, NULL FROM accounts WHERE id = ANY($2) \
     UNION ALL \
     SELECT 'project', id, organization_id, account_id, owner_id FROM projects WHERE id = ANY($3)";

async fn look_up(
    state: &AppState,
    resources: &[ResourceRef],
) -> Result<Vec<(ResourceRef, Arc<Located>)>, DbErr> {
    let of = |kind| -> Vec<Uuid> {
        let of_kind = resources.iter().filter(|resource| resource.kind == kind);
        of_kind.filter_map(|resource| resource.id).collect()
    };
    let values = [
        of(ResourceType::Organization).into(),
        of(ResourceType::Account).into(),
        of(ResourceType::Project).into(),
    ];
    let tx = Tx::begin(state, &Scope::System).await?;
    let statement = Statement::from_sql_and_values(tx.get_database_backend(), PARENTS, values);
    let found = Parents::find_by_statement(statement).all(&*tx).await?;
    tx.commit().await?;
    let located = found.into_iter().filter_map(Parents::locate);
    Ok(located
        .map(|located| (located.resource, Arc::new(located)))
        .collect())
}

impl Parents {
    fn locate(self) -> Option<Located> {
        let itself = ResourceRef::new(self.kind.parse().ok()?, self.id);
        let organization = ResourceRef::new(ResourceType::Organization, self.organization);
        let account = self
            .account
            .map(|id| ResourceRef::new(ResourceType::Account, id));
        let mut path = vec![ResourceRef::SYSTEM, organization];
        path.extend(account);
        if itself.kind == ResourceType::Project {
            path.push(itself);
        }
        Some(Located {
            resource: itself,
            path: path.into(),
            owner_id: self.owner,
        })
    }
}
