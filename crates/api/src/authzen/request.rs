//! What is asked, as it was sent.
//!
//! Entities stay unread text until they are used: the defaults of a batch may be incomplete, and
//! a fault in one item must not spoil the others. Members that are `null` count as absent, and
//! unknown ones are ignored, as `AuthZEN` 1.0 demands.

mod read;
mod search;
mod wire;

use actix_web::{FromRequest, HttpRequest, dev::Payload, web::Bytes};
use futures_util::future::LocalBoxFuture;
use serde::{Deserialize, de::IgnoredAny};
use serde_json::{Map, Value, value::RawValue};

use self::{
    read::{fault, join, malformed, parse, scan},
    wire::{ActionText, EntityText, ItemText, Options},
};
pub use self::{
    search::{Kind, Search},
    wire::{BatchText, QuestionText, SearchText, Semantic},
};
use crate::{
    http::body,
    problem::{FieldError, Problem},
};

/// Items that a batch may have.
pub const MOST_ITEMS: usize = 500;

/// The body of a question: JSON text of bounded depth without NUL characters.
///
/// Every fault but its size and its slowness is a `400`, a wrong content type too, as the
/// certification of `AuthZEN` has it.
pub struct Sent(Bytes);

impl FromRequest for Sent {
    type Error = Problem;
    type Future = LocalBoxFuture<'static, Result<Self, Problem>>;

    fn from_request(req: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let acceptable = body::is_json(req);
        let limit = body::limit(req.path());
        let payload = payload.take();
        Box::pin(async move {
            let bytes = body::read(payload, limit).await?;
            if acceptable {
                Ok(Self(bytes))
            } else {
                Err(malformed(
                    "Send `Content-Type: application/json`, in UTF-8.",
                ))
            }
        })
    }
}

impl Sent {
    /// One question.
    ///
    /// # Errors
    ///
    /// `400`.
    pub fn question(&self) -> Result<Question, Problem> {
        let evaluation: QuestionText<'_> = self.read()?;
        let question = Question::of(Parts::from(evaluation).read());
        question.map_err(|fault| Problem::invalid_fields(vec![fault]))
    }

    /// Many questions; without `evaluations`, or if that is empty, one.
    ///
    /// # Errors
    ///
    /// `400` if the request as a whole is not acceptable; faults of single items come to light
    /// when the batch is worked on.
    pub fn questions(&self) -> Result<Questions<'_>, Problem> {
        let sent: BatchText<'_> = self.read()?;
        let invalid = |fault| Problem::invalid_fields(vec![fault]);
        let defaults = Parts {
            subject: sent.subject,
            action: sent.action,
            resource: sent.resource,
            context: sent.context,
        };
        let items = sent.evaluations.unwrap_or_default();
        if items.is_empty() {
            let question = Question::of(defaults.read()).map_err(invalid)?;
            return Ok(Questions::One(Box::new(question)));
        }
        if items.len() > MOST_ITEMS {
            let message = format!("may have at most {MOST_ITEMS} items");
            return Err(Problem::invalid("evaluations", "too_many", message));
        }
        defaults.must_be_objects().map_err(invalid)?;
        let items = items
            .into_iter()
            .enumerate()
            .map(|(index, raw)| parse::<ItemText<'_>>(&format!("evaluations[{index}]"), raw.get()))
            .map(|item| item.map(Parts::from))
            .collect::<Result<_, _>>()
            .map_err(invalid)?;
        let options: Options = match sent.options {
            Some(raw) => parse("options", raw.get()).map_err(invalid)?,
            None => Options::default(),
        };
        Ok(Questions::Many(Box::new(Batch {
            defaults: defaults.read(),
            items,
            semantic: options.evaluations_semantic.unwrap_or_default(),
        })))
    }

    fn read<'a, T: Deserialize<'a>>(&'a self) -> Result<T, Problem> {
        let text = std::str::from_utf8(&self.0).map_err(|_| malformed("The body is not UTF-8."))?;
        scan(text.as_bytes())?;
        parse("", text).map_err(|fault| {
            // The members of our types are optional text, so whatever is JSON gets past its syntax.
            match serde_json::from_str::<IgnoredAny>(text) {
                Ok(_) => Problem::invalid_fields(vec![fault]),
                Err(error) => malformed(format!("Not JSON: {error}.")),
            }
        })
    }
}

/// The members of one question, unread.
#[derive(Clone, Copy, Debug)]
struct Parts<'a> {
    subject: Option<&'a RawValue>,
    action: Option<&'a RawValue>,
    resource: Option<&'a RawValue>,
    context: Option<&'a RawValue>,
}

impl<'a> From<QuestionText<'a>> for Parts<'a> {
    fn from(sent: QuestionText<'a>) -> Self {
        Self {
            subject: sent.subject,
            action: sent.action,
            resource: sent.resource,
            context: sent.context,
        }
    }
}

impl<'a> From<ItemText<'a>> for Parts<'a> {
    fn from(sent: ItemText<'a>) -> Self {
        Self {
            subject: sent.subject,
            action: sent.action,
            resource: sent.resource,
            context: sent.context,
        }
    }
}

impl Parts<'_> {
    fn read(&self) -> Members {
        Members {
            subject: entity("subject", self.subject),
            action: action(self.action),
            resource: entity("resource", self.resource),
            context: context(self.context),
        }
    }

    /// Defaults may lack members, but each is an object.
    fn must_be_objects(&self) -> Result<(), FieldError> {
        let named = [
            ("subject", self.subject),
            ("action", self.action),
            ("resource", self.resource),
            ("context", self.context),
        ];
        for (name, raw) in named {
            if raw.is_some_and(|raw| !raw.get().starts_with('{')) {
                return Err(fault(name, "invalid_type", "must be an object"));
            }
        }
        Ok(())
    }
}

/// The members of one question, each as good as it is.
#[derive(Debug)]
struct Members {
    subject: Result<Entity, FieldError>,
    action: Result<Action, FieldError>,
    resource: Result<Entity, FieldError>,
    context: Result<Map<String, Value>, FieldError>,
}

/// A subject or a resource that is fully named.
#[derive(Clone, Debug, PartialEq)]
pub struct Entity {
    /// What it is; not empty.
    pub kind: String,
    /// Which one; not empty.
    pub id: String,
    /// What the request says of it.
    pub properties: Map<String, Value>,
}

#[derive(Clone, Debug)]
struct Action {
    name: String,
    properties: Map<String, Value>,
}

fn entity(name: &str, raw: Option<&RawValue>) -> Result<Entity, FieldError> {
    let text: EntityText = parse(name, required(name, raw)?.get())?;
    Ok(Entity {
        kind: filled(name, "type", text.r#type)?,
        id: filled(name, "id", text.id)?,
        properties: text.properties.unwrap_or_default(),
    })
}

fn action(raw: Option<&RawValue>) -> Result<Action, FieldError> {
    let text: ActionText = parse("action", required("action", raw)?.get())?;
    Ok(Action {
        name: filled("action", "name", text.name)?,
        properties: text.properties.unwrap_or_default(),
    })
}

fn context(raw: Option<&RawValue>) -> Result<Map<String, Value>, FieldError> {
    raw.map_or_else(|| Ok(Map::new()), |raw| parse("context", raw.get()))
}

fn required<'a>(name: &str, raw: Option<&'a RawValue>) -> Result<&'a RawValue, FieldError> {
    raw.ok_or_else(|| fault(name, "missing_field", "is missing"))
}

fn filled(of: &str, name: &str, text: Option<String>) -> Result<String, FieldError> {
    match text {
        None => Err(fault(&join(of, name), "missing_field", "is missing")),
        Some(text) if text.is_empty() => {
            Err(fault(&join(of, name), "invalid_value", "must not be empty"))
        }
        Some(text) => Ok(text),
    }
}

/// One question that is complete.
#[derive(Clone, Debug, PartialEq)]
pub struct Question {
    /// Who.
    pub subject: Entity,
    /// The permission that is asked for, `type:verb`.
    pub permission: String,
    /// What the request says of the action.
    pub action_properties: Map<String, Value>,
    /// With what.
    pub resource: Entity,
    /// Where the resource stands, if it says so.
    pub parent: Option<Parent>,
    /// The circumstances.
    pub context: Map<String, Value>,
}

/// What a resource of an application stands below.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parent {
    /// What it is.
    pub kind: String,
    /// Which one; only the system needs none.
    pub id: Option<String>,
}

impl Question {
    /// Whether more is wanted than the answer: `context.explain`.
    pub fn explain(&self) -> bool {
        self.context.get("explain") == Some(&Value::Bool(true))
    }

    /// The question that someone at the command line asks.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn plain(subject: Entity, action: &str, resource: Entity) -> Result<Self, FieldError> {
        Self::of(Members {
            subject: Ok(subject),
            action: Ok(Action {
                name: action.to_owned(),
                properties: Map::new(),
            }),
            resource: Ok(resource),
            context: Ok(Map::new()),
        })
    }

    fn of(members: Members) -> Result<Self, FieldError> {
        let (subject, action, resource) = (members.subject?, members.action?, members.resource?);
        let starred = if action.name.contains('*') {
            Some("action.name")
        } else if resource.kind.contains('*') {
            Some("resource.type")
        } else {
            None
        };
        if let Some(field) = starred {
            let message = "must have no `*`: ask for one permission at a time";
            return Err(fault(field, "invalid_value", message));
        }
        let permission = if action.name.contains(':') {
            action.name
        } else {
            format!("{}:{}", resource.kind, action.name)
        };
        let parent = resource.properties.get("parent").map(parent).transpose()?;
        Ok(Self {
            subject,
            permission,
            action_properties: action.properties,
            resource,
            parent,
            context: members.context?,
        })
    }
}

fn parent(value: &Value) -> Result<Parent, FieldError> {
    let at = "resource.properties.parent";
    let wrong = |message| fault(at, "invalid_value", message);
    let members = value
        .as_object()
        .ok_or_else(|| fault(at, "invalid_type", "must be an object"))?;
    let kind = members.get("type").and_then(Value::as_str);
    let kind = kind.ok_or_else(|| wrong("must have a `type`, as text"))?;
    let id = match members.get("id") {
        Some(Value::String(id)) => Some(id.clone()),
        None if kind == "system" => None,
        _ => return Err(wrong("must have an `id`, as text")),
    };
    Ok(Parent {
        kind: kind.to_owned(),
        id,
    })
}

/// What a request to the batch endpoint turns out to be.
#[derive(Debug)]
pub enum Questions<'a> {
    /// A single evaluation.
    One(Box<Question>),
    /// A batch.
    Many(Box<Batch<'a>>),
}

/// 1 to [`MOST_ITEMS`] questions, and what they share.
#[derive(Debug)]
pub struct Batch<'a> {
    defaults: Members,
    items: Vec<Parts<'a>>,
    /// When to stop.
    pub semantic: Semantic,
}

impl Batch<'_> {
    /// The questions in their order, each as good as it is after merging.
    pub fn questions(&self) -> impl Iterator<Item = Result<Question, FieldError>> {
        self.items
            .iter()
            .map(|item| Question::of(self.merged(item)))
    }

    fn merged(&self, item: &Parts<'_>) -> Members {
        let defaults = &self.defaults;
        let either = |name, raw: Option<&RawValue>, default: &Result<Entity, FieldError>| match raw
        {
            Some(_) => entity(name, raw),
            None => default.clone(),
        };
        Members {
            subject: either("subject", item.subject, &defaults.subject),
            action: match item.action {
                Some(_) => action(item.action),
                None => defaults.action.clone(),
            },
            resource: either("resource", item.resource, &defaults.resource),
            context: match item.context {
                Some(_) => context(item.context),
                None => defaults.context.clone(),
            },
        }
    }
}

#[cfg(test)]
mod tests;
