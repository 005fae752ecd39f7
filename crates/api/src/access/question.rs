//! Puts a question to the policy.

use serde_json::{Map, Value, json};

use super::{
    actor::{Actor, Grant, Subject},
    memo::Asked,
    registered::{Below, Registered},
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
    let about = About::Ours(located);
    allows_on(state, actor, origin, permission, &about).await
}

/// What the caller wants to act on.
pub enum About<'a> {
    /// Something of ours.
    Ours(&'a Located),
    /// Something that an application registered.
    Registered(&'a Registered),
    /// Something of an application's of which no more is known than that it stands right below this.
    Foreign(&'a Located, Place),
}

impl About<'_> {
    fn base(&self) -> &Located {
        match self {
            Self::Ours(base) | Self::Foreign(base, _) => base,
            Self::Registered(known) => &known.base,
        }
    }

    fn below(&self) -> Below {
        match self {
            Self::Ours(_) => Below::default(),
            Self::Registered(known) => known.below.clone(),
            Self::Foreign(_, place) => Below {
                places: vec![place.clone()],
                ids: Vec::new(),
            },
        }
    }

    fn resource(&self) -> policy::Resource {
        match self {
            Self::Ours(located) => resource(located),
            Self::Registered(known) => registered(known),
            Self::Foreign(base, place) => below(base, std::slice::from_ref(place)),
        }
    }
}

/// Like [`allows`], about anything.
///
/// # Errors
///
/// As [`allows`].
pub async fn allows_on(
    state: &AppState,
    actor: &Actor,
    origin: &Origin,
    permission: &str,
    about: &About<'_>,
) -> Result<bool, Problem> {
    // What a key leaves out no rule gives back: neither those for everyone nor an operator's own.
    if actor.key().is_some_and(|key| !key.covers(permission)) {
        return Ok(false);
    }
    let (base, below) = (about.base(), about.below());
    let asked = Asked::new(state, &actor.subject, base, &below, permission);
    let known = asked
        .as_ref()
        .and_then(|asked| state.cache.memo.recall(asked));
    if let Some(known) = known
        .as_ref()
        .filter(|known| !state.decisions.keeps(known.allow))
    {
        return Ok(known.allow);
    }
    let input = Input {
        subject: self::actor(state, actor),
        action: policy::Action::new(permission),
        resource: about.resource(),
        grants: grants(&actor.subject, base, &below),
        context: context(state, json!({ "ip": origin.ip })),
    };
    if let Some(known) = known {
        state.decisions.note(&input, Ok(&known));
        return Ok(known.allow);
    }
    Ok(decide(state, asked, &input).await?.allow)
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

/// Something of an application's as policies see it, by its way from something of ours down. What
/// we know of that is not known of this.
pub fn below(base: &Located, places: &[Place]) -> policy::Resource {
    let path = base.path.iter().map(Place::from);
    policy::Resource::at(path.chain(places.iter().cloned()).collect())
}

/// Something that an application registered as policies see it.
pub fn registered(known: &Registered) -> policy::Resource {
    let mut resource = below(&known.base, &known.below.places);
    resource.properties.clone_from(&known.properties);
    let parent = match known.parent() {
        Place {
            r#type,
            id: Some(id),
        } => json!({ "type": r#type, "id": id }),
        Place { r#type, id: None } => json!({ "type": r#type }),
    };
    resource.properties.insert("parent".to_owned(), parent);
    resource
}

/// The grants that can count on what stands at `below` below `base`: those on something of its path.
pub fn grants(subject: &Subject, base: &Located, below: &Below) -> Vec<policy::Grant> {
    counting(subject, base, below).map(given).collect()
}

/// Whether there is any such grant.
pub fn holds_any(subject: &Subject, base: &Located, below: &Below) -> bool {
    counting(subject, base, below).next().is_some()
}

fn counting<'a>(
    subject: &'a Subject,
    base: &'a Located,
    below: &'a Below,
) -> impl Iterator<Item = &'a Grant> {
    let counts = |grant: &&Grant| grant.counts_on(base, below);
    subject.grants.iter().filter(counts)
}

fn given(grant: &Grant) -> policy::Grant {
    policy::Grant {
        id: grant.id,
        role: grant.role.to_string(),
        permissions: grant.permissions.to_vec(),
        resource: grant.place(),
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
