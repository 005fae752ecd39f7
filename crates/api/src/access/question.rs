//! Puts a question to the policy.

use serde_json::{Map, Value, json};

use super::{
    actor::{Actor, Grant, Subject},
    memo::Asked,
    resource::{Located, ResourceRef},
};
use crate::{
    config::OrganizationCreation,
    http::origin::Origin,
    policy::{self, Decision, Input, Place, PolicyUnavailable},
    problem::{Code, Problem},
    state::AppState,
};

/// Questions of a batch that may fail before all of it counts as failed.
const MOST_FAILURES: usize = 16;

/// Whether the policy allows `permission` to the actor on a resource of ours.
///
/// # Errors
///
/// `503` if there is no decision; that is never a yes.
pub async fn allows(
    state: &AppState,
    actor: &Actor,
    origin: &Origin,
    permission: &str,
    located: &Located,
) -> Result<bool, Problem> {
    allows_below(state, actor, origin, permission, located, None).await
}

/// Like [`allows`], about something of an application's that stands right below `located`.
///
/// # Errors
///
/// As [`allows`].
pub async fn allows_below(
    state: &AppState,
    actor: &Actor,
    origin: &Origin,
    permission: &str,
    located: &Located,
    below: Option<Place>,
) -> Result<bool, Problem> {
    // What a key leaves out no rule gives back: neither those for everyone nor an operator's own.
    if actor.key().is_some_and(|key| !key.covers(permission)) {
        return Ok(false);
    }
    let asked = Asked::new(state, &actor.subject, located, below.as_slice(), permission);
    if let Some(known) = asked.as_ref().and_then(|asked| recall(state, asked)) {
        return Ok(known.allow);
    }
    let mut resource = resource(located);
    if let Some(place) = below {
        resource.path.push(place);
        resource = policy::Resource::at(resource.path);
    }
    let input = Input {
        subject: self::actor(state, actor),
        action: policy::Action::new(permission),
        resource,
        grants: grants(&actor.subject, located),
        context: context(state, json!({ "ip": origin.ip })),
    };
    Ok(decide(state, asked, &input).await?.allow)
}

/// What the policy said to the same question before; nothing for what the decision log keeps, which
/// is told of every question.
pub fn recall(state: &AppState, asked: &Asked) -> Option<Decision> {
    let known = state.cache.memo.recall(asked)?;
    (!state.decisions.keeps(known.allow)).then_some(known)
}

/// Asks the policy; what it says is kept for when the same is `asked` again.
///
/// # Errors
///
/// `503`, and a count in the metrics under its own name.
pub async fn decide(
    state: &AppState,
    asked: Option<Asked>,
    input: &Input,
) -> Result<Decision, Problem> {
    let answer = state.policy.decide(input).await;
    state.decisions.note(input, answer.as_ref());
    let decision = answer.map_err(unavailable)?;
    keep(state, asked, &decision);
    Ok(decision)
}

/// Keeps a decision for when the same is asked again.
pub fn keep(state: &AppState, asked: Option<Asked>, decision: &Decision) {
    // What no policy has said stands in for an answer, and may be one the next time.
    if let Some(asked) = asked.filter(|_| decision.policy.is_some()) {
        state.cache.memo.keep(asked, decision);
    }
}

/// Asks the policy many questions. One that a rule fails on is refused in its place, with the
/// failure as the reason; the others are answered.
///
/// # Errors
///
/// As [`decide`], if there is no answer to any of them.
pub async fn decide_many(state: &AppState, inputs: &[Input]) -> Result<Vec<Decision>, Problem> {
    let answers = match state.policy.decide_many(inputs).await {
        Err(failure) if failure.is_of_the_question() => one_by_one(state, inputs).await,
        answers => answers,
    };
    for (index, input) in inputs.iter().enumerate() {
        let answer = answers.as_ref().map(|decisions| &decisions[index]);
        state.decisions.note(input, answer);
    }
    answers.map_err(unavailable)
}

async fn one_by_one(
    state: &AppState,
    inputs: &[Input],
) -> Result<Vec<Decision>, PolicyUnavailable> {
    let (mut decisions, mut failed) = (Vec::with_capacity(inputs.len()), 0);
    for input in inputs {
        decisions.push(match state.policy.decide(input).await {
            Err(failure) if failure.is_of_the_question() && failed < MOST_FAILURES => {
                failed += 1;
                metrics::counter!("gatepost_policy_failures_total", "reason" => failure.code())
                    .increment(1);
                Decision::none(&failure)
            }
            answer => answer?,
        });
    }
    Ok(decisions)
}

/// What the caller learns when there is no decision.
pub fn unavailable(error: PolicyUnavailable) -> Problem {
    metrics::counter!("gatepost_policy_failures_total", "reason" => error.code()).increment(1);
    Problem::plain(Code::PolicyUnavailable)
        .retry_after(1)
        .because(error)
}

/// A principal as policies see it: its attributes, and what we know of it, which wins.
pub fn subject(subject: &Subject) -> policy::Subject {
    let principal = subject.principal;
    let mut properties = match &subject.attributes {
        Value::Object(attributes) => attributes.clone(),
        _ => Map::new(),
    };
    properties.insert("status".to_owned(), subject.status.clone().into());
    match &subject.email {
        Some(email) => properties.insert("email".to_owned(), email.as_str().into()),
        // An attribute of that name is no proof of an address.
        None => properties.remove("email"),
    };
    policy::Subject {
        r#type: principal.r#type.as_str().to_owned(),
        id: principal.id.to_string(),
        properties,
    }
}

/// The caller as policies see it: with what is known of the proof of identity.
///
/// Behind an API key stands a person who proved who they are when they made it, so that is its age.
pub fn actor(state: &AppState, actor: &Actor) -> policy::Subject {
    let mut subject = subject(&actor.subject);
    if let Some(session) = actor.session() {
        let auth_age = (state.clock.now() - session.auth_time).num_seconds();
        let properties = &mut subject.properties;
        properties.insert("auth_age".to_owned(), auth_age.into());
        properties.insert("mfa".to_owned(), (session.amr.len() > 1).into());
    }
    if let Some(key) = actor.key() {
        let auth_age = (state.clock.now() - key.created_at).num_seconds();
        let properties = &mut subject.properties;
        properties.insert("auth_age".to_owned(), auth_age.into());
        properties.insert("mfa".to_owned(), false.into());
        properties.insert("credential".to_owned(), "api_key".into());
    }
    subject
}

/// A resource of ours as policies see it.
pub fn resource(located: &Located) -> policy::Resource {
    let mut resource = policy::Resource::at(located.path.iter().map(Place::from).collect());
    if let Some(owner) = located.owner_id {
        resource
            .properties
            .insert("owner_id".to_owned(), owner.to_string().into());
    }
    resource
}

/// The grants that can count on a resource: those on something of its path.
pub fn grants(subject: &Subject, located: &Located) -> Vec<policy::Grant> {
    counting(subject, located).map(given).collect()
}

/// Whether there is any such grant.
pub fn holds_any(subject: &Subject, located: &Located) -> bool {
    counting(subject, located).next().is_some()
}

fn counting<'a>(subject: &'a Subject, located: &'a Located) -> impl Iterator<Item = &'a Grant> {
    let is_on_path = |grant: &&Grant| located.path.contains(&grant.resource);
    subject.grants.iter().filter(is_on_path)
}

fn given(grant: &Grant) -> policy::Grant {
    policy::Grant {
        id: grant.id,
        role: grant.role.to_string(),
        permissions: grant.permissions.to_vec(),
        resource: Place::from(&grant.resource),
        expires_at: grant.expires_at,
    }
}

impl From<&ResourceRef> for Place {
    fn from(resource: &ResourceRef) -> Self {
        match resource.id {
            Some(id) => Self::new(resource.kind.as_str(), id.to_string()),
            None => Self::system(),
        }
    }
}

/// The circumstances: ours win over what a request brought along in `more`.
pub fn context(state: &AppState, more: Value) -> policy::Context {
    let mut context = policy::Context::at(state.clock.now());
    if let Value::Object(members) = more {
        context.more = members;
    }
    context.more.remove("time");
    let creation = match state.config.registration.organization_creation {
        OrganizationCreation::Open => "open",
        OrganizationCreation::Admin => "admin",
    };
    let settings = json!({ "organization_creation": creation });
    context.more.insert("settings".to_owned(), settings);
    context
}
