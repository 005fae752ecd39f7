//! Who may ask about whom, and what the policy is asked then.

use std::collections::HashMap;

use serde_json::{Map, Value};
use uuid::Uuid;

use super::{
    explain::Explain,
    lookup::{Lookup, Named, Standing},
    model::{Absence, Answer, Evaluate},
    request::{Entity, Question},
};
use crate::{
    access::{
        actor::Subject,
        memo::Asked,
        permit::Permit,
        question,
        resource::{Located, ResourceRef, ResourceType},
    },
    policy::{self, Decision, Input, Reason},
    problem::Problem,
    state::AppState,
};

/// What one needs to ask about others.
const EVALUATE: &str = "authz:evaluate";
/// What Gatepost alone says of a subject: whoever may ask could otherwise make it up.
const RESERVED: [&str; 5] = ["status", "email", "mfa", "auth_age", "credential"];

/// What became of a question before the policy is asked.
pub(super) enum Prepared {
    /// The caller may not ask this.
    Refused,
    /// The answer does not depend on the policy.
    Known(Answer),
    /// The policy decides.
    Open(Box<Open>),
}

pub(super) struct Open {
    /// The question as the policy sees it.
    pub(super) input: Input,
    /// What its answer may be kept for.
    pub(super) asked: Option<Asked>,
    /// What a no looks like.
    pub(super) hidden: Hidden,
    /// What an explanation is made of, if one was asked for.
    pub(super) explain: Option<Explain>,
}

/// Whether a no must look as if the resource did not exist: who asks about themselves does
/// not learn which ids other tenants' resources have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hidden {
    /// It may be seen.
    No,
    /// It looks as if there were none of ours.
    Ours,
    /// It looks as if nobody had registered it.
    Registered,
}

impl Hidden {
    pub(super) fn answer(self, decision: Decision, digest: Option<String>) -> Answer {
        match self {
            Self::Ours if !decision.allow => Answer::no(Absence::Resource),
            Self::Registered if !decision.allow => {
                let reason = Reason {
                    code: "no_grant".to_owned(),
                    message: "No role that the subject holds here carries the permission."
                        .to_owned(),
                };
                let plain = Decision {
                    reasons: vec![reason],
                    ..decision
                };
                Answer::of(plain, digest)
            }
            _ => Answer::of(decision, digest),
        }
    }
}

/// The questions of one request.
pub(super) struct Inquiry<'a> {
    pub(super) state: &'a AppState,
    pub(super) permit: &'a Permit<Evaluate>,
    pub(super) lookup: Lookup<'a>,
    may_ask: HashMap<ResourceRef, bool>,
}

impl<'a> Inquiry<'a> {
    pub(super) fn new(state: &'a AppState, permit: &'a Permit<Evaluate>) -> Self {
        Self {
            state,
            permit,
            lookup: Lookup::new(state, permit.actor()),
            may_ask: HashMap::new(),
        }
    }

    /// Finds what the question names, and whether the caller may ask it.
    pub(super) async fn prepare(&mut self, question: Question) -> Result<Prepared, Problem> {
        let standing = self.lookup.standing(&question).await?;
        let named = self.lookup.named(&question.subject).await?;
        let own = named.principal() == Some(self.permit.principal());
        // What does not exist belongs to no organization.
        let home = standing
            .as_ref()
            .map_or(ResourceRef::SYSTEM, Standing::home);
        if !own && !self.may_ask(home).await? {
            return Ok(Prepared::Refused);
        }
        let Some(standing) = standing else {
            return Ok(Prepared::Known(Answer::no(Absence::Resource)));
        };
        let unknown = Ok(Prepared::Known(Answer::no(Absence::Subject)));
        let subject = match named {
            Named::Foreign => None,
            Named::Nobody => return unknown,
            Named::ById(principal) | Named::ByLogin(principal) => {
                let Some(subject) = self.lookup.subject(principal).await? else {
                    return unknown;
                };
                let by_login = matches!(named, Named::ByLogin(_));
                if by_login && !own && !self.may_know(&subject, home).await? {
                    return unknown;
                }
                Some(subject)
            }
        };
        let hidden = self.hidden(subject.as_deref(), &standing, own);
        let asked = subject.as_deref().and_then(|subject| {
            let (base, below) = (&standing.base, &standing.below);
            Asked::new(self.state, subject, base, below, &question.permission)
        });
        if let Some(known) = asked.as_ref().filter(|_| !question.explain())
            && let Some(decision) = self.state.cache.memo.recall(known)
        {
            if self.state.decisions.keeps(decision.allow) {
                let input = self.input(question, subject.as_deref(), &standing, own);
                self.state.decisions.note(&input, Ok(&decision));
            }
            return Ok(Prepared::Known(hidden.answer(decision, None)));
        }
        let explain = if question.explain() {
            let organization = standing.base.organization_id();
            // Names of an organization's own roles are for those who may ask about others there.
            let may_name = self.may_ask(home).await?;
            Some(Explain {
                subject: subject.clone(),
                registered: standing.below.ids.len(),
                organization: organization.filter(|_| may_name),
            })
        } else {
            None
        };
        let input = self.input(question, subject.as_deref(), &standing, own);
        Ok(Prepared::Open(Box::new(Open {
            input,
            asked,
            hidden,
            explain,
        })))
    }

    /// Whether the caller may ask about others at `home`.
    pub(super) async fn may_ask(&mut self, home: ResourceRef) -> Result<bool, Problem> {
        if let Some(may) = self.may_ask.get(&home) {
            return Ok(*may);
        }
        let may = match self.lookup.locate(home).await? {
            None => false,
            Some(home) => {
                let (actor, origin) = (self.permit.actor(), self.permit.origin());
                question::allows(self.state, actor, origin, EVALUATE, &home).await?
            }
        };
        self.may_ask.insert(home, may);
        Ok(may)
    }

    /// Whether a caller who may ask at `home` may learn that `subject` exists.
    ///
    /// Ids cannot be guessed, but addresses can: who may ask in one organization could
    /// otherwise find out who has an account with the others.
    async fn may_know(&mut self, subject: &Subject, home: ResourceRef) -> Result<bool, Problem> {
        let organization = (home.kind == ResourceType::Organization)
            .then_some(home.id)
            .flatten();
        let belongs = |id: Uuid| {
            subject
                .grants
                .iter()
                .any(|grant| grant.organization_id == Some(id))
        };
        Ok(organization.is_some_and(belongs) || self.may_ask(ResourceRef::SYSTEM).await?)
    }

    fn input(
        &self,
        question: Question,
        known: Option<&Subject>,
        standing: &Standing,
        own: bool,
    ) -> Input {
        let subject = match known {
            // A question is about its subject, not about the key that it was asked with.
            Some(_) if own && self.permit.actor().session().is_some() => {
                question::actor(self.state, self.permit.actor())
            }
            Some(subject) => question::subject(subject),
            None => foreign(&question.subject),
        };
        compose(self.state, question, subject, known, standing)
    }

    fn hidden(&self, known: Option<&Subject>, standing: &Standing, own: bool) -> Hidden {
        let holds_nothing =
            known.is_none_or(|known| !question::holds_any(known, &standing.base, &standing.below));
        let is_hidden = own && holds_nothing && self.is_foreign_ground(&standing.base);
        match standing.below.places.first() {
            _ if !is_hidden => Hidden::No,
            // What stands below one of ours by the request's own word shows what that would.
            Some(_) if standing.is_known_by_register() => Hidden::Registered,
            _ => Hidden::Ours,
        }
    }

    /// Whether a resource is neither the system nor the caller.
    fn is_foreign_ground(&self, base: &Located) -> bool {
        base.resource != ResourceRef::SYSTEM && base.resource != self.permit.resource()
    }
}

/// The question as the policy sees it; `subject` is who it is about, `known` what they hold.
pub(super) fn compose(
    state: &AppState,
    question: Question,
    subject: policy::Subject,
    known: Option<&Subject>,
    standing: &Standing,
) -> Input {
    Input {
        subject: with(subject, question.subject.properties),
        action: policy::Action {
            name: question.permission,
            properties: question.action_properties,
        },
        resource: resource(standing, question.resource.properties),
        grants: known.map_or_else(Vec::new, |known| {
            question::grants(known, &standing.base, &standing.below)
        }),
        context: question::context(state, Value::Object(question.context)),
    }
}

/// A subject that only custom rules know. Nothing is held by it, so nothing but these can
/// allow it anything.
fn foreign(named: &Entity) -> policy::Subject {
    policy::Subject::new(named.kind.as_str(), named.id.as_str(), "active")
}

/// Adds what the request says of a subject.
fn with(mut subject: policy::Subject, said: Map<String, Value>) -> policy::Subject {
    let said = said
        .into_iter()
        .filter(|(name, _)| !RESERVED.contains(&name.as_str()));
    add(&mut subject.properties, said);
    subject
}

/// The resource with what the request says of it.
fn resource(standing: &Standing, said: Map<String, Value>) -> policy::Resource {
    let below = &standing.below.places;
    let mut resource = match &standing.registered {
        Some(known) => question::registered(known),
        None if below.is_empty() => question::resource(&standing.base),
        None => question::below(&standing.base, below),
    };
    add(&mut resource.properties, said);
    resource
}

/// A request adds, and never overrides.
fn add(known: &mut Map<String, Value>, said: impl IntoIterator<Item = (String, Value)>) {
    for (name, value) in said {
        known.entry(name).or_insert(value);
    }
}
