//! Finds candidates and puts them to the policy, until a page is full.

use std::collections::BTreeSet;

use uuid::Uuid;

use super::{
    actions,
    holders::{self, Among},
    model::{Found, PageAnswer, SearchAnswer},
    places::{self, Ground},
    token::Page,
};
use crate::{
    access::{
        actor::{Principal, PrincipalType},
        permit::Permit,
        question, registered,
        resource::{Located, ResourceRef, ResourceType},
    },
    authzen::{
        inquiry::{Inquiry, Prepared},
        lookup::{Named, Standing},
        model::Evaluate,
        request::{Kind, Search},
        service::REFUSED,
    },
    config::OrganizationCreation,
    problem::{Code, Problem},
    roles::reach::Reach,
    state::AppState,
};

/// Candidates that one request looks at; the rest is left to the next page.
const MOST_EXAMINED: usize = 2000;
/// Candidates that are put to the policy at once, where a page did not become full at first.
const STEP: usize = 200;

/// One page of what is searched for.
///
/// # Errors
///
/// `400` for a token that does not fit, `403` if the caller may not ask about this anywhere,
/// `503` if there is no answer.
pub async fn search(
    state: &AppState,
    permit: &Permit<Evaluate>,
    search: &Search,
) -> Result<SearchAnswer, Problem> {
    let page = Page::of(search, permit.principal(), &state.sealer)?;
    let mut inquiry = Inquiry::new(state, permit);
    let source = match search.kind {
        Kind::Subject => subjects(&mut inquiry, search).await?,
        Kind::Resource => resources(&mut inquiry, search).await?,
        Kind::Action => names(&mut inquiry, search).await?,
    };
    walk(inquiry, search, &page, &source).await
}

/// Where the caller may ask about others.
enum Asking {
    Everywhere,
    /// In these organizations; never none.
    Within(Vec<Uuid>),
}

/// Where the caller may ask about others: at the system, or in organizations where they hold roles.
async fn asking(inquiry: &mut Inquiry<'_>) -> Result<Asking, Problem> {
    if inquiry.may_ask(ResourceRef::SYSTEM).await? {
        return Ok(Asking::Everywhere);
    }
    let grants = inquiry.permit.actor().subject.grants.clone();
    let organizations: BTreeSet<Uuid> = grants
        .iter()
        .filter_map(|grant| grant.organization_id)
        .collect();
    let mut within = Vec::new();
    for id in organizations {
        let organization = ResourceRef::new(ResourceType::Organization, id);
        if inquiry.may_ask(organization).await? {
            within.push(id);
        }
    }
    if within.is_empty() {
        return Err(Problem::new(Code::Forbidden, REFUSED));
    }
    Ok(Asking::Within(within))
}

/// Where candidates come from.
enum Source {
    Nothing,
    /// As subjects, or as resources.
    Principals(PrincipalType, Among),
    Ours(ResourceType, Ground),
    Registered(Ground),
    /// The system as a resource.
    System,
    Actions(BTreeSet<String>),
}

fn principal(kind: PrincipalType, id: Uuid) -> Principal {
    Principal { r#type: kind, id }
}

/// Something that may be found.
struct Candidate {
    /// Its place in the order.
    key: String,
    found: Found,
}

impl Candidate {
    /// Something of ours, whose id is its place.
    fn ours(kind: &str, id: Uuid) -> Self {
        Self::entity(id.to_string(), kind, id.to_string())
    }

    fn entity(key: String, kind: &str, id: String) -> Self {
        Self {
            key,
            found: Found::Entity {
                r#type: kind.to_owned(),
                id,
            },
        }
    }
}

async fn subjects(inquiry: &mut Inquiry<'_>, search: &Search) -> Result<Source, Problem> {
    let asking = asking(inquiry).await?;
    let Ok(kind) = search.subject.kind.parse::<PrincipalType>() else {
        return Ok(Source::Nothing);
    };
    let Some(standing) = standing(inquiry, search).await? else {
        return Ok(Source::Nothing);
    };
    let organization = match (&asking, standing.base.organization_id()) {
        (Asking::Everywhere, _) => None,
        (Asking::Within(within), Some(id)) if within.contains(&id) => Some(id),
        (Asking::Within(_), _) => return Ok(Source::Nothing),
    };
    let permission = search.permission();
    let among = if open_to_all(inquiry.state, &permission) {
        organization.map_or(Among::Everyone, Among::Members)
    } else {
        let mut among = Among::holders(permission, &standing, organization);
        if let Among::Holders { besides, .. } = &mut among {
            *besides = itself(&standing.base, kind);
        }
        among
    };
    Ok(Source::Principals(kind, among))
}

/// The principal that a resource is, if it is one of this type: everyone may something with
/// their own account.
fn itself(located: &Located, kind: PrincipalType) -> Option<Uuid> {
    let is_same = matches!(
        (located.resource.kind, kind),
        (ResourceType::User, PrincipalType::User)
            | (ResourceType::ServiceAccount, PrincipalType::ServiceAccount)
    );
    is_same.then_some(located.resource.id).flatten()
}

async fn resources(inquiry: &mut Inquiry<'_>, search: &Search) -> Result<Source, Problem> {
    let named = inquiry.lookup.named(&search.subject).await?;
    let own = named.principal() == Some(inquiry.permit.principal());
    let within = if own {
        None
    } else {
        match asking(inquiry).await? {
            Asking::Everywhere => None,
            Asking::Within(within) => Some(within),
        }
    };
    let subject = match named {
        Named::Nobody => return Ok(Source::Nothing),
        Named::Foreign => None,
        Named::ById(principal) | Named::ByLogin(principal) => {
            let Some(subject) = inquiry.lookup.subject(principal).await? else {
                return Ok(Source::Nothing);
            };
            // The policy answers nobody else yes.
            if subject.status != "active" {
                return Ok(Source::Nothing);
            }
            Some(subject)
        }
    };
    let permission = search.permission();
    let is_open = open_to_all(inquiry.state, &permission);
    let reach = subject.as_ref().map_or_else(Reach::default, |subject| {
        Reach::of(&subject.grants, &permission, inquiry.state.clock.now())
    });
    let everywhere = is_open || reach.everywhere;
    let ground = if is_open {
        Ground::all(within.clone())
    } else {
        Ground::of(reach, within.clone())
    };
    Ok(match search.resource.kind.parse::<ResourceType>() {
        Ok(ResourceType::System) => Source::System,
        // They belong to no organization.
        Ok(ResourceType::User | ResourceType::ServiceAccount) if within.is_some() => {
            Source::Nothing
        }
        Ok(ResourceType::User) => accounts(PrincipalType::User, everywhere, named),
        Ok(ResourceType::ServiceAccount) => {
            accounts(PrincipalType::ServiceAccount, everywhere, named)
        }
        Ok(_) if ground.is_empty() => Source::Nothing,
        Ok(kind) => Source::Ours(kind, ground),
        Err(()) if ground.is_empty() && !ground.has_things() => Source::Nothing,
        Err(()) if registered::is_type(&search.resource.kind) => Source::Registered(ground),
        Err(()) => Source::Nothing,
    })
}

fn accounts(kind: PrincipalType, everywhere: bool, asker: Named) -> Source {
    let itself = asker.principal().filter(|asker| asker.r#type == kind);
    let among = if everywhere {
        Among::Everyone
    } else {
        Among::Holders {
            permission: String::new(),
            places: Vec::new(),
            besides: itself.map(|asker| asker.id),
            within: None,
        }
    };
    Source::Principals(kind, among)
}

async fn names(inquiry: &mut Inquiry<'_>, search: &Search) -> Result<Source, Problem> {
    let named = inquiry.lookup.named(&search.subject).await?;
    if named.principal() != Some(inquiry.permit.principal()) {
        asking(inquiry).await?;
    }
    let Some(standing) = standing(inquiry, search).await? else {
        return Ok(Source::Nothing);
    };
    let subject = match named.principal() {
        Some(principal) => inquiry.lookup.subject(principal).await?,
        None => None,
    };
    let organization = standing.base.organization_id();
    let kind = &search.resource.kind;
    let known = actions::names(inquiry.state, kind, subject.as_deref(), organization).await?;
    Ok(Source::Actions(known))
}

async fn standing(inquiry: &mut Inquiry<'_>, search: &Search) -> Result<Option<Standing>, Problem> {
    let question = search
        .question(None, Some("any"), None)
        .map_err(|fault| Problem::invalid_fields(vec![fault]))?;
    inquiry.lookup.standing(&question).await
}

/// Whether a permission may be allowed to those who hold nothing that carries it.
fn open_to_all(state: &AppState, permission: &str) -> bool {
    let is_open = matches!(
        state.config.registration.organization_creation,
        OrganizationCreation::Open
    );
    !state.policy.grants_alone()
        || state.catalog.everyone.iter().any(|open| open == permission)
        || is_open && permission == "organization:create"
}

/// The candidates after `after`, `limit` of them unless there are no more.
async fn candidates(
    inquiry: &mut Inquiry<'_>,
    search: &Search,
    source: &Source,
    after: Option<&str>,
    limit: usize,
) -> Result<Vec<Candidate>, Problem> {
    let state = inquiry.state;
    let after_id = after.and_then(|key| Uuid::try_parse(key).ok());
    Ok(match source {
        Source::Principals(kind, among) => {
            let ids = holders::ids(state, *kind, among, after_id, limit).await?;
            let principals: Vec<_> = ids.iter().map(|id| principal(*kind, *id)).collect();
            inquiry.lookup.know_subjects(&principals).await?;
            let candidates = ids.into_iter().map(|id| Candidate::ours(kind.as_str(), id));
            candidates.collect()
        }
        Source::Ours(kind, ground) => {
            let found = places::ours(state, *kind, ground, after_id, limit).await?;
            let mut candidates = Vec::with_capacity(found.len());
            for located in found {
                let id = located.resource.id.unwrap_or_default();
                candidates.push(Candidate::ours(kind.as_str(), id));
                inquiry.lookup.know_located(located);
            }
            candidates
        }
        Source::Registered(ground) => {
            let kind = &search.resource.kind;
            let found = places::registered(state, kind, ground, after_id, limit).await?;
            let mut candidates = Vec::with_capacity(found.len());
            for thing in found {
                let id = thing.external_id.clone();
                candidates.push(Candidate::entity(thing.id.to_string(), kind, id));
                inquiry.lookup.know_registered(thing.into());
            }
            candidates
        }
        Source::System if after.is_none() => {
            let name = "system".to_owned();
            vec![Candidate::entity(name.clone(), "system", name)]
        }
        Source::System | Source::Nothing => Vec::new(),
        Source::Actions(names) => {
            let rest = names
                .iter()
                .filter(|name| after.is_none_or(|after| name.as_str() > after));
            rest.take(limit)
                .map(|name| Candidate {
                    key: name.clone(),
                    found: Found::Action { name: name.clone() },
                })
                .collect()
        }
    })
}

/// Which of the candidates the policy allows.
async fn allowed(
    inquiry: &mut Inquiry<'_>,
    search: &Search,
    candidates: &[Candidate],
) -> Result<Vec<bool>, Problem> {
    let (mut allowed, mut asked, mut inputs) = (Vec::new(), Vec::new(), Vec::new());
    for (index, candidate) in candidates.iter().enumerate() {
        allowed.push(false);
        let question = match (&candidate.found, search.kind) {
            (Found::Action { name }, _) => search.question(None, Some(name), None),
            (Found::Entity { id, .. }, Kind::Subject) => search.question(Some(id), None, None),
            (Found::Entity { id, .. }, _) => search.question(None, None, Some(id)),
        };
        let Ok(question) = question else {
            continue;
        };
        match inquiry.prepare(question).await? {
            Prepared::Open(open) => {
                asked.push(index);
                inputs.push(open.input);
            }
            Prepared::Known(answer) => allowed[index] = answer.decision,
            Prepared::Refused => {}
        }
    }
    let decisions = if inputs.is_empty() {
        Vec::new()
    } else {
        // Not to be written down: nobody does what a search goes through.
        let decisions = inquiry.state.policy.decide_many(&inputs).await;
        decisions.map_err(question::unavailable)?
    };
    for (index, decision) in asked.into_iter().zip(decisions) {
        allowed[index] = decision.allow;
    }
    Ok(allowed)
}

async fn walk(
    mut inquiry: Inquiry<'_>,
    search: &Search,
    page: &Page,
    source: &Source,
) -> Result<SearchAnswer, Problem> {
    let limit = page.limit();
    let mut results: Vec<Candidate> = Vec::new();
    let mut after = page.after.clone();
    let mut examined = 0;
    // One more than the page has tells whether another one follows.
    let mut step = limit + 1;
    let next = loop {
        let found = candidates(&mut inquiry, search, source, after.as_deref(), step).await?;
        let is_end = found.len() < step;
        examined += found.len();
        after = found.last().map(|last| last.key.clone()).or(after);
        let allowed = allowed(&mut inquiry, search, &found).await?;
        let found = found.into_iter().zip(allowed);
        results.extend(found.filter_map(|(found, allowed)| allowed.then_some(found)));
        if results.len() > limit {
            results.truncate(limit);
            break results.last().map(|last| last.key.clone());
        }
        if is_end {
            break None;
        }
        if examined >= MOST_EXAMINED {
            break after;
        }
        step = STEP;
    };
    let next_token = match next {
        Some(after) => page.next(&after, &inquiry.state.sealer)?,
        None => String::new(),
    };
    Ok(SearchAnswer {
        page: PageAnswer {
            next_token,
            count: results.len(),
        },
        results: results.into_iter().map(|result| result.found).collect(),
    })
}
