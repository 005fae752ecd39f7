//! A project moves to another account, of its organization or of another one.
//!
//! What was held on the old account and above counts for it no more once the transaction is
//! committed, and what is held on the new one does. Roles on the project itself stay, but between
//! organizations only built-in ones of people and programs: see `docs/decisions/0023`.

use std::collections::BTreeSet;

use entity::project;
use sea_orm::{ActiveValue::Set, IntoActiveModel, sea_query::LockType};
use serde_json::json;
use uuid::Uuid;

use super::{
    model::{Create, Delete, Move, Moving, ProjectError, ProjectView},
    repo::{self, Direct},
};
use crate::{
    access::{
        actor::Holder,
        cache::Change,
        permit::{self, Permit},
        resource::{Located, ResourceRef, ResourceType},
    },
    audit,
    database::tx::{Scope, Tx},
    http::etag::IfMatch,
    role_assignments::service::{self as role_assignments, Held},
    roles::{
        preview::{self, AccessChange, Affected},
        revision::Revised,
    },
    state::AppState,
};

/// Where a project goes, and who comes along.
struct Way {
    to: Uuid,
    /// The tenants at both ends.
    from_organization: Uuid,
    to_organization: Uuid,
    /// Assignments on the project, and on what is registered in it, that the caller could give at its new place, too.
    judged: BTreeSet<Uuid>,
}

impl Way {
    fn leaves_the_organization(&self) -> bool {
        self.from_organization != self.to_organization
    }

    fn scope(&self) -> Scope {
        Scope::Organizations(vec![self.from_organization, self.to_organization])
    }
}

/// Moves a project. One that is there already stays as it is.
///
/// # Errors
///
/// [`ProjectError::Refused`] unless the caller may move the project and make one at the new place.
pub async fn move_to(
    state: &AppState,
    permit: &Permit<Move>,
    moving: &Moving,
    if_match: &IfMatch,
) -> Result<Revised<ProjectView>, ProjectError> {
    let way = allowed(state, permit, moving).await?;
    let mut tx = Tx::begin(state, &way.scope()).await?;
    let after = go(state, &mut tx, permit, &way, if_match).await?;
    let revised = Revised::read(&*tx, after.into()).await?;
    tx.commit().await?;
    Ok(revised)
}

/// What [`move_to`] would do to accesses; nothing is changed.
///
/// # Errors
///
/// As [`move_to`].
pub async fn preview_move(
    state: &AppState,
    permit: &Permit<Move>,
    moving: &Moving,
    if_match: &IfMatch,
) -> Result<AccessChange, ProjectError> {
    let way = allowed(state, permit, moving).await?;
    let now = state.clock.now();
    let mut tx = Tx::begin(state, &Scope::System).await?;
    let affected = Affected::Move {
        project: permit.id(),
        account: way.to,
    };
    let preview = preview::begin(&*tx, affected, now).await?;
    go(state, &mut tx, permit, &way, if_match).await?;
    Ok(preview.finish(&*tx, now).await?)
    // The transaction is dropped, and rolled back.
}

fn organization(place: &Located) -> Result<Uuid, ProjectError> {
    place.organization_id().ok_or(ProjectError::NotFound)
}

/// Asks the policy about both ends, outside of a transaction.
async fn allowed(
    state: &AppState,
    permit: &Permit<Move>,
    moving: &Moving,
) -> Result<Way, ProjectError> {
    let target = ResourceRef::new(ResourceType::Account, moving.account_id);
    let there = permit::narrow::<Create, _>(state, permit, target)
        .await
        .map_err(ProjectError::Refused)?;
    let mut way = Way {
        to: moving.account_id,
        from_organization: organization(permit.located())?,
        to_organization: organization(there.located())?,
        judged: BTreeSet::new(),
    };
    if way.leaves_the_organization() {
        // For the organization that it leaves, the project is gone.
        permit::narrow::<Delete, _>(state, permit, permit.resource())
            .await
            .map_err(ProjectError::Refused)?;
        let tx = Tx::begin(state, &permit.scope()).await?;
        let direct = repo::direct(&*tx, permit.id()).await?;
        tx.commit().await?;
        let staying: Vec<Direct> = direct.into_iter().filter(Direct::stays).collect();
        way.judged = staying.iter().map(|direct| direct.row.id).collect();
        // Who keeps a role on the project, or on something in it, is let in there, so it takes the right to let them in.
        let held: Vec<Held> = staying
            .into_iter()
            .map(|direct| Held {
                spot: target.into(),
                role: direct.role,
            })
            .collect();
        role_assignments::demand_to_give(state, permit, &held).await?;
    }
    Ok(way)
}

async fn go(
    state: &AppState,
    tx: &mut Tx<'_>,
    permit: &Permit<Move>,
    way: &Way,
    if_match: &IfMatch,
) -> Result<project::Model, ProjectError> {
    // Nobody is given a role on it until this is over: that takes a lock on its row, too.
    let before = repo::lock(&**tx, permit.id(), LockType::Update)
        .await?
        .filter(|row| row.organization_id == way.from_organization)
        .ok_or(ProjectError::NotFound)?;
    if_match
        .check(before.version)
        .map_err(|_| ProjectError::Changed)?;
    if before.account_id == way.to {
        return Ok(before);
    }
    if way.leaves_the_organization() {
        for direct in repo::direct(&**tx, before.id).await? {
            if direct.stays() && !way.judged.contains(&direct.row.id) {
                return Err(ProjectError::Interfered);
            }
            let holders = [
                direct.row.user_id.map(user),
                direct.row.service_account_id.map(program),
                direct.row.group_id.map(Holder::group),
            ];
            for holder in holders.into_iter().flatten() {
                tx.changed(Change::grants(holder));
            }
        }
    }
    let mut organizations = vec![way.from_organization];
    organizations.extend(way.leaves_the_organization().then_some(way.to_organization));
    for organization_id in organizations {
        let entry = audit::Entry {
            doer: permit.into(),
            action: "project.moved",
            target: audit::Target::resource(Some(organization_id), permit.resource()),
            details: json!({
                "account_id": { "from": before.account_id, "to": way.to },
                "organization_id": { "from": way.from_organization, "to": way.to_organization },
            }),
        };
        audit::record(&**tx, &*state.clock, permit.origin(), entry).await?;
    }
    tx.changed(Change::Resource(permit.resource()));
    let version = before.version + 1;
    let mut row = before.into_active_model();
    row.account_id = Set(way.to);
    row.organization_id = Set(way.to_organization);
    row.version = Set(version);
    row.updated_at = Set(state.clock.now());
    repo::save(&**tx, row).await
}

fn user(id: Uuid) -> Holder {
    crate::access::actor::Principal::user(id).into()
}

fn program(id: Uuid) -> Holder {
    crate::access::actor::Principal::service_account(id).into()
}
