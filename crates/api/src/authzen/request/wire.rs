//! The shapes of what is sent. What is documented as required is optional here, so that a
//! fault can be told in our own words.

use serde::{Deserialize, de::IgnoredAny};
use serde_json::{Map, Value, value::RawValue};
use utoipa::ToSchema;

/// May this subject take this action on this resource?
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = AuthzenEvaluationRequest)]
pub struct QuestionText<'a> {
    /// Who.
    #[serde(borrow)]
    #[schema(value_type = EntityText)]
    pub(super) subject: Option<&'a RawValue>,
    /// Does what.
    #[serde(borrow)]
    #[schema(value_type = ActionText)]
    pub(super) action: Option<&'a RawValue>,
    /// With what. `properties.parent`, `{"type", "id"}`, says where a thing of an application
    /// stands: below which organization, account or project.
    #[serde(borrow)]
    #[schema(value_type = EntityText)]
    pub(super) resource: Option<&'a RawValue>,
    /// Under which circumstances, for custom rules.
    #[serde(borrow)]
    #[schema(value_type = Option<std::collections::HashMap<String, Value>>)]
    pub(super) context: Option<&'a RawValue>,
}

/// Many questions. The members beside `evaluations` stand in for those that an item lacks.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = AuthzenEvaluationsRequest)]
pub struct BatchText<'a> {
    /// Who, where an item does not say.
    #[serde(borrow)]
    #[schema(value_type = Option<EntityText>)]
    pub(super) subject: Option<&'a RawValue>,
    /// Does what, where an item does not say.
    #[serde(borrow)]
    #[schema(value_type = Option<ActionText>)]
    pub(super) action: Option<&'a RawValue>,
    /// With what, where an item does not say.
    #[serde(borrow)]
    #[schema(value_type = Option<EntityText>)]
    pub(super) resource: Option<&'a RawValue>,
    /// Under which circumstances, where an item does not say.
    #[serde(borrow)]
    #[schema(value_type = Option<std::collections::HashMap<String, Value>>)]
    pub(super) context: Option<&'a RawValue>,
    /// How the items are worked on.
    #[serde(borrow)]
    #[schema(value_type = Option<Options>)]
    pub(super) options: Option<&'a RawValue>,
    /// The questions. Absent or empty: the members beside it are one.
    #[serde(borrow)]
    #[schema(value_type = Option<Vec<ItemText>>, max_items = 500)]
    pub(super) evaluations: Option<Vec<&'a RawValue>>,
}

/// One question of a batch. Each member replaces the one beside `evaluations` as a whole.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = AuthzenEvaluationItem)]
pub(super) struct ItemText<'a> {
    /// Who.
    #[serde(borrow)]
    #[schema(value_type = Option<EntityText>)]
    pub(super) subject: Option<&'a RawValue>,
    /// Does what.
    #[serde(borrow)]
    #[schema(value_type = Option<ActionText>)]
    pub(super) action: Option<&'a RawValue>,
    /// With what.
    #[serde(borrow)]
    #[schema(value_type = Option<EntityText>)]
    pub(super) resource: Option<&'a RawValue>,
    /// Under which circumstances.
    #[serde(borrow)]
    #[schema(value_type = Option<std::collections::HashMap<String, Value>>)]
    pub(super) context: Option<&'a RawValue>,
}

/// A subject or a resource.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = AuthzenEntity)]
pub(super) struct EntityText {
    /// What it is: for subjects `user`, `service_account` or a type that only custom rules know;
    /// for resources `organization`, `account`, `project`, `user`, `system` or an application's.
    #[schema(value_type = String, min_length = 1)]
    pub(super) r#type: Option<String>,
    /// Which one. A user is known by id, e-mail address or username.
    #[schema(value_type = String, min_length = 1)]
    pub(super) id: Option<String>,
    /// What else is known of it. This adds to what Gatepost knows, and never overrides it.
    pub(super) properties: Option<Map<String, Value>>,
}

/// An action.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = AuthzenAction)]
pub(super) struct ActionText {
    /// A permission such as `project:read`; or a verb such as `read`, which stands for
    /// `<type of the resource>:<verb>`.
    #[schema(value_type = String, min_length = 1)]
    pub(super) name: Option<String>,
    /// What else is known of it, for custom rules.
    pub(super) properties: Option<Map<String, Value>>,
}

/// How a batch is worked on.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[schema(as = AuthzenOptions)]
pub(super) struct Options {
    /// When to stop.
    pub(super) evaluations_semantic: Option<Semantic>,
}

/// When a batch ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = AuthzenSemantic)]
pub enum Semantic {
    /// With the last item.
    #[default]
    ExecuteAll,
    /// With the first item that is denied, or with the last.
    DenyOnFirstDeny,
    /// With the first item that is permitted, or with the last.
    PermitOnFirstPermit,
}

impl Semantic {
    /// Whether an item with this decision is the last.
    pub fn ends_with(self, decision: bool) -> bool {
        match self {
            Self::ExecuteAll => false,
            Self::DenyOnFirstDeny => !decision,
            Self::PermitOnFirstPermit => decision,
        }
    }
}

/// Who may do this, with what may they do it, or what may they do? One entity is left open: its
/// `id` is ignored.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = AuthzenSearchRequest)]
pub struct SearchText<'a> {
    /// Who. Subjects are searched for by their type.
    #[serde(borrow)]
    #[schema(value_type = SearchedText)]
    pub(super) subject: Option<&'a RawValue>,
    /// Does what. Not needed where actions are searched for.
    #[serde(borrow)]
    #[schema(value_type = Option<ActionText>)]
    pub(super) action: Option<&'a RawValue>,
    /// With what. Resources are searched for by their type.
    #[serde(borrow)]
    #[schema(value_type = SearchedText)]
    pub(super) resource: Option<&'a RawValue>,
    /// Under which circumstances, for custom rules.
    #[serde(borrow)]
    #[schema(value_type = Option<std::collections::HashMap<String, Value>>)]
    pub(super) context: Option<&'a RawValue>,
    /// Which part of the results.
    #[serde(borrow)]
    #[schema(value_type = Option<PageText>)]
    pub(super) page: Option<&'a RawValue>,
}

/// An entity that may be left open.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = AuthzenSearchedEntity)]
pub(super) struct SearchedText {
    /// What it is.
    #[schema(value_type = String, min_length = 1)]
    pub(super) r#type: Option<String>,
    /// Which one; ignored if it is searched for, else needed.
    #[serde(rename = "id")]
    #[schema(value_type = Option<String>)]
    _id: Option<IgnoredAny>,
    /// What else is known of it.
    pub(super) properties: Option<Map<String, Value>>,
}

/// Which part of the results.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[schema(as = AuthzenPageRequest)]
pub(super) struct PageText {
    /// `next_token` of the page before; nothing else of the request may have changed.
    pub(super) token: Option<String>,
    /// Results that a page has at most: 50 if it is 0 or not said, never more than 500.
    pub(super) limit: Option<u32>,
}
