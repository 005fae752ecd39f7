//! Why the answer is what it is, and what would have changed it.

use std::{collections::HashMap, sync::Arc};

use uuid::Uuid;

use super::{
    inquiry::Hidden,
    model::{Answer, GrantView, PlaceView, WouldAllow},
    repo,
};
use crate::{
    access::{actor::Subject, question},
    policy::{Grant, Input, Place, TYPES},
    problem::Problem,
    state::AppState,
};

/// Roles of one organization that are tried.
const MOST_ROLES: u64 = 50;
/// Questions that one request may put to the policy to learn what would allow something.
const MOST_PROBES: usize = 1000;
/// Questions that are put to the policy at once.
const STEP: usize = 100;
/// Where roles can be held, of what is ours.
const LEVELS: [&str; 4] = ["system", "organization", "account", "project"];
/// Where roles can be held, of what applications registered.
const REGISTERED: &str = "resource";

/// What an explanation is made of.
#[derive(Clone, Debug)]
pub(super) struct Explain {
    /// Whom it is about, if they are one of ours.
    pub(super) subject: Option<Arc<Subject>>,
    /// The organization whose own roles may be named.
    pub(super) organization: Option<Uuid>,
    /// How many of the places right below what is ours are registered.
    pub(super) registered: usize,
}

/// A role that can be held at some levels.
struct Role {
    key: String,
    permissions: Vec<String>,
    levels: Vec<String>,
}

/// Explains the answers to one request.
pub(super) struct Explainer<'a> {
    state: &'a AppState,
    roles: HashMap<Option<Uuid>, Arc<[Role]>>,
    probes: usize,
}

impl<'a> Explainer<'a> {
    pub(super) fn new(state: &'a AppState) -> Self {
        Self {
            state,
            roles: HashMap::new(),
            probes: MOST_PROBES,
        }
    }

    /// Adds to `answer` what was asked for besides, if anything was.
    ///
    /// # Errors
    ///
    /// `503` if the policy cannot say.
    pub(super) async fn explain(
        &mut self,
        input: &Input,
        hidden: Hidden,
        explain: Option<Explain>,
        mut answer: Answer,
    ) -> Result<Answer, Problem> {
        let Some(explain) = explain else {
            return Ok(answer);
        };
        if answer.decision {
            let matched = answer.context.matched_grants.as_deref().unwrap_or_default();
            answer.context.grants = Some(grants(explain.subject.as_deref(), matched));
        } else if hidden != Hidden::Ours && explain.subject.is_some() {
            answer.context.would_allow = self.would_allow(input, &explain, hidden).await?;
        }
        Ok(answer)
    }

    /// The roles at the places of the resource's path with which the policy says yes; nothing if
    /// the request has asked for too much already.
    pub(super) async fn would_allow(
        &mut self,
        input: &Input,
        explain: &Explain,
        hidden: Hidden,
    ) -> Result<Option<Vec<WouldAllow>>, Problem> {
        let roles = self.roles(explain.organization).await?;
        let mut tries = Vec::new();
        for (place, level) in places(input, explain.registered, hidden).into_iter().rev() {
            let fits = |role: &&Role| role.levels.iter().any(|at| at == level);
            tries.extend(roles.iter().filter(fits).map(|role| (role, place)));
        }
        let Some(left) = self.probes.checked_sub(tries.len()) else {
            return Ok(None);
        };
        self.probes = left;
        let mut found = Vec::new();
        for some in tries.chunks(STEP) {
            let inputs: Vec<_> = some
                .iter()
                .map(|(role, place)| with(input, role, place))
                .collect();
            let decisions = self.state.policy.decide_many(&inputs).await;
            let decisions = decisions.map_err(question::unavailable)?;
            for ((role, place), decision) in some.iter().zip(decisions) {
                if decision.allow {
                    found.push(WouldAllow {
                        role: role.key.clone(),
                        at: PlaceView::from((*place).clone()),
                    });
                }
            }
        }
        Ok(Some(found))
    }

    /// The built-in roles and those of an organization, the least first.
    async fn roles(&mut self, organization: Option<Uuid>) -> Result<Arc<[Role]>, Problem> {
        if let Some(roles) = self.roles.get(&organization) {
            return Ok(Arc::clone(roles));
        }
        let built_in = self.state.catalog.roles.iter().map(|role| Role {
            key: role.key.clone(),
            permissions: role.permissions.clone(),
            levels: role.assignable_at.clone(),
        });
        let mut roles: Vec<_> = built_in.collect();
        if let Some(id) = organization {
            let own = repo::roles(self.state, id, MOST_ROLES).await?;
            roles.extend(own.into_iter().map(|row| Role {
                key: row.key,
                permissions: row.permissions,
                levels: row.assignable_at,
            }));
        }
        // Patterns carry more than their number tells, and one of them everything.
        roles.sort_by_key(|role| {
            let is_all = role.permissions.iter().any(|one| one == "*");
            let patterns = role.permissions.iter().filter(|one| one.contains('*'));
            (is_all, patterns.count(), role.permissions.len())
        });
        let roles: Arc<[Role]> = roles.into();
        self.roles.insert(organization, Arc::clone(&roles));
        Ok(roles)
    }
}

/// The places of the path where roles can be held, each with the level that they are given at.
fn places(input: &Input, registered: usize, hidden: Hidden) -> Vec<(&Place, &'static str)> {
    // Of what looks as if nobody had registered it, no other place is to be known.
    let levels = match hidden {
        Hidden::No => &LEVELS[..],
        Hidden::Ours | Hidden::Registered => &LEVELS[..1],
    };
    let level = |place: &Place| levels.iter().find(|level| **level == place.r#type).copied();
    let ours = input.resource.path.iter();
    let mut found: Vec<_> = ours
        .filter_map(|place| Some((place, level(place)?)))
        .collect();
    if hidden == Hidden::No {
        let theirs = input.resource.path.iter();
        let theirs = theirs.filter(|place| !TYPES.contains(&place.r#type.as_str()));
        found.extend(theirs.take(registered).map(|place| (place, REGISTERED)));
    }
    found
}

/// The question with one role more.
fn with(input: &Input, role: &Role, place: &Place) -> Input {
    let mut input = input.clone();
    input.grants.push(Grant {
        id: Uuid::nil(),
        role: role.key.clone(),
        permissions: role.permissions.clone(),
        resource: place.clone(),
        expires_at: None,
    });
    input
}

/// The assignments that were matched, and how the subject comes by each.
pub(super) fn grants(subject: Option<&Subject>, matched: &[String]) -> Vec<GrantView> {
    let held = subject.iter().flat_map(|subject| subject.grants.iter());
    held.filter(|grant| matched.iter().any(|id| *id == grant.id.to_string()))
        .map(|grant| GrantView {
            assignment: grant.id,
            role: grant.role.to_string(),
            at: grant.place().into(),
            group: grant.group_id,
            expires_at: grant.expires_at,
        })
        .collect()
}
