//! What a registered resource looks like from outside.

use chrono::{DateTime, Utc};
use entity::resource;
use sea_orm::DbErr;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::{
    access::{
        permit::{Action, Target},
        registered,
        resource::ResourceType,
    },
    http::{
        answer::Versioned,
        page::{Limit, Order, Paging},
        text::{ThingId, ThingType},
    },
    policy::Place,
    problem::{Code, Problem},
};

/// Resources that one request registers at most.
pub const MOST: usize = 1000;
/// Bytes of JSON that the properties of one resource may have.
const MOST_PROPERTIES: usize = 16 * 1024;

/// Action `resource:read`, before it is known where.
pub struct ReadAnywhere;
impl Action for ReadAnywhere {
    const NAME: &'static str = "resource:read";
    const TARGET: Target = Target::Anywhere;
}

/// Action `resource:read` on the resource.
pub struct Read;
impl Action for Read {
    const NAME: &'static str = "resource:read";
    const TARGET: Target = Target::Anywhere;
}

/// Action `resource:manage`, before it is known where.
pub struct ManageAnywhere;
impl Action for ManageAnywhere {
    const NAME: &'static str = "resource:manage";
    const TARGET: Target = Target::Anywhere;
}

/// Action `resource:manage` on what the resource stands below.
pub struct Manage;
impl Action for Manage {
    const NAME: &'static str = "resource:manage";
    const TARGET: Target = Target::Anywhere;
}

/// What a resource stands below.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(try_from = "ParentText")]
#[schema(as = ResourceParent)]
pub struct Parent {
    /// `organization`, `account`, `project`, or a type of an application's.
    pub r#type: String,
    /// Its id; of an application's, what was registered.
    #[schema(min_length = 1, max_length = 256)]
    pub id: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ParentText {
    r#type: String,
    id: String,
}

impl TryFrom<ParentText> for Parent {
    type Error = String;

    fn try_from(text: ParentText) -> Result<Self, String> {
        Self::new(text.r#type, text.id)
    }
}

impl Parent {
    /// # Errors
    ///
    /// Why nothing stands below this.
    pub fn new(kind: String, id: String) -> Result<Self, String> {
        let fits = match kind.parse() {
            Ok(ResourceType::Organization | ResourceType::Account | ResourceType::Project) => {
                Uuid::try_parse(&id).is_ok()
            }
            Ok(_) => false,
            Err(()) => registered::is_type(&kind) && registered::is_id(&id),
        };
        if fits {
            Ok(Self { r#type: kind, id })
        } else {
            Err("must be an organization, an account or a project by its id, or a registered resource".to_owned())
        }
    }
}

impl From<Place> for Parent {
    fn from(place: Place) -> Self {
        Self {
            r#type: place.r#type,
            id: place.id.unwrap_or_default(),
        }
    }
}

/// What policies see of a resource, as far as the application says it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(try_from = "Map<String, Value>")]
#[schema(as = ResourceProperties, value_type = std::collections::HashMap<String, Value>)]
pub struct Properties(pub Map<String, Value>);

impl TryFrom<Map<String, Value>> for Properties {
    type Error = String;

    fn try_from(members: Map<String, Value>) -> Result<Self, String> {
        if members.contains_key("parent") {
            return Err("must not have `parent`, which stands beside them".to_owned());
        }
        let bytes = serde_json::to_vec(&members).map_or(usize::MAX, |text| text.len());
        if bytes > MOST_PROPERTIES {
            return Err(format!("must have at most {MOST_PROPERTIES} bytes as JSON"));
        }
        Ok(Self(members))
    }
}

/// Body of `PUT /api/resources/{type}/{id}`.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ResourceBody {
    /// What it stands below.
    pub parent: Parent,
    /// What policies see of it: an object of at most 16 KiB.
    #[serde(default)]
    #[schema(value_type = std::collections::HashMap<String, Value>)]
    pub properties: Properties,
}

/// One resource of a batch.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewResource {
    /// The application's type.
    pub r#type: ThingType,
    /// What the application calls it; unique in the type.
    pub id: ThingId,
    /// What it stands below; may stand before it in the same batch.
    pub parent: Parent,
    /// What policies see of it: an object of at most 16 KiB.
    #[serde(default)]
    #[schema(value_type = std::collections::HashMap<String, Value>)]
    pub properties: Properties,
}

/// Body of `POST /api/resources/batch`.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ResourceBatch {
    /// 1 to 1,000 resources, each once.
    #[schema(min_items = 1, max_items = 1000)]
    pub resources: Vec<NewResource>,
}

/// What a batch came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct BatchAnswer {
    /// Resources that are new.
    pub created: usize,
    /// Resources that were there, and were changed.
    pub updated: usize,
    /// Resources that were there, and as they should be.
    pub unchanged: usize,
}

/// The query of `GET /api/resources`.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct ResourceFilter {
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
    /// Of this type.
    #[param(max_length = 63)]
    pub r#type: Option<String>,
    /// Right below this, as `<type>:<id>`.
    #[param(max_length = 330)]
    pub parent: Option<String>,
}

impl ResourceFilter {
    /// The part that every list has.
    pub fn paging(&self) -> Paging {
        Paging {
            limit: self.limit,
            cursor: self.cursor.clone(),
            order: self.order,
        }
    }

    /// What the resources stand right below.
    ///
    /// # Errors
    ///
    /// `400`.
    pub fn parent(&self) -> Result<Option<Parent>, Problem> {
        let Some(text) = &self.parent else {
            return Ok(None);
        };
        let parent = match text.split_once(':') {
            Some((kind, id)) => Parent::new(kind.to_owned(), id.to_owned()),
            None => Err("must be `<type>:<id>`".to_owned()),
        };
        parent
            .map(Some)
            .map_err(|message| Problem::invalid("parent", "invalid_value", message))
    }
}

/// A thing of an application that it has registered.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = RegisteredResource)]
pub struct ResourceView {
    /// The application's type.
    pub r#type: String,
    /// What the application calls it.
    pub id: String,
    /// What it stands right below.
    pub parent: Parent,
    /// The organization it belongs to.
    pub organization_id: Uuid,
    /// What policies see of it.
    #[schema(value_type = std::collections::HashMap<String, Value>)]
    pub properties: Value,
    /// When it was registered.
    pub created_at: DateTime<Utc>,
    /// When it was changed last.
    pub updated_at: DateTime<Utc>,
    /// Counts changes; `ETag` is made of it.
    pub version: i64,
}

impl ResourceView {
    /// Of a row whose parent, if it is registered too, is `above`.
    pub(super) fn of(row: resource::Model, above: Option<Parent>) -> Self {
        let ours = |kind: ResourceType, id: Uuid| Parent {
            r#type: kind.as_str().to_owned(),
            id: id.to_string(),
        };
        let parent = match (above, row.project_id, row.account_id) {
            (Some(above), ..) => above,
            (None, Some(id), _) => ours(ResourceType::Project, id),
            (None, None, Some(id)) => ours(ResourceType::Account, id),
            (None, None, None) => ours(ResourceType::Organization, row.organization_id),
        };
        Self {
            r#type: row.kind,
            id: row.external_id,
            parent,
            organization_id: row.organization_id,
            properties: row.properties,
            created_at: row.created_at,
            updated_at: row.updated_at,
            version: row.version,
        }
    }
}

impl Versioned for ResourceView {
    fn version(&self) -> i64 {
        self.version
    }
}

/// Why something did not happen to a registered resource.
#[derive(Debug, thiserror::Error)]
pub enum ResourceError {
    /// It, or what it should stand below, is not there.
    #[error("no such resource")]
    NotFound,
    /// A batch is empty, or too long.
    #[error("must have 1 to {MOST} items")]
    Length,
    /// A batch has one resource twice: its place in the batch.
    #[error("resource {0} of the batch stands there twice")]
    Twice(usize),
    /// It would stand below itself.
    #[error("A resource cannot stand below itself.")]
    BelowItself,
    /// It, or something below it, would have too many registered resources above it.
    #[error("At most 8 registered resources may stand above one another.")]
    TooDeep,
    /// Someone else changed it, or what it stands below, at the same time.
    #[error("It, or what it stands below, was changed at the same time. Try again.")]
    Raced,
    /// It was changed since the client saw it.
    #[error("the resource was changed in the meantime")]
    Changed,
    /// The caller may not do it there, or cannot be answered.
    #[error("not allowed")]
    Refused(Problem),
    /// The database failed.
    #[error("database failure")]
    Database(#[from] DbErr),
}

impl From<Problem> for ResourceError {
    fn from(problem: Problem) -> Self {
        Self::Refused(problem)
    }
}

impl From<ResourceError> for Problem {
    fn from(error: ResourceError) -> Self {
        match error {
            ResourceError::NotFound => Self::plain(Code::NotFound),
            ResourceError::Length => {
                Self::invalid("resources", "invalid_length", error.to_string())
            }
            ResourceError::Twice(index) => Self::invalid(
                format!("resources[{index}]"),
                "duplicate",
                "stands in the batch twice",
            ),
            ResourceError::BelowItself | ResourceError::TooDeep | ResourceError::Raced => {
                Self::new(Code::Conflict, error)
            }
            ResourceError::Changed => Self::plain(Code::PreconditionFailed),
            ResourceError::Refused(problem) => problem,
            ResourceError::Database(source) => source.into(),
        }
    }
}
