//! Comparing organizations, accounts and projects with what is there, and writing what is new.

use std::collections::{HashMap, HashSet};

use sea_orm::DbErr;
use serde_json::json;
use uuid::Uuid;

use super::{
    place::Place as Thing,
    repo::{self, Held, NewPlace, Places},
    report::{Fault, Kind, Place},
    service::{Import, ImportError, Progressing, TRIES},
};
use crate::{
    access::resource::{ResourceRef, ResourceType},
    audit::{self, Doer, Entry, Target},
    database::db::DbTx,
    http::text::Slug,
};

/// Slugs that are tried before a random one is taken.
const SLUG_DIGITS: usize = 8;

/// The places of the source that are here, or will be.
#[derive(Default)]
pub(super) struct Directory {
    organizations: HashSet<Uuid>,
    /// With their organization.
    accounts: HashMap<Uuid, Uuid>,
    /// With their organization.
    projects: HashMap<Uuid, Uuid>,
    /// Organizations that have an owner.
    pub(super) owned: HashSet<Uuid>,
    /// Organizations of this run, in the order of the source, with where they stand.
    new: Vec<(Uuid, Place)>,
    /// Names and slugs that are taken by this run.
    names: HashSet<(Option<Uuid>, String)>,
    slugs: HashSet<String>,
    /// Roles that were given by this run.
    pub(super) held: HashSet<Held>,
}

impl Directory {
    /// The organization of a place, if it is here.
    pub(super) fn organization_of(&self, kind: Kind, id: Uuid) -> Option<Uuid> {
        match kind {
            Kind::Organizations => self.organizations.get(&id).copied(),
            Kind::Accounts => self.accounts.get(&id).copied(),
            _ => self.projects.get(&id).copied(),
        }
    }

    fn insert(&mut self, kind: Kind, id: Uuid, organization: Uuid) {
        match kind {
            Kind::Organizations => {
                self.organizations.insert(id);
            }
            Kind::Accounts => {
                self.accounts.insert(id, organization);
            }
            _ => {
                self.projects.insert(id, organization);
            }
        }
    }
}

/// What becomes of the rows of a batch.
pub(super) struct Judged<T> {
    pub(super) new: Vec<(Place, T)>,
    pub(super) skipped: u64,
    pub(super) withheld: u64,
    /// Places that are here, with their organization; of assignments the organizations that they
    /// give an owner.
    pub(super) known: Vec<(Uuid, Uuid)>,
    pub(super) faults: Vec<(Place, Fault)>,
    pub(super) notices: Vec<(Place, Fault)>,
}

impl<T> Default for Judged<T> {
    fn default() -> Self {
        Self {
            new: Vec::new(),
            skipped: 0,
            withheld: 0,
            known: Vec::new(),
            faults: Vec::new(),
            notices: Vec::new(),
        }
    }
}

impl Import<'_> {
    /// Compares, and with `progress.writes` writes, one batch of organizations, accounts or projects.
    pub(super) async fn places(
        &mut self,
        kind: Kind,
        batch: Vec<(Place, Thing)>,
        progress: &mut Progressing,
    ) -> Result<(), ImportError> {
        let judged = if progress.writes {
            let mut tries = 0;
            loop {
                match self.write_places(kind, &batch).await {
                    Err(error) if tries < TRIES && error.may_pass() => tries += 1,
                    result => break result?,
                }
            }
        } else {
            let tx = self.begin().await?;
            let known = places_of(&tx, kind, &batch).await?;
            self.judge_places(kind, &batch, &known)
        };
        let first = judged.new.first().map(|(place, _)| place.clone());
        for (place, new) in &judged.new {
            let id = new.place.id.id;
            let directory = &mut self.directory;
            directory.insert(kind, id, new.organization_id);
            let parent = new.place.parent.map(|parent| parent.id);
            directory
                .names
                .insert((parent, new.place.name_normalized.clone()));
            directory
                .slugs
                .extend(new.slug.as_ref().map(ToString::to_string));
            if kind == Kind::Organizations {
                directory.new.push((id, place.clone()));
            }
        }
        for (id, organization) in &judged.known {
            self.directory.insert(kind, *id, *organization);
        }
        self.note_judged(kind, judged, first.as_ref(), progress)
    }

    pub(super) fn note_judged<T>(
        &mut self,
        kind: Kind,
        judged: Judged<T>,
        first: Option<&Place>,
        progress: &mut Progressing,
    ) -> Result<(), ImportError> {
        let counts = self.report.of(kind);
        counts.new += judged.new.len() as u64;
        counts.skipped += judged.skipped;
        counts.withheld += judged.withheld;
        progress.goes_on(counts, first);
        for (place, fault) in judged.faults {
            self.report.refuse(kind, place, fault)?;
        }
        for (place, fault) in judged.notices {
            self.report.notice(kind, place, fault)?;
        }
        Ok(())
    }

    async fn write_places(
        &self,
        kind: Kind,
        batch: &[(Place, Thing)],
    ) -> Result<Judged<NewPlace>, ImportError> {
        let tx = self.begin().await?;
        let known = places_of(&tx, kind, batch).await?;
        let judged = self.judge_places(kind, batch, &known);
        if judged.new.is_empty() {
            return Ok(judged);
        }
        let new: Vec<_> = judged.new.iter().map(|(_, new)| new).collect();
        repo::insert_places(&tx, kind, &new, self.clock.now()).await?;
        let entries = new.iter().map(|new| created(kind, new));
        audit::record_all(&tx, self.clock, &self.origin, entries).await?;
        tx.commit().await?;
        Ok(judged)
    }

    fn judge_places(
        &self,
        kind: Kind,
        batch: &[(Place, Thing)],
        known: &Places,
    ) -> Judged<NewPlace> {
        let mut judged = Judged::default();
        let (mut names, mut slugs) = (HashSet::new(), HashSet::new());
        for (at, thing) in batch {
            let organization = match (kind, thing.parent) {
                (Kind::Accounts, Some(parent)) => self
                    .directory
                    .organization_of(Kind::Organizations, parent.id),
                (Kind::Projects, Some(parent)) => {
                    self.directory.organization_of(Kind::Accounts, parent.id)
                }
                _ => Some(thing.id.id),
            };
            let Some(organization) = organization else {
                judged.faults.push((at.clone(), parent_missing(kind)));
                continue;
            };
            let parent = thing.parent.map(|parent| parent.id);
            let name = (parent, thing.name_normalized.clone());
            if let Some((there, is_called)) = known.by_id.get(&thing.id.id) {
                if *there == parent && (thing.id.kept || *is_called == name.1) {
                    judged.skipped += 1;
                    judged.known.push((thing.id.id, organization));
                } else {
                    judged.faults.push((at.clone(), id_taken()));
                }
            } else if known.by_name.contains_key(&name) {
                judged.faults.push((at.clone(), name_taken()));
            } else if self.directory.names.contains(&name) || !names.insert(name) {
                let text = "an earlier row has the same name: change one";
                let fault = ("duplicate_name", text.to_owned());
                judged.faults.push((at.clone(), fault));
            } else {
                let taken = |slug: &str| {
                    known.slugs.contains(slug)
                        || self.directory.slugs.contains(slug)
                        || slugs.contains(slug)
                };
                let slug = (kind == Kind::Organizations).then(|| slug_of(thing, taken));
                slugs.extend(slug.as_ref().map(ToString::to_string));
                let owner_id = self.owner(at, thing, &mut judged.notices);
                let new = NewPlace {
                    place: thing.clone(),
                    organization_id: organization,
                    slug,
                    owner_id,
                };
                judged.new.push((at.clone(), new));
            }
        }
        judged
    }

    /// The user here whom a project belongs to.
    fn owner(&self, at: &Place, thing: &Thing, notices: &mut Vec<(Place, Fault)>) -> Option<Uuid> {
        let owner = thing.owner?;
        let found = self.people.get(&owner.id).copied().flatten();
        if found.is_none() {
            let text = "left out: owner_id: this user was not imported";
            notices.push((at.clone(), ("left_out", text.to_owned())));
        }
        found
    }

    /// Names the new organizations that nobody owns.
    pub(super) fn note_owners(&mut self) -> Result<(), ImportError> {
        for (id, place) in std::mem::take(&mut self.directory.new) {
            if !self.directory.owned.contains(&id) {
                let text = "nobody is its owner: let an administrator of the system give the role";
                let notice = ("no_owner", text.to_owned());
                self.report.notice(Kind::Organizations, place, notice)?;
            }
        }
        Ok(())
    }
}

async fn places_of(tx: &DbTx, kind: Kind, batch: &[(Place, Thing)]) -> Result<Places, DbErr> {
    let things: Vec<_> = batch.iter().map(|(_, thing)| thing).collect();
    let slugs = things.iter().map(|thing| first_slug(thing).to_string());
    repo::places(tx, kind, &things, slugs.collect()).await
}

fn first_slug(thing: &Thing) -> Slug {
    let own = thing.slug.clone();
    own.unwrap_or_else(|| Slug::from_name(&thing.name))
}

/// The slug of the source or of the name; if that is taken, with some of the id behind it.
fn slug_of(thing: &Thing, taken: impl Fn(&str) -> bool) -> Slug {
    let first = first_slug(thing);
    if !taken(&first) {
        return first;
    }
    let id = thing.id.id.simple().to_string();
    let stem: String = first.chars().take(50).collect();
    let end = &id[id.len() - SLUG_DIGITS..];
    Slug::try_from(format!("{}-{end}", stem.trim_end_matches('-'))).unwrap_or(first)
}

fn parent_missing(kind: Kind) -> Fault {
    let text = match kind {
        Kind::Accounts => "organization_id: this organization was not imported",
        _ => "account_id: this account was not imported",
    };
    ("parent_missing", text.to_owned())
}

fn id_taken() -> Fault {
    let text = "a row with this id was imported before, with another name or from another place: \
                if that was from another installation, give this one a name of its own with \
                --source NAME";
    ("id_taken", text.to_owned())
}

fn name_taken() -> Fault {
    let text = "there is one with this name already: rename one of them";
    ("name_taken", text.to_owned())
}

fn created(kind: Kind, new: &NewPlace) -> Entry {
    let (action, resource, details) = match kind {
        Kind::Organizations => (
            "organization.created",
            ResourceType::Organization,
            json!({ "name": new.place.name, "slug": new.slug, "imported": true }),
        ),
        Kind::Accounts => (
            "account.created",
            ResourceType::Account,
            json!({ "name": new.place.name, "imported": true }),
        ),
        _ => (
            "project.created",
            ResourceType::Project,
            json!({
                "name": new.place.name,
                "account_id": new.place.parent.map(|parent| parent.id),
                "owner_id": new.owner_id,
                "imported": true,
            }),
        ),
    };
    Entry {
        doer: Doer::Program,
        action,
        target: Target::resource(
            Some(new.organization_id),
            ResourceRef::new(resource, new.place.id.id),
        ),
        details,
    }
}
