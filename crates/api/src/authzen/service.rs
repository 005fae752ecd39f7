//! Who may ask about whom, and what the policy answers.

use std::collections::HashMap;

use actix_web::http::StatusCode;
use serde_json::{Map, Value};
use uuid::Uuid;

use super::{
    lookup::{Lookup, Named, Standing},
    model::{Absence, Answer, Evaluate},
    request::{Batch, Entity, Question, Semantic},
};
use crate::{
    access::{
        actor::Subject,
        permit::Permit,
        question,
        resource::{Located, ResourceRef, ResourceType},
    },
    policy::{self, Decision, Input, PolicyUnavailable},
    problem::{Code, Problem},
    state::AppState,
};

/// What one needs to ask about others.
const EVALUATE: &str = "authz:evaluate";
const REFUSED: &str = "To ask about someone else, `authz:evaluate` is needed at the organization \
                       of the resource, or at the system where there is none.";
/// What Gatepost alone says of a subject: whoever may ask could otherwise make it up.
const RESERVED: [&str; 5] = ["status", "email", "mfa", "auth_age", "credential"];
/// Items that are decided at once where the first ones may be all that is needed.
const STEP: usize = 16;

/// Decides one question.
///
/// # Errors
///
/// `403` if the caller may not ask it, `503` if there is no answer.
pub async fn one(
    state: &AppState,
    permit: &Permit<Evaluate>,
    question: Question,
) -> Result<Answer, Problem> {
    match Inquiry::new(state, permit).prepare(question).await? {
        Prepared::Refused => Err(Problem::new(Code::Forbidden, REFUSED)),
        Prepared::Known(answer) => Ok(answer),
        Prepared::Open(open) => {
            let decision = question::decide(state, &open.input).await?;
            Ok(open.hidden.answer(decision, state.policy.digest()))
        }
    }
}

/// Decides the questions of a batch, as many as its semantic asks for.
///
/// # Errors
///
/// `503` if one of them has no answer.
pub async fn many(
    state: &AppState,
    permit: &Permit<Evaluate>,
    batch: &Batch<'_>,
) -> Result<Vec<Answer>, Problem> {
    let mut inquiry = Inquiry::new(state, permit);
    let step = match batch.semantic {
        Semantic::ExecuteAll => usize::MAX,
        Semantic::DenyOnFirstDeny | Semantic::PermitOnFirstPermit => STEP,
    };
    let mut questions = batch.questions().peekable();
    let mut answers = Vec::new();
    while questions.peek().is_some() {
        let (mut slots, mut inputs) = (Vec::new(), Vec::new());
        for question in questions.by_ref().take(step) {
            slots.push(match question {
                Err(fault) => {
                    let message = format!("{}: {}", fault.field, fault.message);
                    Slot::Answered(Answer::error(StatusCode::BAD_REQUEST, message))
                }
                Ok(question) => match inquiry.prepare(question).await? {
                    Prepared::Refused => {
                        Slot::Answered(Answer::error(StatusCode::FORBIDDEN, REFUSED))
                    }
                    Prepared::Known(answer) => Slot::Answered(answer),
                    Prepared::Open(open) => {
                        inputs.push(open.input);
                        Slot::Open(open.hidden)
                    }
                },
            });
        }
        let mut decisions = decide_many(state, &inputs).await?.into_iter();
        let digest = state.policy.digest();
        for slot in slots {
            let answer = match slot {
                Slot::Answered(answer) => answer,
                Slot::Open(hidden) => {
                    let decision = decisions.next();
                    let decision = decision
                        .ok_or_else(|| question::unavailable(PolicyUnavailable::Undefined))?;
                    hidden.answer(decision, digest.clone())
                }
            };
            let is_last = batch.semantic.ends_with(answer.decision);
            answers.push(answer);
            if is_last {
                return Ok(answers);
            }
        }
    }
    Ok(answers)
}

async fn decide_many(state: &AppState, inputs: &[Input]) -> Result<Vec<Decision>, Problem> {
    if inputs.is_empty() {
        return Ok(Vec::new());
    }
    question::decide_many(state, inputs).await
}

/// The answers to a batch when the policy has none.
///
/// # Errors
///
/// Any other problem.
pub fn refuse_all(problem: Problem, batch: &Batch<'_>) -> Result<Vec<Answer>, Problem> {
    let answer = Answer::unanswered(problem)?;
    let count = if batch.semantic.ends_with(false) {
        1
    } else {
        batch.questions().count()
    };
    Ok(vec![answer; count])
}

/// A place in the answer to a batch.
enum Slot {
    Answered(Answer),
    Open(Hidden),
}

/// What became of a question before the policy is asked.
enum Prepared {
    /// The caller may not ask this.
    Refused,
    /// The answer does not depend on the policy.
    Known(Answer),
    /// The policy decides.
    Open(Box<Open>),
}

struct Open {
    input: Input,
    hidden: Hidden,
}

/// Whether a no must look as if the resource did not exist: who asks about themselves does
/// not learn which ids other tenants' resources have.
#[derive(Clone, Copy)]
struct Hidden(bool);

impl Hidden {
    fn answer(self, decision: Decision, digest: Option<String>) -> Answer {
        if self.0 && !decision.allow {
            Answer::no(Absence::Resource)
        } else {
            Answer::of(decision, digest)
        }
    }
}

/// The questions of one request.
struct Inquiry<'a> {
    state: &'a AppState,
    permit: &'a Permit<Evaluate>,
    lookup: Lookup<'a>,
    may_ask: HashMap<ResourceRef, bool>,
}

impl<'a> Inquiry<'a> {
    fn new(state: &'a AppState, permit: &'a Permit<Evaluate>) -> Self {
        Self {
            state,
            permit,
            lookup: Lookup::new(state, permit.actor()),
            may_ask: HashMap::new(),
        }
    }

    /// Finds what the question names, and whether the caller may ask it.
    async fn prepare(&mut self, question: Question) -> Result<Prepared, Problem> {
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
        Ok(self.open(question, subject.as_deref(), &standing, own))
    }

    /// Whether the caller may ask about others at `home`.
    async fn may_ask(&mut self, home: ResourceRef) -> Result<bool, Problem> {
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

    fn open(
        &self,
        question: Question,
        known: Option<&Subject>,
        standing: &Standing,
        own: bool,
    ) -> Prepared {
        let subject = match known {
            // A question is about its subject, not about the key that it was asked with.
            Some(_) if own && self.permit.actor().session().is_some() => {
                question::actor(self.state, self.permit.actor())
            }
            Some(subject) => question::subject(subject),
            None => foreign(&question.subject),
        };
        let grants = known.map_or_else(Vec::new, |known| question::grants(known, &standing.base));
        let hidden = own && grants.is_empty() && self.is_foreign_ground(&standing.base);
        let input = Input {
            subject: with(subject, question.subject.properties),
            action: policy::Action {
                name: question.permission,
                properties: question.action_properties,
            },
            resource: resource(standing, question.resource.properties),
            grants,
            context: question::context(self.state, Value::Object(question.context)),
        };
        Prepared::Open(Box::new(Open {
            input,
            hidden: Hidden(hidden),
        }))
    }

    /// Whether a resource is neither the system nor the caller.
    fn is_foreign_ground(&self, base: &Located) -> bool {
        base.resource != ResourceRef::SYSTEM && base.resource != self.permit.resource()
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
    let mut resource = question::resource(&standing.base);
    if let Some(itself) = &standing.below {
        resource.path.push(itself.clone());
        // What we know of the parent is not known of this.
        resource = policy::Resource::at(resource.path);
    }
    add(&mut resource.properties, said);
    resource
}

/// A request adds, and never overrides.
fn add(known: &mut Map<String, Value>, said: impl IntoIterator<Item = (String, Value)>) {
    for (name, value) in said {
        known.entry(name).or_insert(value);
    }
}
