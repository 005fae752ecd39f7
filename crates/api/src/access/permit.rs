//! Proof that the policy said yes.
//!
//! A [`Permit<A>`] names an action in its type, and carries the actor and the
//! resource that the policy was asked about. Its fields are private and this
//! module is the only code that builds one. Services take a permit where they
//! would otherwise take a user id and a path parameter, so what was authorized
//! and what is done cannot drift apart.

use std::{
    future::{Ready, ready},
    marker::PhantomData,
    sync::Arc,
};

use actix_web::{
    Error, FromRequest, HttpMessage, HttpRequest,
    body::{BoxBody, MessageBody},
    dev::{Payload, ServiceRequest, ServiceResponse},
    middleware::Next,
    web::Data,
};
use uuid::Uuid;

use super::{
    actor::{Actor, Principal},
    question::{self, About},
    registered::{self, Registered, Spot},
    resource::{self, Located, ResourceRef, ResourceType},
    step_up,
};
use crate::{
    database::tx::Scope,
    http::{origin::Origin, path},
    policy::Place,
    problem::{Code, Problem},
    state::AppState,
};

/// Something that may be allowed or forbidden. One unit struct each.
pub trait Action: 'static {
    /// The permission that the policy is asked for.
    const NAME: &'static str;
    /// What it is asked about.
    const TARGET: Target;
    /// Whether the caller must have proven who they are within the last five minutes,
    /// with the strongest means that they have ([`step_up::demand`]).
    const STEP_UP: bool = false;
    /// Whether an API key opens it, too, if its permissions cover it. What needs a person stays
    /// closed to keys whatever they carry: the own account, and what takes a fresh proof.
    const BY_KEY: bool = !Self::STEP_UP && !is_own(Self::NAME);
    /// Whether the handler itself refuses, in its own words, when the policy has no answer: it takes
    /// `Result<Permit<_>, Problem>` then. Everyone else is answered `503`.
    const TELLS_OUTAGE: bool = false;
}

/// What an [`Action`] says, without its type: what follows from it is compiled once, and not again for
/// each action.
#[derive(Clone, Copy)]
struct Demand {
    name: &'static str,
    target: Target,
    step_up: bool,
    by_key: bool,
}

impl Demand {
    const fn of<A: Action>() -> Self {
        Self {
            name: A::NAME,
            target: A::TARGET,
            step_up: A::STEP_UP,
            by_key: A::BY_KEY,
        }
    }
}

/// What the policy said yes to.
struct Granted {
    actor: Actor,
    origin: Origin,
    located: Arc<Located>,
    registered: Option<Arc<Registered>>,
}

/// Left for a handler that tells of outages itself.
struct Unanswered(Problem);

/// Whether a permission is about the caller's own account.
const fn is_own(name: &str) -> bool {
    matches!(name.as_bytes(), [b's', b'e', b'l', b'f', b':', ..])
}

/// How a route says what it acts on.
#[derive(Clone, Copy, Debug)]
pub enum Target {
    /// The installation as a whole.
    System,
    /// The caller's own user or service account.
    Own,
    /// The resource whose id stands at this place of the path.
    Path(ResourceType, &'static str),
    /// The resource of the role assignment whose id stands at this place of the path.
    Assignment(&'static str),
    /// Any resource on which the caller holds a role. The service asks again, with
    /// [`narrow`], for the resource that the body names.
    Anywhere,
}

/// Proof that the policy allowed `A` to this actor on this resource.
pub struct Permit<A> {
    actor: Actor,
    origin: Origin,
    located: Arc<Located>,
    registered: Option<Arc<Registered>>,
    action: PhantomData<fn() -> A>,
}

impl<A> Permit<A> {
    fn new(granted: Granted) -> Self {
        let Granted {
            actor,
            origin,
            located,
            registered,
        } = granted;
        Self {
            actor,
            origin,
            located,
            registered,
            action: PhantomData,
        }
    }

    /// Who was allowed.
    pub fn actor(&self) -> &Actor {
        &self.actor
    }

    /// Who was allowed.
    pub fn principal(&self) -> Principal {
        self.actor.principal()
    }

    /// Where the request came from.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// What they were allowed to touch; what of ours it stands below, if an application registered it.
    pub fn resource(&self) -> ResourceRef {
        self.located.resource
    }

    /// The id of what they were allowed to touch; nil for the system, which has none.
    pub fn id(&self) -> Uuid {
        self.located.resource.id.unwrap_or_default()
    }

    /// Where that stands.
    pub fn located(&self) -> &Located {
        &self.located
    }

    /// What stands below that and is what they were allowed to touch, if an application registered it.
    pub fn registered(&self) -> Option<&Registered> {
        self.registered.as_deref()
    }

    /// What they were allowed to touch.
    pub fn spot(&self) -> Spot {
        match &self.registered {
            Some(known) => Spot::Registered(Arc::clone(known)),
            None => Spot::Ours(self.located.resource),
        }
    }

    /// The rows that a transaction under this permit may see.
    pub fn scope(&self) -> Scope {
        self.located.scope()
    }
}

/// Asks the policy about `A` and leaves a [`Permit<A>`] for the handler.
///
/// Runs as middleware, because extractors run concurrently: as an extractor,
/// a bad body could answer 400 to someone who should have got 403.
pub(crate) async fn authorize<A: Action>(
    req: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let state = Data::clone(AppState::of(req.request()));
    let actor = req.extensions().get::<Actor>().cloned();
    match ask(&state, actor, req.request(), Demand::of::<A>()).await {
        Ok(granted) => {
            req.extensions_mut().insert(Permit::<A>::new(granted));
            Ok(next.call(req).await?.map_into_boxed_body())
        }
        // There is no permit, so nothing can be done but to refuse.
        Err(problem) if A::TELLS_OUTAGE && problem.policy_failure().is_some() => {
            req.extensions_mut().insert(Unanswered(problem));
            Ok(next.call(req).await?.map_into_boxed_body())
        }
        Err(problem) => Ok(req.error_response(problem)),
    }
}

async fn ask(
    state: &AppState,
    actor: Option<Actor>,
    req: &HttpRequest,
    demanded: Demand,
) -> Result<Granted, Problem> {
    let actor = actor.ok_or_else(|| Problem::plain(Code::Unauthenticated))?;
    if !demanded.by_key && actor.key().is_some() {
        let detail = "This takes a person who has logged in; no API key opens it.";
        return Err(Problem::new(Code::Forbidden, detail));
    }
    let origin = Origin::of(req);
    let not_found = || Problem::plain(Code::NotFound);
    let located = match demanded.target {
        Target::System => Arc::new(Located::system()),
        Target::Own => Arc::new(Located::principal(actor.principal())),
        Target::Path(kind, name) => {
            let target = ResourceRef::new(kind, path::id(req, name)?);
            resource::locate(state, target)
                .await?
                .ok_or_else(not_found)?
        }
        Target::Assignment(name) => {
            let spot = registered::of_assignment(state, path::id(req, name)?).await?;
            let spot = spot.ok_or_else(not_found)?;
            return on(state, actor, origin, &spot, demanded).await;
        }
        Target::Anywhere => return anywhere(state, actor, origin, demanded).await,
    };
    demand(state, actor, origin, located, None, demanded).await
}

/// Asks the policy about `A` on one resource, for services whose resource is named by the body.
///
/// # Errors
///
/// `404` if there is no such resource or the actor may not know of it, `403`
/// if they may not do this, `503` if the policy cannot say.
pub(crate) async fn narrow<A: Action, B>(
    state: &AppState,
    permit: &Permit<B>,
    target: ResourceRef,
) -> Result<Permit<A>, Problem> {
    narrow_to(state, permit, &Spot::Ours(target)).await
}

/// Like [`narrow`], on anything that roles can be held on.
///
/// # Errors
///
/// As [`narrow`].
pub(crate) async fn narrow_to<A: Action, B>(
    state: &AppState,
    permit: &Permit<B>,
    spot: &Spot,
) -> Result<Permit<A>, Problem> {
    let (actor, origin) = (permit.actor.clone(), permit.origin.clone());
    let granted = on(state, actor, origin, spot, Demand::of::<A>()).await?;
    Ok(Permit::new(granted))
}

async fn on(
    state: &AppState,
    actor: Actor,
    origin: Origin,
    spot: &Spot,
    demanded: Demand,
) -> Result<Granted, Problem> {
    let (located, known) = match spot {
        Spot::Ours(target) => (resource::locate(state, *target).await?, None),
        Spot::Registered(known) => (Some(Arc::clone(&known.base)), Some(Arc::clone(known))),
    };
    let located = located.ok_or_else(|| Problem::plain(Code::NotFound))?;
    demand(state, actor, origin, located, known, demanded).await
}

async fn demand(
    state: &AppState,
    actor: Actor,
    origin: Origin,
    located: Arc<Located>,
    registered: Option<Arc<Registered>>,
    demanded: Demand,
) -> Result<Granted, Problem> {
    let about = registered
        .as_deref()
        .map_or(About::Ours(&located), About::Registered);
    let allows = async |permission: &str| {
        question::allows_on(state, &actor, &origin, permission, &about).await
    };
    if allows(demanded.name).await? {
        if demanded.step_up {
            step_up::demand(state, &actor).await?;
        }
        return Ok(Granted {
            actor,
            origin,
            located,
            registered,
        });
    }
    // Only who may read a tenant's resource learns that it is there.
    let kind = located.resource.kind;
    let is_known = match kind {
        _ if registered.is_some() => allows("resource:read").await?,
        ResourceType::System | ResourceType::User | ResourceType::ServiceAccount => true,
        _ => allows(&format!("{}:read", kind.as_str())).await?,
    };
    Err(Problem::plain(if is_known {
        Code::Forbidden
    } else {
        Code::NotFound
    }))
}

/// Whether there is any resource on which the actor may do what is demanded.
async fn anywhere(
    state: &AppState,
    actor: Actor,
    origin: Origin,
    demanded: Demand,
) -> Result<Granted, Problem> {
    let mut asked = std::collections::HashSet::new();
    for grant in actor.subject.grants.iter() {
        if !asked.insert(grant.resource) {
            continue;
        }
        let (located, registered) = match &grant.thing {
            None => (resource::locate(state, grant.resource).await?, None),
            Some(Place { r#type, id }) => {
                let id = id.as_deref().unwrap_or_default();
                let known = registered::find(state, r#type, id).await?;
                (known.as_ref().map(|known| Arc::clone(&known.base)), known)
            }
        };
        let Some(located) = located else {
            continue;
        };
        let about = registered
            .as_deref()
            .map_or(About::Ours(&located), About::Registered);
        if question::allows_on(state, &actor, &origin, demanded.name, &about).await? {
            if demanded.step_up {
                step_up::demand(state, &actor).await?;
            }
            return Ok(Granted {
                actor,
                origin,
                located,
                registered,
            });
        }
    }
    Err(Problem::plain(Code::Forbidden))
}

impl<A: Action> FromRequest for Permit<A> {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(req: &HttpRequest, _: &mut Payload) -> Self::Future {
        if let Some(Unanswered(problem)) = req.extensions_mut().remove() {
            return ready(Err(problem));
        }
        let permit = req.extensions_mut().remove::<Self>();
        ready(permit.ok_or_else(|| {
            Problem::internal(anyhow::anyhow!(
                "routes.rs does not authorize {} here",
                A::NAME
            ))
        }))
    }
}
