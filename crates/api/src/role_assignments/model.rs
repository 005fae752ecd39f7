//! What a role assignment looks like from outside.

use chrono::{DateTime, Utc};
use entity::{resource, role, user_role_assignment};
use sea_orm::DbErr;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::{
    access::{
        actor::{Holder, HolderType},
        permit::{Action, Target},
        registered::{self, Spot},
        resource::{ResourceRef, ResourceType},
    },
    http::{
        answer::Versioned,
        idempotency::OnceError,
        page::{Limit, Order, Paging},
        patch::stated,
        text::Reason,
    },
    policy::Place,
    problem::{Code, Problem, constraint},
    state::AppState,
    users::erasure::LAST_ADMINISTRATOR,
};

/// Action `role:read`, wherever the caller holds it.
pub struct List;
impl Action for List {
    const NAME: &'static str = "role:read";
    const TARGET: Target = Target::Anywhere;
}

/// Reading the own roles.
pub struct ReadOwn;
impl Action for ReadOwn {
    const NAME: &'static str = "self:read";
    const TARGET: Target = Target::Own;
}

/// Action `role:assign`, before it is known where.
pub struct AssignAnywhere;
impl Action for AssignAnywhere {
    const NAME: &'static str = "role:assign";
    const TARGET: Target = Target::Anywhere;
}

/// Action `role:assign` on the resource that a body names.
pub struct Assign;
impl Action for Assign {
    const NAME: &'static str = "role:assign";
    const TARGET: Target = Target::Anywhere;
}

/// Action `role:assign_owner` on the resource of an owner role.
pub struct AssignOwner;
impl Action for AssignOwner {
    const NAME: &'static str = "role:assign_owner";
    const TARGET: Target = Target::Anywhere;
}

/// Action `role:assign` on the resource of an assignment, to remove it.
pub struct Remove;
impl Action for Remove {
    const NAME: &'static str = "role:assign";
    const TARGET: Target = Target::Assignment("assignment_id");
}

/// A resource, as bodies and answers name it: type and id. The system has no id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Resource)]
pub struct ResourceName {
    /// `system`, `organization`, `account`, `project`, or the type of something that an application
    /// registered.
    #[schema(example = "project", max_length = 63)]
    pub r#type: String,
    /// Which one: a UUID, or what the application calls it. Left out for the system only.
    #[serde(default)]
    #[schema(max_length = 256)]
    pub id: Option<String>,
}

impl ResourceName {
    /// The resource that is named.
    ///
    /// # Errors
    ///
    /// [`AssignmentError::ResourceType`] if nothing of that type can have roles on it,
    /// [`AssignmentError::ResourceId`] if an id is missing or is none, or the system has one,
    /// [`AssignmentError::NotFound`] if nothing is registered so.
    pub async fn find(&self, state: &AppState) -> Result<Spot, AssignmentError> {
        match (self.r#type.parse(), &self.id) {
            (Ok(ResourceType::System), None) => Ok(ResourceRef::SYSTEM.into()),
            (Ok(ResourceType::System), Some(_)) => Err(AssignmentError::ResourceId),
            (
                Ok(
                    kind @ (ResourceType::Organization
                    | ResourceType::Account
                    | ResourceType::Project),
                ),
                id,
            ) => {
                let id = id.as_deref().and_then(|id| Uuid::try_parse(id).ok());
                let id = id.ok_or(AssignmentError::ResourceId)?;
                Ok(ResourceRef::new(kind, id).into())
            }
            (Ok(_), _) => Err(AssignmentError::ResourceType),
            (Err(()), _) if !registered::is_type(&self.r#type) => {
                Err(AssignmentError::ResourceType)
            }
            (Err(()), Some(id)) if registered::is_id(id) => {
                let known = registered::find(state, &self.r#type, id).await?;
                known.map(Into::into).ok_or(AssignmentError::NotFound)
            }
            (Err(()), _) => Err(AssignmentError::ResourceId),
        }
    }

    /// What a row names; `thing` is what an application registered, if it is that.
    ///
    /// # Errors
    ///
    /// If the row names what this program does not know.
    pub fn stored(
        kind: &str,
        id: Option<Uuid>,
        thing: Option<&resource::Model>,
    ) -> Result<Self, DbErr> {
        let unknown = || DbErr::Type(format!("{kind} {id:?} is nothing that has roles on it"));
        match (ResourceType::stored(kind).ok_or_else(unknown)?, thing) {
            (ResourceType::Registered, Some(thing)) => Ok(Self {
                r#type: thing.kind.clone(),
                id: Some(thing.external_id.clone()),
            }),
            (ResourceType::Registered, None) => Err(unknown()),
            (kind, _) => Ok(ResourceRef { kind, id }.into()),
        }
    }
}

impl From<ResourceRef> for ResourceName {
    fn from(resource: ResourceRef) -> Self {
        Place::from(&resource).into()
    }
}

impl From<&Spot> for ResourceName {
    fn from(spot: &Spot) -> Self {
        spot.place().into()
    }
}

impl From<Place> for ResourceName {
    fn from(place: Place) -> Self {
        Self {
            r#type: place.r#type,
            id: place.id,
        }
    }
}

/// Body of `POST /api/role-assignments`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewAssignment {
    /// Who gets the role. A group gets it only on what belongs to its own organization.
    pub principal: Holder,
    /// Key of a role that can be assigned at the type of the resource.
    #[schema(example = "editor", max_length = 63)]
    pub role: String,
    /// Where it holds: there and on all below.
    pub resource: ResourceName,
    /// It holds until, and not at, this time, at most 100 years from now; for good if left out.
    #[serde(default, deserialize_with = "stated")]
    #[schema(nullable = false)]
    pub expires_at: Option<DateTime<Utc>>,
    /// Why; for those who review it later.
    #[serde(default, deserialize_with = "stated")]
    #[schema(nullable = false)]
    pub reason: Option<Reason>,
}

/// A role that someone holds on a resource and on all below it.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = RoleAssignment)]
pub struct AssignmentView {
    /// Its id.
    pub id: Uuid,
    /// Who holds it.
    pub principal: Holder,
    /// The role's key.
    #[schema(example = "editor")]
    pub role: String,
    /// Where it holds.
    pub resource: ResourceName,
    /// Who gave it; `null` if nobody did, such as to who makes an organization.
    pub granted_by: Option<Uuid>,
    /// Why.
    pub reason: Option<String>,
    /// It holds until, and not at, this time; `null`: for good.
    pub expires_at: Option<DateTime<Utc>>,
    /// When it was given.
    pub created_at: DateTime<Utc>,
}

impl AssignmentView {
    /// The view of an assignment of `role` on `resource`.
    ///
    /// # Errors
    ///
    /// If the row names a kind of principal that this program does not know.
    pub fn of(
        row: user_role_assignment::Model,
        role: &role::Model,
        resource: ResourceName,
    ) -> Result<Self, DbErr> {
        let unknown = || DbErr::Type(format!("role assignment {} names an unknown type", row.id));
        let r#type = row.principal_type.parse().map_err(|()| unknown())?;
        let holder = match r#type {
            HolderType::User => row.user_id,
            HolderType::ServiceAccount => row.service_account_id,
            HolderType::Group => row.group_id,
        };
        let principal = Holder {
            r#type,
            id: holder.ok_or_else(unknown)?,
        };
        Ok(Self {
            id: row.id,
            principal,
            role: role.key.clone(),
            resource,
            granted_by: row.granted_by,
            reason: row.reason,
            expires_at: row.expires_at,
            created_at: row.created_at,
        })
    }
}

impl Versioned for AssignmentView {
    /// An assignment is made and removed, never changed.
    fn version(&self) -> i64 {
        1
    }
}

/// The query of the list of assignments.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct AssignmentFilter {
    /// Items a page has at most.
    #[serde(default)]
    #[param(value_type = Option<u8>, minimum = 1, maximum = 200, default = 50)]
    pub limit: Limit,
    /// `next_cursor` of the page before.
    #[param(max_length = 200)]
    pub cursor: Option<String>,
    /// Oldest first (`created_at`) or newest first (`-created_at`, the default).
    #[serde(default)]
    #[param(inline)]
    pub order: Order,
    /// Held by this kind of principal.
    #[param(inline)]
    pub principal_type: Option<HolderType>,
    /// Held by this principal.
    pub principal_id: Option<Uuid>,
    /// On this kind of resource: one of Gatepost's, or a type of an application's.
    #[param(max_length = 63, example = "project")]
    pub resource_type: Option<String>,
    /// On this resource.
    #[param(max_length = 256)]
    pub resource_id: Option<String>,
    /// Of the role with this key.
    #[param(max_length = 63)]
    pub role: Option<String>,
}

impl AssignmentFilter {
    /// The part that every list has.
    pub fn paging(&self) -> Paging {
        Paging {
            limit: self.limit,
            cursor: self.cursor.clone(),
            order: self.order,
        }
    }
}

/// A role that the caller holds now, and where it comes from.
#[derive(Debug, Serialize, ToSchema)]
pub struct EffectiveRole {
    /// The role assignment that gives it.
    pub role_assignment_id: Uuid,
    /// The role's key.
    #[schema(example = "editor")]
    pub role: String,
    /// Where it holds: there and on all below.
    pub resource: ResourceName,
    /// From the system down to the resource.
    pub path: Vec<PathPart>,
    /// What it carries.
    pub permissions: Vec<String>,
    /// The group that holds it, for its members; `null`: it was given to the user.
    pub group: Option<GroupName>,
    /// It holds until, and not at, this time; `null`: for good.
    pub expires_at: Option<DateTime<Utc>>,
}

/// A group that a role comes by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct GroupName {
    /// Its id.
    pub id: Uuid,
    /// What it is called.
    pub name: String,
}

/// One step on the way from the system to a resource.
#[derive(Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct PathPart {
    /// What it is.
    #[schema(example = "project")]
    pub r#type: String,
    /// Which one; `null` for the system.
    pub id: Option<String>,
    /// What it is called; `null` for the system, and for what an application registered.
    pub name: Option<String>,
}

/// Why a role was not given or taken.
#[derive(Debug, thiserror::Error)]
pub enum AssignmentError {
    /// The assignment, or its resource, is gone.
    #[error("no such role assignment")]
    NotFound,
    /// Roles cannot be held on what is of this type.
    #[error("is neither ours nor a type that applications can register")]
    ResourceType,
    /// The named resource has no id, or is the system and has one.
    #[error("is needed for everything but the system, which has none; ours are UUIDs")]
    ResourceId,
    /// There is no such role for the organization.
    #[error("there is no role with this key")]
    UnknownRole,
    /// The role exists, but not for this type of resource.
    #[error("this role cannot be assigned on a resource of this type")]
    NotAssignable,
    /// There is no such principal, or it was turned away.
    #[error("there is nobody with this id who could hold a role")]
    UnknownPrincipal,
    /// The assignment would end before it begins, or after any time that policies can reckon with.
    #[error("must be in the future, and within 100 years")]
    Expiry,
    /// Who gives or takes lacks some of what the role carries.
    #[error("You do not hold here what the role carries: {}.", .0.join(", "))]
    Lacking(Vec<String>),
    /// The principal holds the role there already.
    #[error("the role is held already")]
    AlreadyAssigned,
    /// The organization would be left without an owner.
    #[error("the last owner stays")]
    LastOwner,
    /// The system would be left without an administrator.
    #[error("the last administrator of the system stays")]
    LastAdministrator,
    /// `If-Match` does not fit.
    #[error("the assignment is another one than the client has seen")]
    Changed,
    /// The policy says no.
    #[error("refused")]
    Refused(Problem),
    /// The idempotency key stood in the way.
    #[error(transparent)]
    Once(#[from] OnceError),
    /// The database failed.
    #[error("database failure")]
    Database(#[source] DbErr),
}

impl From<DbErr> for AssignmentError {
    fn from(error: DbErr) -> Self {
        match constraint(&error) {
            Some(LAST_ADMINISTRATOR) => Self::LastAdministrator,
            _ => Self::Database(error),
        }
    }
}

impl From<AssignmentError> for Problem {
    fn from(error: AssignmentError) -> Self {
        let (field, code) = match error {
            AssignmentError::ResourceType => ("resource.type", "invalid_value"),
            AssignmentError::ResourceId => ("resource.id", "invalid_value"),
            AssignmentError::UnknownRole => ("role", "unknown_role"),
            AssignmentError::NotAssignable => ("role", "not_assignable"),
            AssignmentError::UnknownPrincipal => ("principal.id", "unknown_principal"),
            AssignmentError::Expiry => ("expires_at", "out_of_range"),
            AssignmentError::NotFound => return Self::plain(Code::NotFound),
            AssignmentError::Lacking(_) => return Self::new(Code::Forbidden, error),
            AssignmentError::AlreadyAssigned => return Self::plain(Code::AlreadyAssigned),
            AssignmentError::LastOwner => return Self::plain(Code::LastOwner),
            AssignmentError::LastAdministrator => return Self::plain(Code::LastAdministrator),
            AssignmentError::Changed => return Self::plain(Code::PreconditionFailed),
            AssignmentError::Refused(problem) => return problem,
            AssignmentError::Once(source) => return source.into(),
            AssignmentError::Database(source) => return source.into(),
        };
        Self::invalid(field, code, error.to_string())
    }
}
