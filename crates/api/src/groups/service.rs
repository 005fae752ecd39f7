//! The use cases of groups. Transactions begin and end here.
//!
//! Who is in a group holds what the group holds. So to put someone into it is to give them all of
//! that, and takes the same rights; to take them out, or to delete the group, is to take it.

use entity::group;
use sea_orm::{ActiveValue::Set, DbErr, IntoActiveModel, sea_query::LockType};
use serde_json::{Map, json};
use uuid::Uuid;

use super::{
    model::{
        Create, Delete, GroupChange, GroupError, GroupMember, GroupView, NewGroup, Read, Update,
    },
    repo,
};
use crate::{
    access::{
        actor::{Holder, Principal},
        cache::Change,
        permit::{Action, Permit},
        registered::Spot,
    },
    activity, audit,
    database::tx::Tx,
    http::{
        etag::IfMatch,
        idempotency::Once,
        page::{Cut, Page},
        text::normalized,
    },
    role_assignments::{
        model::AssignmentError,
        service::{self as role_assignments, Held},
    },
    roles::revision::Revised,
    state::AppState,
};

/// The groups of an organization.
pub async fn list(
    state: &AppState,
    permit: &Permit<Read>,
    prefix: Option<&str>,
    cut: &Cut<group::Model>,
) -> Result<Page<GroupView>, GroupError> {
    let tx = Tx::begin(state, &permit.scope()).await?;
    let rows = repo::of_organization(&*tx, permit.id(), prefix, cut).await?;
    tx.commit().await?;
    Ok(cut.page(rows, |row| row.id, Into::into))
}

/// Makes a group in an organization.
pub async fn create(
    state: &AppState,
    permit: &Permit<Create>,
    new: NewGroup,
    once: &Once,
) -> Result<Revised<GroupView>, GroupError> {
    let now = state.clock.now();
    let tx = Tx::begin(state, &permit.scope()).await?;
    if let Some(answer) = once.claim(&*tx, now).await? {
        return Ok(Revised::read(&*tx, answer).await?);
    }
    let group = repo::insert(&*tx, permit.id(), new, now).await?;
    let entry = audit::Entry {
        doer: permit.into(),
        action: "group.created",
        target: target(&group),
        details: json!({ "name": group.name }),
    };
    audit::record(&*tx, &*state.clock, permit.origin(), entry).await?;
    let view = GroupView::from(group);
    once.keep(&*tx, &view, now).await?;
    let revised = Revised::read(&*tx, view).await?;
    tx.commit().await?;
    Ok(revised)
}

fn target(group: &group::Model) -> audit::Target {
    audit::Target::within(Some(group.organization_id), "group", group.id)
}

/// One group.
pub async fn read(
    state: &AppState,
    permit: &Permit<Read>,
    id: Uuid,
) -> Result<GroupView, GroupError> {
    let tx = Tx::begin(state, &permit.scope()).await?;
    let row = repo::find(&*tx, permit.id(), id).await?;
    tx.commit().await?;
    Ok(row.into())
}

/// Changes what `change` names.
pub async fn update(
    state: &AppState,
    permit: &Permit<Update>,
    id: Uuid,
    change: GroupChange,
    if_match: &IfMatch,
) -> Result<Revised<GroupView>, GroupError> {
    let tx = Tx::begin(state, &permit.scope()).await?;
    let before = repo::lock(&*tx, permit.id(), id, LockType::NoKeyUpdate).await?;
    if_match
        .check(before.version)
        .map_err(|_| GroupError::Changed)?;
    let mut details = Map::new();
    let mut row = before.clone().into_active_model();
    if let Some(name) = change.name.filter(|name| **name != *before.name) {
        details.insert(
            "name".to_owned(),
            json!({ "from": before.name, "to": name }),
        );
        row.name_normalized = Set(normalized(&name));
        row.name = Set(name.into());
    }
    if let Some(text) = change
        .description
        .filter(|text| **text != *before.description)
    {
        details.insert(
            "description".to_owned(),
            json!({ "from": before.description, "to": text }),
        );
        row.description = Set(text.into());
    }
    let after = if details.is_empty() {
        before
    } else {
        row.version = Set(before.version + 1);
        row.updated_at = Set(state.clock.now());
        let entry = audit::Entry {
            doer: permit.into(),
            action: "group.updated",
            target: target(&before),
            details: details.into(),
        };
        audit::record(&*tx, &*state.clock, permit.origin(), entry).await?;
        repo::save(&*tx, row).await?
    };
    let revised = Revised::read(&*tx, after.into()).await?;
    tx.commit().await?;
    Ok(revised)
}

/// Deletes a group, and with it what it holds.
pub async fn delete(
    state: &AppState,
    permit: &Permit<Delete>,
    id: Uuid,
    if_match: &IfMatch,
) -> Result<Revised<()>, GroupError> {
    demand_what_it_holds(state, permit, id).await?;
    let mut tx = Tx::begin(state, &permit.scope()).await?;
    let group = repo::lock(&*tx, permit.id(), id, LockType::Update).await?;
    if_match
        .check(group.version)
        .map_err(|_| GroupError::Changed)?;
    repo::delete(&*tx, id).await?;
    let entry = audit::Entry {
        doer: permit.into(),
        action: "group.deleted",
        target: target(&group),
        details: json!({ "name": group.name }),
    };
    audit::record(&*tx, &*state.clock, permit.origin(), entry).await?;
    tx.changed(Change::grants(Holder::group(id)));
    let revised = Revised::read(&*tx, ()).await?;
    tx.commit().await?;
    Ok(revised)
}

/// Who is in a group.
pub async fn list_members(
    state: &AppState,
    permit: &Permit<Read>,
    id: Uuid,
    cut: &Cut<GroupMember>,
) -> Result<Page<GroupMember>, GroupError> {
    let tx = Tx::begin(state, &permit.scope()).await?;
    let group = repo::find(&*tx, permit.id(), id).await?;
    let rows = repo::members(&*tx, group.id, cut).await?;
    tx.commit().await?;
    Ok(cut.page(rows, |member| member.user_id, |member| member))
}

/// Puts a user into a group, and so gives them what it holds. One who is in it stays.
///
/// # Errors
///
/// [`AssignmentError::Lacking`], or what the policy says, if the caller could not give all of it.
pub async fn add_member(
    state: &AppState,
    permit: &Permit<Update>,
    id: Uuid,
    user_id: Uuid,
) -> Result<Revised<()>, GroupError> {
    demand_what_it_holds(state, permit, id).await?;
    let mut tx = Tx::begin(state, &permit.scope()).await?;
    let group = repo::find(&*tx, permit.id(), id).await?;
    if !repo::can_join(&*tx, user_id).await? {
        return Err(GroupError::UnknownUser);
    }
    let by = permit.principal().id;
    if repo::add(&*tx, &group, user_id, by, state.clock.now()).await? {
        let names = ("group_joined", "group.member_added");
        note(state, &mut tx, permit, &group, user_id, names).await?;
    }
    let revised = Revised::read(&*tx, ()).await?;
    tx.commit().await?;
    Ok(revised)
}

/// Takes a user out of a group, and so takes from them what it holds.
///
/// # Errors
///
/// As [`add_member`]; [`GroupError::NotFound`] if they are not in it.
pub async fn remove_member(
    state: &AppState,
    permit: &Permit<Update>,
    id: Uuid,
    user_id: Uuid,
) -> Result<Revised<()>, GroupError> {
    demand_what_it_holds(state, permit, id).await?;
    let mut tx = Tx::begin(state, &permit.scope()).await?;
    let group = repo::find(&*tx, permit.id(), id).await?;
    if !repo::remove(&*tx, id, user_id).await? {
        return Err(GroupError::NotFound);
    }
    let names = ("group_left", "group.member_removed");
    note(state, &mut tx, permit, &group, user_id, names).await?;
    let revised = Revised::read(&*tx, ()).await?;
    tx.commit().await?;
    Ok(revised)
}

/// Nobody puts anyone into a group that holds what they could not give.
///
/// Asked before the transaction. A role that the group is given in between was given by somebody
/// who could, to whoever is in the group: as if they had been a moment later.
async fn demand_what_it_holds<A: Action>(
    state: &AppState,
    permit: &Permit<A>,
    id: Uuid,
) -> Result<(), GroupError> {
    let tx = Tx::begin(state, &permit.scope()).await?;
    repo::find(&*tx, permit.id(), id).await?;
    let rows = repo::held_by(&*tx, id).await?;
    tx.commit().await?;
    let now = state.clock.now();
    let mut held = Vec::with_capacity(rows.len());
    for (row, role) in rows {
        if row.expires_at.is_some_and(|end| end <= now) {
            continue;
        }
        let spot = Spot::stored(state, &row.resource_type, row.resource_id).await?;
        let spot = spot.ok_or(GroupError::NotFound)?;
        let role = role
            .ok_or_else(|| DbErr::RecordNotFound(format!("the role of assignment {}", row.id)))?;
        held.push(Held { spot, role });
    }
    role_assignments::demand_to_give(state, permit, &held)
        .await
        .map_err(|error| match error {
            // A project that has just gone takes what was held on it along.
            AssignmentError::NotFound => GroupError::NotFound,
            other => other.into(),
        })
}

/// Tells it to the user concerned, to the audit log and to the caches.
async fn note(
    state: &AppState,
    tx: &mut Tx<'_>,
    permit: &Permit<Update>,
    group: &group::Model,
    user_id: Uuid,
    (kind, action): (&'static str, &'static str),
) -> Result<(), DbErr> {
    let details = json!({ "group": { "id": group.id, "name": group.name } });
    activity::record_by_other(
        &**tx,
        &*state.clock,
        permit.origin(),
        user_id,
        kind,
        details,
    )
    .await?;
    let entry = audit::Entry {
        doer: permit.into(),
        action,
        target: target(group),
        details: json!({ "user_id": user_id }),
    };
    audit::record(&**tx, &*state.clock, permit.origin(), entry).await?;
    tx.changed(Change::Grants(Principal::user(user_id)));
    Ok(())
}
