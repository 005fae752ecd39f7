//! Roles that an organization makes for itself. Transactions begin and end here.
//!
//! Who changes what a role carries gives to and takes from all who hold it, so they must hold on the
//! organization all that it carried before and carries afterwards.

use entity::role;
use sea_orm::{ActiveValue::Set, IntoActiveModel};
use serde_json::{Map, json};
use uuid::Uuid;

use super::{
    model::{Create, Delete, NewRole, Read, RoleChange, RoleError, RoleView, Update},
    preview::{self, AccessChange},
    reach::{held, lacking},
    repo,
    revision::Revised,
};
use crate::{
    access::{cache::Change, permit::Permit},
    audit,
    database::tx::{Scope, Tx},
    http::{
        etag::IfMatch,
        idempotency::Once,
        page::{Cut, Page},
    },
    state::AppState,
};

/// The roles that can be given in an organization.
pub async fn list(
    state: &AppState,
    permit: &Permit<Read>,
    cut: &Cut<role::Model>,
) -> Result<Page<RoleView>, RoleError> {
    let tx = Tx::begin(state, &permit.scope()).await?;
    let rows = repo::of_organization(&*tx, permit.id(), cut).await?;
    tx.commit().await?;
    Ok(cut.page(rows, |row| row.id, Into::into))
}

/// One of them.
pub async fn read(
    state: &AppState,
    permit: &Permit<Read>,
    id: Uuid,
) -> Result<RoleView, RoleError> {
    let tx = Tx::begin(state, &permit.scope()).await?;
    let row = repo::one_of(&*tx, permit.id(), id).await?;
    tx.commit().await?;
    row.map(Into::into).ok_or(RoleError::NotFound)
}

/// Makes a role of an organization.
///
/// # Errors
///
/// [`RoleError::Lacking`] with what the caller does not hold there.
pub async fn create(
    state: &AppState,
    permit: &Permit<Create>,
    new: NewRole,
    once: &Once,
) -> Result<Revised<RoleView>, RoleError> {
    demand_known(state, &new.permissions.0)?;
    demand_held(state, permit, &new.permissions.0)?;
    let now = state.clock.now();
    let mut tx = Tx::begin(state, &permit.scope()).await?;
    if let Some(answer) = once.claim(&*tx, now).await? {
        return Ok(Revised::read(&*tx, answer).await?);
    }
    if !repo::called(&*tx, &new.key, None).await?.is_empty() {
        return Err(RoleError::KeyTaken);
    }
    let role = repo::insert(&*tx, permit.id(), new, now).await?;
    let details = json!({
        "key": role.key, "permissions": role.permissions, "assignable_at": role.assignable_at,
    });
    note(state, &tx, permit, &role, ("role.created", details)).await?;
    tx.changed(Change::Role);
    let view = RoleView::from(role);
    once.keep(&*tx, &view, now).await?;
    let revised = Revised::read(&*tx, view).await?;
    tx.commit().await?;
    Ok(revised)
}

fn demand_known(state: &AppState, permissions: &[String]) -> Result<(), RoleError> {
    match permissions.iter().find(|text| !state.catalog.knows(text)) {
        Some(unknown) => Err(RoleError::UnknownPermission(unknown.clone())),
        None => Ok(()),
    }
}

fn demand_held<A>(
    state: &AppState,
    permit: &Permit<A>,
    permissions: &[String],
) -> Result<(), RoleError> {
    let grants = &permit.actor().subject.grants;
    let own = held(grants, permit.located(), state.clock.now());
    let lacking = lacking(&own, permissions);
    if lacking.is_empty() {
        Ok(())
    } else {
        Err(RoleError::Lacking(lacking))
    }
}

/// A role of the organization itself, locked: built-in ones are not changed here.
async fn own<A>(
    tx: &Tx<'_>,
    permit: &Permit<A>,
    id: Uuid,
    if_match: &IfMatch,
) -> Result<role::Model, RoleError> {
    let role = match repo::lock(&**tx, permit.id(), id).await? {
        Some(role) => role,
        None if repo::one_of(&**tx, permit.id(), id).await?.is_some() => {
            return Err(RoleError::BuiltIn);
        }
        None => return Err(RoleError::NotFound),
    };
    if_match
        .check(role.version)
        .map_err(|_| RoleError::Changed)?;
    Ok(role)
}

/// Changes what `change` names, for all who hold the role.
///
/// # Errors
///
/// [`RoleError::Lacking`] with what the caller does not hold there of what the role carries, or
/// would.
pub async fn update(
    state: &AppState,
    permit: &Permit<Update>,
    id: Uuid,
    change: RoleChange,
    if_match: &IfMatch,
) -> Result<Revised<RoleView>, RoleError> {
    let mut tx = Tx::begin(state, &permit.scope()).await?;
    let before = own(&tx, permit, id, if_match).await?;
    let after = change_to(state, &mut tx, permit, before, change).await?;
    let revised = Revised::read(&*tx, after.into()).await?;
    tx.commit().await?;
    Ok(revised)
}

/// What [`update`] would do to accesses; nothing is changed.
///
/// # Errors
///
/// As [`update`].
pub async fn preview_update(
    state: &AppState,
    permit: &Permit<Update>,
    id: Uuid,
    change: RoleChange,
    if_match: &IfMatch,
) -> Result<AccessChange, RoleError> {
    // What people hold above the organization decides what they gain.
    let mut tx = Tx::begin(state, &Scope::System).await?;
    let before = own(&tx, permit, id, if_match).await?;
    let now = state.clock.now();
    let preview = preview::begin(&*tx, preview::Affected::Role(id), now).await?;
    change_to(state, &mut tx, permit, before, change).await?;
    Ok(preview.finish(&*tx, now).await?)
    // The transaction is dropped, and rolled back.
}

async fn change_to(
    state: &AppState,
    tx: &mut Tx<'_>,
    permit: &Permit<Update>,
    before: role::Model,
    change: RoleChange,
) -> Result<role::Model, RoleError> {
    let mut details = Map::new();
    let mut row = before.clone().into_active_model();
    if let Some(name) = change.name.filter(|name| **name != *before.name) {
        details.insert("name".into(), json!({ "from": before.name, "to": name }));
        row.name = Set(name.into());
    }
    if let Some(text) = change
        .description
        .filter(|text| **text != *before.description)
    {
        let entry = json!({ "from": before.description, "to": text });
        details.insert("description".into(), entry);
        row.description = Set(text.into());
    }
    let levels = change.assignable_at.map(|levels| levels.names());
    let levels = levels.filter(|levels| *levels != before.assignable_at);
    let permissions = change.permissions.map(|permissions| permissions.0);
    let permissions = permissions.filter(|permissions| *permissions != before.permissions);
    if permissions.is_some() || levels.is_some() {
        demand_held(state, permit, &before.permissions)?;
        tx.changed(Change::Role);
    }
    if let Some(levels) = levels {
        let entry = json!({ "from": before.assignable_at, "to": levels });
        details.insert("assignable_at".into(), entry);
        row.assignable_at = Set(levels);
    }
    if let Some(permissions) = permissions {
        demand_known(state, &permissions)?;
        demand_held(state, permit, &permissions)?;
        let entry = json!({ "from": before.permissions, "to": permissions });
        details.insert("permissions".into(), entry);
        row.permissions = Set(permissions);
    }
    if details.is_empty() {
        return Ok(before);
    }
    row.version = Set(before.version + 1);
    row.updated_at = Set(state.clock.now());
    let what = ("role.updated", details.into());
    note(state, tx, permit, &before, what).await?;
    Ok(repo::save(&**tx, row).await?)
}

/// Deletes a role that nobody holds.
///
/// # Errors
///
/// [`RoleError::InUse`] if somebody does, [`RoleError::Lacking`] as [`update`].
pub async fn delete(
    state: &AppState,
    permit: &Permit<Delete>,
    id: Uuid,
    if_match: &IfMatch,
) -> Result<Revised<()>, RoleError> {
    let mut tx = Tx::begin(state, &permit.scope()).await?;
    let role = own(&tx, permit, id, if_match).await?;
    demand_held(state, permit, &role.permissions)?;
    repo::delete(&*tx, id, state.clock.now()).await?;
    let details = json!({ "key": role.key, "permissions": role.permissions });
    note(state, &tx, permit, &role, ("role.deleted", details)).await?;
    tx.changed(Change::Role);
    let revised = Revised::read(&*tx, ()).await?;
    tx.commit().await?;
    Ok(revised)
}

async fn note<A>(
    state: &AppState,
    tx: &Tx<'_>,
    permit: &Permit<A>,
    role: &role::Model,
    (action, details): (&'static str, serde_json::Value),
) -> Result<(), RoleError> {
    let entry = audit::Entry {
        doer: permit.into(),
        action,
        target: audit::Target::within(role.organization_id, "role", role.id),
        details,
    };
    Ok(audit::record(&**tx, &*state.clock, permit.origin(), entry).await?)
}
