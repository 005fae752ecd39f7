//! The question that a policy decides: one document, the same for both engines.
//!
//! The types are the input's schema (`opa/schemas/input.json`). Each turns into JSON
//! by serde, for an OPA server, and straight into the embedded engine's values, which
//! saves that engine the printing and parsing of text on every request.
use std::collections::BTreeMap;

use chrono::{DateTime, Datelike, SecondsFormat, Utc};
use regorus::Value;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::Map;
use uuid::Uuid;

use super::PolicyUnavailable;

/// May this subject take this action on this resource?
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Input {
    /// Who asks.
    pub subject: Subject,
    /// What they want to do.
    pub action: Action,
    /// What they want to do it with.
    pub resource: Resource,
    /// The roles that the subject holds. The policy itself finds those that count here,
    /// so all may be sent; sending only those on the resource's path is faster.
    pub grants: Vec<Grant>,
    /// When, and from where.
    pub context: Context,
}

/// A principal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Subject {
    /// `user`, `service_account`, or a type that only a custom policy knows.
    pub r#type: String,
    /// Its id, unique within the type; empty is refused.
    pub id: String,
    /// What is known of it. `status` must be `active`, or everything is refused.
    pub properties: Map<String, serde_json::Value>,
}

impl Subject {
    /// A principal of Gatepost's, with its `status` and nothing else known of it.
    pub fn new(kind: impl Into<String>, id: impl Into<String>, status: &str) -> Self {
        Self {
            r#type: kind.into(),
            id: id.into(),
            properties: Map::from_iter([("status".to_owned(), status.into())]),
        }
    }
}

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Action {
    /// A permission, `type:verb`, without asterisks.
    pub name: String,
    /// What else is known of the action, for custom rules.
    #[serde(default)]
    pub properties: Map<String, serde_json::Value>,
}

impl Action {
    /// The action that needs `permission`.
    pub fn new(permission: impl Into<String>) -> Self {
        Self {
            name: permission.into(),
            properties: Map::new(),
        }
    }
}

/// A thing, and where it stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Resource {
    /// Its type.
    pub r#type: String,
    /// Its id; only the system has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// What is known of it, for custom rules.
    #[serde(default)]
    pub properties: Map<String, serde_json::Value>,
    /// From the system down to what the grants may be on: the resource itself stands
    /// last, if roles can be given on it. A grant holds if its resource is in here.
    pub path: Vec<Place>,
}

impl Resource {
    /// The thing that stands last in `path`; for an empty path, the system, which then
    /// nobody holds a role on.
    pub fn at(path: Vec<Place>) -> Self {
        let last = path.last().cloned().unwrap_or_else(Place::system);
        Self {
            r#type: last.r#type,
            id: last.id,
            properties: Map::new(),
            path,
        }
    }

    /// The system as a whole.
    pub fn system() -> Self {
        Self::at(vec![Place::system()])
    }
}

/// A node of the hierarchy that roles are given on.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Place {
    /// `system`, `organization`, `account`, `project`, or an application's type.
    pub r#type: String,
    /// Its id; only the system has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
}

impl Place {
    /// The root of the hierarchy.
    pub fn system() -> Self {
        Self {
            r#type: "system".to_owned(),
            id: None,
        }
    }

    /// A node below the system.
    pub fn new(kind: impl Into<String>, id: impl Into<String>) -> Self {
        Self {
            r#type: kind.into(),
            id: Some(id.into()),
        }
    }
}

/// A role that the subject holds somewhere.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Grant {
    /// The role assignment's id; decisions name the grants that they rest on by it.
    pub id: Uuid,
    /// The role's key.
    pub role: String,
    /// What the role carries.
    pub permissions: Vec<String>,
    /// Where it holds: here, and on everything below.
    pub resource: Place,
    /// From this instant on it holds no more.
    // With a function to read it, leaving it out is an error and not "for ever".
    #[serde(
        serialize_with = "serialize_expiry",
        deserialize_with = "Option::deserialize"
    )]
    pub expires_at: Option<DateTime<Utc>>,
}

/// The circumstances.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Context {
    /// Now, by the caller's clock.
    #[serde(serialize_with = "serialize_instant")]
    pub time: DateTime<Utc>,
    /// Anything else: `ip`, `settings.organization_creation`, what a client sent along.
    /// A member named `time` in here would clash with the field: do not put one in.
    #[serde(flatten)]
    pub more: Map<String, serde_json::Value>,
}

impl Context {
    /// Only the time is known.
    pub fn at(time: DateTime<Utc>) -> Self {
        Self {
            time,
            more: Map::new(),
        }
    }
}

// One way to write an instant for both engines.
fn instant(time: &DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::AutoSi, true)
}

fn serialize_instant<S: Serializer>(time: &DateTime<Utc>, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&instant(time))
}

#[expect(
    clippy::ref_option,
    reason = "serde's serialize_with passes the field by reference"
)]
fn serialize_expiry<S: Serializer>(time: &Option<DateTime<Utc>>, to: S) -> Result<S::Ok, S::Error> {
    match time {
        Some(time) => serialize_instant(time, to),
        None => to.serialize_none(),
    }
}

impl Input {
    /// Whether nothing is wrong with the question that its types leave open: what the policy's
    /// `decision` looks at before it answers. A property test holds the two against each other.
    pub(super) fn is_well_formed(&self) -> bool {
        let is_named = |id: Option<&str>| id.is_none_or(|id| !id.is_empty());
        let has_id = self.resource.id.is_some() || self.resource.r#type == "system";
        let verbs = self.action.name.split_once(':');
        !self.subject.r#type.is_empty()
            && !self.subject.id.is_empty()
            && !self.resource.r#type.is_empty()
            && has_id
            && is_named(self.resource.id.as_deref())
            && !self.action.name.contains('*')
            && verbs.is_some_and(|(kind, verb)| {
                !kind.is_empty() && !verb.is_empty() && !verb.contains(':')
            })
            // The years that the policy can count in nanoseconds.
            && (1970..2260).contains(&self.context.time.year())
    }

    /// The same document as values of the embedded engine.
    ///
    /// # Errors
    ///
    /// [`PolicyUnavailable::Evaluation`] for a number that the engine cannot hold.
    pub(super) fn to_value(&self) -> Result<Value, PolicyUnavailable> {
        let Self {
            subject,
            action,
            resource,
            grants,
            context,
        } = self;
        let mut circumstances = members(&context.more)?;
        circumstances.insert("time".into(), instant(&context.time).into());
        let mut thing = place_members(&resource.r#type, resource.id.as_deref());
        thing.insert("properties".into(), properties(&resource.properties)?);
        thing.insert("path".into(), array(resource.path.iter().map(place)));
        Ok(object([
            (
                "subject",
                object([
                    ("type", text(&subject.r#type)),
                    ("id", text(&subject.id)),
                    ("properties", properties(&subject.properties)?),
                ]),
            ),
            (
                "action",
                object([
                    ("name", text(&action.name)),
                    ("properties", properties(&action.properties)?),
                ]),
            ),
            ("resource", thing.into()),
            ("grants", array(grants.iter().map(grant))),
            ("context", circumstances.into()),
        ]))
    }
}

fn grant(grant: &Grant) -> Value {
    let expires_at = grant
        .expires_at
        .as_ref()
        .map_or(Value::Null, |time| instant(time).into());
    object([
        ("id", text(&grant.id.to_string())),
        ("role", text(&grant.role)),
        (
            "permissions",
            array(grant.permissions.iter().map(|held| text(held))),
        ),
        ("resource", place(&grant.resource)),
        ("expires_at", expires_at),
    ])
}

fn place(place: &Place) -> Value {
    place_members(&place.r#type, place.id.as_deref()).into()
}

fn place_members(kind: &str, id: Option<&str>) -> BTreeMap<Value, Value> {
    let mut members = BTreeMap::from([("type".into(), text(kind))]);
    if let Some(id) = id {
        members.insert("id".into(), text(id));
    }
    members
}

fn text(text: &str) -> Value {
    text.into()
}

fn object<const N: usize>(members: [(&str, Value); N]) -> Value {
    BTreeMap::from(members.map(|(key, value)| (Value::from(key), value))).into()
}

fn array(items: impl Iterator<Item = Value>) -> Value {
    items.collect::<Vec<_>>().into()
}

fn properties(map: &Map<String, serde_json::Value>) -> Result<Value, PolicyUnavailable> {
    Ok(members(map)?.into())
}

fn members(
    map: &Map<String, serde_json::Value>,
) -> Result<BTreeMap<Value, Value>, PolicyUnavailable> {
    map.iter()
        .map(|(key, value)| Ok((text(key), json(value)?)))
        .collect()
}

/// Any JSON as the embedded engine's value.
pub(super) fn json(value: &serde_json::Value) -> Result<Value, PolicyUnavailable> {
    Ok(match value {
        serde_json::Value::Null => Value::Null,
        serde_json::Value::Bool(flag) => Value::Bool(*flag),
        serde_json::Value::Number(number) => match (number.as_u64(), number.as_i64()) {
            (Some(number), _) => number.into(),
            (_, Some(number)) => number.into(),
            _ => Value::from_numeric_string(&number.to_string())
                .map_err(PolicyUnavailable::evaluation)?,
        },
        serde_json::Value::String(string) => text(string),
        serde_json::Value::Array(items) => items
            .iter()
            .map(json)
            .collect::<Result<Vec<_>, _>>()?
            .into(),
        serde_json::Value::Object(map) => properties(map)?,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn question() -> Input {
        let expiry = "2026-11-21T10:00:00.25Z".parse().unwrap();
        let path = vec![Place::system(), Place::new("project", "p")];
        let mut input = Input {
            subject: Subject::new("user", "u", "active"),
            action: Action::new("project:read"),
            resource: Resource::at(path),
            grants: vec![Grant {
                id: Uuid::nil(),
                role: "viewer".to_owned(),
                permissions: vec!["project:read".to_owned()],
                resource: Place::system(),
                expires_at: Some(expiry),
            }],
            context: Context::at(expiry),
        };
        let odd = json!({"n": [1, -1, 1.5, 18_446_744_073_709_551_615_u64], "t": true, "z": null});
        input
            .subject
            .properties
            .insert("odd".to_owned(), odd.clone());
        input
            .action
            .properties
            .insert("odd".to_owned(), odd.clone());
        input
            .resource
            .properties
            .insert("odd".to_owned(), odd.clone());
        input.context.more.insert("odd".to_owned(), odd);
        input
    }

    #[test]
    fn both_engines_get_the_same_document() {
        let mut input = question();
        for expires_at in [input.grants[0].expires_at, None] {
            input.grants[0].expires_at = expires_at;
            let printed = serde_json::to_string(&input).unwrap();
            assert_eq!(
                input.to_value().unwrap(),
                Value::from_json_str(&printed).unwrap()
            );
        }
    }

    #[test]
    fn an_instant_is_written_in_utc_and_read_back() {
        let input = question();
        let printed = serde_json::to_value(&input).unwrap();
        assert_eq!(printed["context"]["time"], "2026-11-21T10:00:00.250Z");
        assert_eq!(serde_json::from_value::<Input>(printed).unwrap(), input);
    }

    #[test]
    fn a_grant_must_say_when_it_ends() {
        let mut printed = serde_json::to_value(question()).unwrap();
        let grant = printed["grants"][0].as_object_mut().unwrap();
        grant.remove("expires_at");
        assert!(serde_json::from_value::<Input>(printed).is_err());
    }

    #[test]
    fn the_system_has_no_id() {
        let printed = serde_json::to_value(Resource::system()).unwrap();
        assert_eq!(
            printed,
            json!({"type": "system", "properties": {}, "path": [{"type": "system"}]})
        );
    }
}
