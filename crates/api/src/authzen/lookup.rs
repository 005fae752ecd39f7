//! What the names in a question stand for.
//!
//! Everything is looked up once for each request, so that all items of a batch see the same.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use futures_util::{StreamExt, TryStreamExt, stream};
use sea_orm::DbErr;
use uuid::Uuid;

use super::{
    repo,
    request::{Entity, Parent, Question},
};
use crate::{
    access::{
        actor::{Actor, Principal, PrincipalType, Subject},
        grants,
        registered::{self, Below, Registered},
        resource::{self, Located, ResourceRef, ResourceType},
    },
    policy::Place,
    problem::Problem,
    state::AppState,
};

/// Subjects that one request loads at the same time.
const AT_ONCE: usize = 4;

/// Whom a subject names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Named {
    /// By its id, someone who may or may not exist.
    ById(Principal),
    /// By e-mail address or username, a user who exists.
    ByLogin(Principal),
    /// By e-mail address or username, no user; or by what is no id, no service account.
    Nobody,
    /// A subject of a type that only custom rules know.
    Foreign,
}

impl Named {
    /// The principal, if it is one of ours.
    pub fn principal(self) -> Option<Principal> {
        match self {
            Self::ById(principal) | Self::ByLogin(principal) => Some(principal),
            Self::Nobody | Self::Foreign => None,
        }
    }
}

/// Where a resource stands.
#[derive(Clone, Debug)]
pub struct Standing {
    /// The resource itself if it is ours, else what it stands below.
    pub base: Arc<Located>,
    /// From right below that down to the resource itself, if it is an application's.
    pub below: Below,
    /// What the application has registered of it.
    pub registered: Option<Arc<Registered>>,
}

impl Standing {
    /// Of one of our own resources.
    fn of(base: Arc<Located>) -> Self {
        Self {
            base,
            below: Below::default(),
            registered: None,
        }
    }

    /// Of what an application has registered.
    fn at(registered: Arc<Registered>) -> Self {
        Self {
            base: Arc::clone(&registered.base),
            below: registered.below.clone(),
            registered: Some(registered),
        }
    }

    /// Whether it is where it is because an application registered it.
    pub fn is_known_by_register(&self) -> bool {
        self.registered.is_some()
    }

    /// Of what stands right below this, and of which no more is known.
    fn below(mut self, itself: Place) -> Self {
        self.below.push(itself);
        self.registered = None;
        self
    }

    /// Where a caller needs the right to ask about it: its organization, or the system.
    pub fn home(&self) -> ResourceRef {
        self.base
            .organization_id()
            .map_or(ResourceRef::SYSTEM, |id| {
                ResourceRef::new(ResourceType::Organization, id)
            })
    }
}

/// Finds what questions name, and remembers it.
pub struct Lookup<'a> {
    state: &'a AppState,
    caller: Option<&'a Actor>,
    logins: HashMap<String, Option<Uuid>>,
    subjects: HashMap<Principal, Option<Arc<Subject>>>,
    located: HashMap<ResourceRef, Option<Arc<Located>>>,
    registered: HashMap<Place, Option<Arc<Registered>>>,
}

impl<'a> Lookup<'a> {
    /// For the questions of `caller`.
    pub fn new(state: &'a AppState, caller: &'a Actor) -> Self {
        Self {
            caller: Some(caller),
            ..Self::of_program(state)
        }
    }

    /// For what the program itself wants to know.
    pub fn of_program(state: &'a AppState) -> Self {
        Self {
            state,
            caller: None,
            logins: HashMap::new(),
            subjects: HashMap::new(),
            located: HashMap::new(),
            registered: HashMap::new(),
        }
    }

    /// Whom `subject` names. Only names that are no ids cost a query.
    pub async fn named(&mut self, subject: &Entity) -> Result<Named, Problem> {
        let Ok(kind) = subject.kind.parse::<PrincipalType>() else {
            return Ok(Named::Foreign);
        };
        if let Some(id) = uuid(&subject.id) {
            return Ok(Named::ById(Principal { r#type: kind, id }));
        }
        if kind != PrincipalType::User {
            return Ok(Named::Nobody);
        }
        let known = self.logins.get(&subject.id).copied();
        let id = if let Some(id) = known {
            id
        } else {
            let id = repo::user_id(&self.state.db, &subject.id).await?;
            self.logins.insert(subject.id.clone(), id);
            id
        };
        Ok(id.map_or(Named::Nobody, |id| Named::ByLogin(Principal::user(id))))
    }

    /// What is known of a principal, or nothing if there is no such principal.
    pub async fn subject(&mut self, principal: Principal) -> Result<Option<Arc<Subject>>, Problem> {
        // With an API key the caller's grants are those that the key leaves: not all that they hold.
        if let Some(caller) = self.caller
            && principal == caller.principal()
            && caller.key().is_none()
        {
            return Ok(Some(Arc::clone(&caller.subject)));
        }
        if let Some(subject) = self.subjects.get(&principal) {
            return Ok(subject.clone());
        }
        let subject = grants::subject(self.state, principal).await?;
        self.subjects.insert(principal, subject.clone());
        Ok(subject)
    }

    /// Where the resource of `question` stands, or nothing if it, or its parent, does not exist.
    pub async fn standing(&mut self, question: &Question) -> Result<Option<Standing>, Problem> {
        let Entity { kind, id, .. } = &question.resource;
        if let Ok(kind) = kind.parse() {
            let base = self.ours(kind, Some(id)).await?;
            return Ok(base.map(Standing::of));
        }
        if let Some(known) = self.registered(kind, id).await? {
            return Ok(Some(Standing::at(known)));
        }
        let above = match &question.parent {
            None => Some(Standing::of(Arc::new(Located::system()))),
            Some(Parent { kind, id }) => match (kind.parse(), id) {
                (Ok(kind), id) => self.ours(kind, id.as_deref()).await?.map(Standing::of),
                (Err(()), Some(id)) => self.registered(kind, id).await?.map(Standing::at),
                (Err(()), None) => None,
            },
        };
        Ok(above.map(|above| above.below(Place::new(kind.as_str(), id.as_str()))))
    }

    /// What an application has registered by this type and id.
    async fn registered(
        &mut self,
        kind: &str,
        id: &str,
    ) -> Result<Option<Arc<Registered>>, Problem> {
        let place = Place::new(kind, id);
        if let Some(known) = self.registered.get(&place) {
            return Ok(known.clone());
        }
        let found = registered::find(self.state, kind, id).await?;
        self.registered.insert(place, found.clone());
        Ok(found)
    }

    /// Takes in where the resources of many questions stand.
    pub async fn know_resources(
        &mut self,
        questions: impl IntoIterator<Item = &Question>,
    ) -> Result<(), Problem> {
        let (mut ours, mut theirs) = (HashSet::new(), HashSet::new());
        let mut take = |kind: &str, id: &str| match (kind.parse::<ResourceType>(), uuid(id)) {
            (Ok(kind), Some(id)) if kind.is_looked_up() => {
                ours.insert(ResourceRef::new(kind, id));
            }
            (Err(()), _) => {
                theirs.insert(Place::new(kind, id));
            }
            _ => {}
        };
        for question in questions {
            take(&question.resource.kind, &question.resource.id);
            if let Some(Parent { kind, id: Some(id) }) = &question.parent {
                take(kind, id);
            }
        }
        let mut located = resource::locate_many(self.state, ours.iter().copied()).await?;
        let located = ours.into_iter().map(|of| (of, located.remove(&of)));
        self.located.extend(located);
        let theirs: Vec<_> = theirs.into_iter().collect();
        let names: Vec<_> = theirs
            .iter()
            .map(|place| {
                (
                    place.r#type.as_str(),
                    place.id.as_deref().unwrap_or_default(),
                )
            })
            .collect();
        let found = registered::find_many(self.state, &names).await?;
        self.registered.extend(theirs.into_iter().zip(found));
        Ok(())
    }

    /// Takes in what a search has found of registered things.
    pub fn know_registered(&mut self, found: Arc<Registered>) {
        let place = Place::new(found.kind.as_str(), found.external_id.as_str());
        self.registered.insert(place, Some(found));
    }

    /// Takes in what a search has found of our own resources.
    pub fn know_located(&mut self, found: Located) {
        self.located.insert(found.resource, Some(Arc::new(found)));
    }

    /// Takes in what principals hold, some at a time.
    pub async fn know_subjects(&mut self, principals: &[Principal]) -> Result<(), Problem> {
        let state = self.state;
        let found: Vec<_> = stream::iter(principals.iter().copied())
            .map(|principal| async move {
                Ok::<_, DbErr>((principal, grants::subject(state, principal).await?))
            })
            .buffered(AT_ONCE)
            .try_collect()
            .await?;
        self.subjects.extend(found);
        Ok(())
    }

    async fn ours(
        &mut self,
        kind: ResourceType,
        id: Option<&str>,
    ) -> Result<Option<Arc<Located>>, Problem> {
        if kind == ResourceType::System {
            return Ok(Some(Arc::new(Located::system())));
        }
        let Some(id) = id.and_then(uuid) else {
            return Ok(None);
        };
        let principal = match kind {
            ResourceType::User => Principal::user(id),
            ResourceType::ServiceAccount => Principal::service_account(id),
            _ => return self.locate(ResourceRef::new(kind, id)).await,
        };
        let known = self.subject(principal).await?;
        Ok(known.map(|_| Arc::new(Located::principal(principal))))
    }

    /// One of our resources and its path, or nothing if it does not exist.
    pub async fn locate(&mut self, target: ResourceRef) -> Result<Option<Arc<Located>>, Problem> {
        if let Some(located) = self.located.get(&target) {
            return Ok(located.clone());
        }
        let located = resource::locate(self.state, target).await?;
        self.located.insert(target, located.clone());
        Ok(located)
    }
}

/// The id that `text` is, in the form with dashes only.
///
/// Whatever has this form is never looked up as a username, so nobody can be taken for
/// another by choosing the other's id as their name.
fn uuid(text: &str) -> Option<Uuid> {
    (text.len() == 36)
        .then(|| Uuid::try_parse(text).ok())
        .flatten()
}
