//! Questions with one entity left open.

use serde_json::{Map, Value, json, value::RawValue};

use super::{
    Action, Entity, Members, Question, Sent, action, context, entity, filled,
    read::parse,
    required,
    wire::{PageText, SearchText, SearchedText},
};
use crate::problem::{FieldError, Problem};

/// What is searched for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Who may do this with that.
    Subject,
    /// With what someone may do this.
    Resource,
    /// What someone may do with that.
    Action,
}

impl Kind {
    /// Its name in the address.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Subject => "subject",
            Self::Resource => "resource",
            Self::Action => "action",
        }
    }
}

/// A search that is complete. What is searched for has no id, or no name.
#[derive(Debug)]
pub struct Search {
    /// What is searched for.
    pub kind: Kind,
    /// Who.
    pub subject: Entity,
    /// Does what: a name as it was sent.
    pub action: String,
    action_properties: Map<String, Value>,
    /// With what.
    pub resource: Entity,
    context: Map<String, Value>,
    /// `next_token` of the page before, if this is not the first.
    pub token: Option<String>,
    /// Results that a page is to have, if the request says so.
    pub limit: Option<u32>,
}

impl Sent {
    /// A search.
    ///
    /// # Errors
    ///
    /// `400`.
    pub fn search(&self, kind: Kind) -> Result<Search, Problem> {
        let sent: SearchText<'_> = self.read()?;
        Search::of(kind, &sent).map_err(|fault| Problem::invalid_fields(vec![fault]))
    }
}

impl Search {
    fn of(kind: Kind, sent: &SearchText<'_>) -> Result<Self, FieldError> {
        let either = |name, raw, searched| {
            if searched {
                open(name, raw)
            } else {
                entity(name, raw)
            }
        };
        let subject = either("subject", sent.subject, kind == Kind::Subject)?;
        let action = match kind {
            Kind::Action => Action {
                name: String::new(),
                properties: Map::new(),
            },
            Kind::Subject | Kind::Resource => action(sent.action)?,
        };
        let resource = either("resource", sent.resource, kind == Kind::Resource)?;
        let page: PageText = match sent.page {
            Some(raw) => parse("page", raw.get())?,
            None => PageText::default(),
        };
        let search = Self {
            kind,
            subject,
            action: action.name,
            action_properties: action.properties,
            resource,
            context: context(sent.context)?,
            token: page.token.filter(|token| !token.is_empty()),
            limit: page.limit.filter(|limit| *limit > 0),
        };
        // What is wrong with every question of it is wrong with the search.
        search.question(None, Some("any"), None)?;
        Ok(search)
    }

    /// The question whether it is so for one that may be found.
    ///
    /// # Errors
    ///
    /// None, unless what was put in cannot be asked about.
    pub fn question(
        &self,
        subject: Option<&str>,
        action: Option<&str>,
        resource: Option<&str>,
    ) -> Result<Question, FieldError> {
        let named = |entity: &Entity, id: Option<&str>| Entity {
            id: id.map_or_else(|| entity.id.clone(), ToOwned::to_owned),
            ..entity.clone()
        };
        let name = match self.kind {
            Kind::Action => action.unwrap_or_default(),
            Kind::Subject | Kind::Resource => &self.action,
        };
        Question::of(Members {
            subject: Ok(named(&self.subject, subject)),
            action: Ok(Action {
                name: name.to_owned(),
                properties: self.action_properties.clone(),
            }),
            resource: Ok(named(&self.resource, resource)),
            context: Ok(self.context.clone()),
        })
    }

    /// The permission that is asked for, `type:verb`; nothing where actions are searched for.
    pub fn permission(&self) -> String {
        if self.action.contains(':') {
            self.action.clone()
        } else {
            format!("{}:{}", self.resource.kind, self.action)
        }
    }

    /// All that must stay the same from page to page.
    pub fn essence(&self) -> Value {
        let entity = |entity: &Entity| json!([entity.kind, entity.id, entity.properties]);
        json!([
            self.kind.as_str(),
            entity(&self.subject),
            [json!(self.action), json!(self.action_properties)],
            entity(&self.resource),
            self.context,
        ])
    }
}

/// An entity that is searched for: whatever it has as its id is ignored.
fn open(name: &str, raw: Option<&RawValue>) -> Result<Entity, FieldError> {
    let text: SearchedText = parse(name, required(name, raw)?.get())?;
    Ok(Entity {
        kind: filled(name, "type", text.r#type)?,
        id: String::new(),
        properties: text.properties.unwrap_or_default(),
    })
}
