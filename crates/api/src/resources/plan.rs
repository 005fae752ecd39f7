//! What registering comes to: where each resource is to stand, and how the rows get there.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use chrono::{DateTime, Utc};
use entity::resource;
use sea_orm::{ActiveModelTrait, ActiveValue::Set, IntoActiveModel, sea_query::LockType};
use serde_json::Value;
use uuid::Uuid;

use super::{
    model::{BatchAnswer, MOST, Manage, ManageAnywhere, NewResource, Parent, ResourceError},
    repo,
};
use crate::{
    access::{
        cache::Change,
        permit::{self, Permit},
        registered::{self, Registered, Spot},
        resource::{self as place, Located, ResourceRef, ResourceType},
    },
    database::tx::{Scope, Tx},
    http::etag::IfMatch,
    policy::Place,
    problem::{Code, Problem},
    state::AppState,
};

/// Whether a row still stands where the caller's right was judged.
pub(super) fn stands_at(row: &resource::Model, known: &Registered) -> bool {
    let above = known.below.ids.split_last().map(|(_, above)| above);
    base(row) == known.base.resource && Some(row.ancestors.as_slice()) == above
}

/// Asks whether the caller may manage what stands right below `spot`: by what they hold on what of
/// ours that is, or stands below, else by what they hold on it or above it.
pub(super) async fn judge(
    state: &AppState,
    permit: &Permit<ManageAnywhere>,
    spot: &Spot,
) -> Result<Permit<Manage>, Problem> {
    let Spot::Registered(known) = spot else {
        return permit::narrow_to(state, permit, spot).await;
    };
    match permit::narrow(state, permit, known.base.resource).await {
        Err(problem) if matches!(problem.code(), Code::Forbidden | Code::NotFound) => {
            permit::narrow_to(state, permit, spot).await
        }
        judged => judged,
    }
}

/// What of ours a row stands below.
fn base(row: &resource::Model) -> ResourceRef {
    match (row.project_id, row.account_id) {
        (Some(id), _) => ResourceRef::new(ResourceType::Project, id),
        (None, Some(id)) => ResourceRef::new(ResourceType::Account, id),
        (None, None) => ResourceRef::new(ResourceType::Organization, row.organization_id),
    }
}

/// What a resource is to stand below.
#[derive(Clone)]
enum Above {
    /// One of ours.
    Ours(Arc<Located>),
    /// What is registered already.
    Registered(Arc<Registered>),
    /// A resource that stands before it in the same batch.
    Before(usize),
}

/// Resources to be registered, where the caller may do that.
pub(super) struct Plan {
    new: Vec<NewResource>,
    /// For each, what it is to stand below.
    above: Vec<Above>,
    /// What is registered already.
    known: HashMap<Place, Arc<Registered>>,
    /// The organizations that they are in, or are to be in.
    pub(super) organizations: BTreeSet<Uuid>,
}

impl Plan {
    /// Finds what is named, and asks whether the caller may manage resources there.
    pub(super) async fn make(
        state: &AppState,
        permit: &Permit<ManageAnywhere>,
        new: Vec<NewResource>,
    ) -> Result<Self, ResourceError> {
        if !(1..=MOST).contains(&new.len()) {
            return Err(ResourceError::Length);
        }
        let known = Self::known(state, &new).await?;
        let parents = Self::parents(state, &known).await?;
        let (mut before, mut above) = (HashMap::new(), Vec::with_capacity(new.len()));
        let mut spots: HashMap<ResourceRef, Spot> = HashMap::new();
        let mut add = |spot: Spot| drop(spots.insert(spot.resource(), spot));
        for (index, one) in new.iter().enumerate() {
            let parent = Place::new(one.parent.r#type.as_str(), one.parent.id.as_str());
            let found = match before.get(&parent) {
                Some(earlier) => Above::Before(*earlier),
                None => Self::above(state, &one.parent, known.get(&parent)).await?,
            };
            match &found {
                Above::Ours(located) => add(located.resource.into()),
                Above::Registered(known) => add(Arc::clone(known).into()),
                // Stands where that one is to stand.
                Above::Before(_) => {}
            }
            above.push(found);
            let itself = Place::new(&*one.r#type, &*one.id);
            if let Some(known) = known.get(&itself) {
                let parent = known.parent();
                let above = parents.get(&parent).map(|above| Arc::clone(above).into());
                add(above.unwrap_or_else(|| known.base.resource.into()));
            }
            if before.insert(itself, index).is_some() {
                return Err(ResourceError::Twice(index));
            }
        }
        let mut organizations = BTreeSet::new();
        for spot in spots.into_values() {
            let place = judge(state, permit, &spot).await?;
            organizations.extend(place.located().organization_id());
        }
        Ok(Self {
            new,
            above,
            known,
            organizations,
        })
    }

    /// What is registered already of all that `new` names.
    async fn known(
        state: &AppState,
        new: &[NewResource],
    ) -> Result<HashMap<Place, Arc<Registered>>, ResourceError> {
        let mut names: BTreeSet<(String, String)> = new
            .iter()
            .map(|one| (one.r#type.to_string(), one.id.to_string()))
            .collect();
        names.extend(
            new.iter()
                .filter(|one| registered::is_type(&one.parent.r#type))
                .map(|one| (one.parent.r#type.clone(), one.parent.id.clone())),
        );
        Self::named(state, names).await
    }

    /// What of applications' the known ones stand right below.
    async fn parents(
        state: &AppState,
        known: &HashMap<Place, Arc<Registered>>,
    ) -> Result<HashMap<Place, Arc<Registered>>, ResourceError> {
        let above = known.values().filter(|known| known.below.ids.len() > 1);
        let names = above.filter_map(|known| {
            let Place { r#type, id } = known.parent();
            Some((r#type, id?))
        });
        Self::named(state, names.collect()).await
    }

    async fn named(
        state: &AppState,
        names: BTreeSet<(String, String)>,
    ) -> Result<HashMap<Place, Arc<Registered>>, ResourceError> {
        if names.is_empty() {
            return Ok(HashMap::new());
        }
        let names: Vec<_> = names.into_iter().collect();
        let tx = Tx::begin(state, &Scope::System).await?;
        let known = repo::named(&*tx, &names).await?;
        tx.commit().await?;
        let by_name = |known: Registered| {
            let name = Place::new(known.kind.as_str(), known.external_id.as_str());
            (name, Arc::new(known))
        };
        Ok(known.into_iter().map(by_name).collect())
    }

    async fn above(
        state: &AppState,
        parent: &Parent,
        known: Option<&Arc<Registered>>,
    ) -> Result<Above, ResourceError> {
        if let Some(known) = known {
            return Ok(Above::Registered(Arc::clone(known)));
        }
        let found = match (parent.r#type.parse(), Uuid::try_parse(&parent.id)) {
            (Ok(kind), Ok(id)) => place::locate(state, ResourceRef::new(kind, id)).await?,
            _ => None,
        };
        found.map(Above::Ours).ok_or(ResourceError::NotFound)
    }

    pub(super) fn scope(&self) -> Scope {
        Scope::Organizations(self.organizations.iter().copied().collect())
    }

    pub(super) fn types(&self) -> BTreeSet<&str> {
        self.new.iter().map(|one| &*one.r#type).collect()
    }

    /// Whether anything that is registered already is to stand elsewhere.
    fn moves(&self) -> bool {
        self.new.iter().any(|one| {
            let known = self.known.get(&Place::new(&*one.r#type, &*one.id));
            known.is_some_and(|known| Parent::from(known.parent()) != one.parent)
        })
    }

    pub(super) async fn carry_out(
        &self,
        tx: &mut Tx<'_>,
        now: DateTime<Utc>,
        if_match: Option<&IfMatch>,
    ) -> Result<BatchAnswer, ResourceError> {
        if self.moves() {
            repo::move_places(&**tx).await?;
        } else {
            repo::keep_places(&**tx).await?;
        }
        let mut rows = self.locked(tx).await?;
        let mut done = BatchAnswer::default();
        // As each is to be, for those that are to stand below it.
        let mut to_be: Vec<resource::Model> = Vec::with_capacity(self.new.len());
        let (mut inserts, mut updates) = (Vec::new(), Vec::new());
        for (one, above) in self.new.iter().zip(&self.above) {
            let place = Placed::below(above, &rows, &to_be)?;
            let known = self.known.get(&Place::new(&*one.r#type, &*one.id));
            let before = known.and_then(|known| rows.get(&known.id).cloned());
            if let Some(if_match) = if_match {
                let version = before.as_ref().map_or(0, |before| before.version);
                if_match
                    .check(version)
                    .map_err(|_| ResourceError::Changed)?;
            }
            let after = place.resource(one, before.as_ref(), now);
            if after.ancestors.contains(&after.id) {
                return Err(ResourceError::BelowItself);
            }
            match before {
                None => inserts.push(after.clone()),
                Some(before) if before == after => done.unchanged += 1,
                Some(before) => {
                    if has_moved(&before, &after) {
                        for row in rows.values_mut().chain(&mut to_be) {
                            follow(row, &after);
                        }
                    }
                    rows.insert(after.id, after.clone());
                    updates.push((before, after.clone()));
                }
            }
            tx.changed(Change::Registered(registered::key(&one.r#type, &one.id)));
            to_be.push(after);
        }
        done.created = inserts.len();
        done.updated = updates.len();
        // What is new may be what something moves below.
        let inserts = inserts.into_iter().map(|row| active(row, now)).collect();
        repo::insert(&**tx, inserts).await?;
        for (before, after) in updates {
            update(tx, &before, after, now).await?;
        }
        Ok(done)
    }

    /// The rows of what is registered already, locked, if they are where they were found.
    async fn locked(&self, tx: &Tx<'_>) -> Result<HashMap<Uuid, resource::Model>, ResourceError> {
        let ids = self.known.values().map(|known| known.id).collect();
        let rows = repo::lock(&**tx, ids, LockType::NoKeyUpdate).await?;
        let is_there =
            |known: &Arc<Registered>| rows.get(&known.id).is_some_and(|row| stands_at(row, known));
        if self.known.values().all(is_there) {
            Ok(rows)
        } else {
            Err(ResourceError::Raced)
        }
    }
}

/// Where a resource is to stand.
struct Placed {
    organization_id: Uuid,
    account_id: Option<Uuid>,
    project_id: Option<Uuid>,
    ancestors: Vec<Uuid>,
}

impl Placed {
    fn below(
        above: &Above,
        rows: &HashMap<Uuid, resource::Model>,
        to_be: &[resource::Model],
    ) -> Result<Self, ResourceError> {
        let row = match above {
            Above::Ours(located) => return Self::right_below(located),
            Above::Registered(known) => rows.get(&known.id),
            Above::Before(index) => to_be.get(*index),
        };
        let row = row.ok_or(ResourceError::Raced)?;
        let mut ancestors = row.ancestors.clone();
        ancestors.push(row.id);
        Ok(Self {
            organization_id: row.organization_id,
            account_id: row.account_id,
            project_id: row.project_id,
            ancestors,
        })
    }

    fn right_below(located: &Located) -> Result<Self, ResourceError> {
        let id_of = |kind| {
            let mut path = located.path.iter();
            path.find(|part| part.kind == kind).and_then(|part| part.id)
        };
        Ok(Self {
            organization_id: located.organization_id().ok_or(ResourceError::NotFound)?,
            account_id: id_of(ResourceType::Account),
            project_id: id_of(ResourceType::Project),
            ancestors: Vec::new(),
        })
    }

    /// The row that `one` is to have here, in the place of `before`.
    fn resource(
        self,
        one: &NewResource,
        before: Option<&resource::Model>,
        now: DateTime<Utc>,
    ) -> resource::Model {
        resource::Model {
            id: before.map_or_else(Uuid::now_v7, |before| before.id),
            kind: one.r#type.to_string(),
            external_id: one.id.to_string(),
            organization_id: self.organization_id,
            account_id: self.account_id,
            project_id: self.project_id,
            parent_id: self.ancestors.last().copied(),
            ancestors: self.ancestors,
            properties: Value::Object(one.properties.0.clone()),
            created_at: before.map_or(now, |before| before.created_at),
            updated_at: before.map_or(now, |before| before.updated_at),
            version: before.map_or(1, |before| before.version),
        }
    }
}

/// Whether what stands below it has another path then.
fn has_moved(before: &resource::Model, after: &resource::Model) -> bool {
    (base(before), &before.ancestors) != (base(after), &after.ancestors)
}

/// Makes `row` follow what it stands below, as the database will: a batch may move more than one.
fn follow(row: &mut resource::Model, moved: &resource::Model) {
    let Some(at) = row.ancestors.iter().position(|id| *id == moved.id) else {
        return;
    };
    let kept = row.ancestors.split_off(at);
    row.ancestors = [moved.ancestors.as_slice(), &kept].concat();
    row.organization_id = moved.organization_id;
    row.account_id = moved.account_id;
    row.project_id = moved.project_id;
}

fn active(row: resource::Model, now: DateTime<Utc>) -> resource::ActiveModel {
    let mut row = row.into_active_model().reset_all();
    row.updated_at = Set(now);
    row
}

async fn update(
    tx: &mut Tx<'_>,
    before: &resource::Model,
    after: resource::Model,
    now: DateTime<Utc>,
) -> Result<(), ResourceError> {
    let has_moved = has_moved(before, &after);
    if before.organization_id != after.organization_id {
        // Nobody has judged who may be let in there.
        for holder in repo::end_roles(&**tx, before.id).await? {
            tx.changed(Change::grants(holder));
        }
    }
    let mut row = active(after, now);
    row.version = Set(before.version + 1);
    let row = repo::save(&**tx, row).await?;
    if has_moved {
        repo::follow(&**tx, &row).await?;
        tx.changed(Change::Registrations);
    }
    Ok(())
}
