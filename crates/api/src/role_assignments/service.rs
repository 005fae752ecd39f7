//! The use cases of role assignments. Transactions begin and end here.

use chrono::{DateTime, TimeDelta, Utc};
use entity::{role, user_role_assignment};
use sea_orm::{ConnectionTrait, DbErr};
use serde_json::json;
use uuid::Uuid;

use super::{
    model::{
        Assign, AssignAnywhere, AssignOwner, AssignmentError, AssignmentFilter, AssignmentView,
        EffectiveRole, GroupName, List, NewAssignment, PathPart, ReadOwn, Remove, ResourceName,
    },
    repo,
};
use crate::{
    access::{
        actor::Holder,
        cache::Change,
        permit::{self, Action, Permit},
        registered::Spot,
        resource::{ResourceRef, ResourceType},
    },
    activity,
    audit::{self, Doer},
    database::tx::{Scope, Tx},
    http::{
        etag::IfMatch,
        idempotency::Once,
        origin::Origin,
        page::{Cut, Page},
    },
    problem::sqlstate,
    roles::{
        self,
        reach::{Reach, held_below, lacking},
        revision::Revised,
        service::{Found, OWNER},
    },
    state::AppState,
};

/// An assignment and its role.
pub(super) type Assigned = (user_role_assignment::Model, role::Model);

/// What PostgreSQL says when an organization would lose its last owner.
const LAST_OWNER: &str = "GP001";
/// The longest time that a role can be given for.
const LONGEST: TimeDelta = TimeDelta::days(36_525);

/// A role about to be given. Whoever makes one has checked that it may be.
pub(crate) struct Giving<'a> {
    /// Who gets it.
    pub(crate) principal: Holder,
    /// The role.
    pub(crate) role: &'a role::Model,
    /// Where.
    pub(crate) spot: Spot,
    /// The tenant of the resource.
    pub(crate) organization_id: Option<Uuid>,
    /// Who gives it; none: nobody does.
    pub(crate) granted_by: Option<Uuid>,
    /// Why.
    pub(crate) reason: Option<String>,
    /// Until when.
    pub(crate) expires_at: Option<DateTime<Utc>>,
}

/// The assignments that the caller's roles let them read.
pub async fn list(
    state: &AppState,
    permit: &Permit<List>,
    filter: &AssignmentFilter,
    cut: &Cut<AssignmentView>,
) -> Result<Page<AssignmentView>, AssignmentError> {
    let grants = &permit.actor().subject.grants;
    let reach = Reach::of(grants, List::NAME, state.clock.now());
    let tx = Tx::begin(state, &reach.scope()).await?;
    let rows = repo::within(&*tx, &reach, filter, cut).await?;
    tx.commit().await?;
    let views = rows
        .into_iter()
        .map(|(row, role, thing)| {
            let name = ResourceName::stored(&row.resource_type, row.resource_id, thing.as_ref())?;
            AssignmentView::of(row, &seen(role)?, name)
        })
        .collect::<Result<Vec<_>, DbErr>>()?;
    Ok(cut.page(views, |view| view.id, |view| view))
}

/// Every assignment has a role, and who sees the one sees the other.
fn seen(role: Option<role::Model>) -> Result<role::Model, DbErr> {
    role.ok_or_else(|| DbErr::RecordNotFound("the role of an assignment".to_owned()))
}

/// The roles that the caller holds now.
pub async fn list_own(
    state: &AppState,
    permit: &Permit<ReadOwn>,
    cut: &Cut<EffectiveRole>,
) -> Result<Page<EffectiveRole>, AssignmentError> {
    held_by(state, permit.id(), cut).await
}

/// The roles that a user holds now. Whether that may be told is the caller's to know.
pub(crate) async fn held_by(
    state: &AppState,
    user_id: Uuid,
    cut: &Cut<EffectiveRole>,
) -> Result<Page<EffectiveRole>, AssignmentError> {
    // What one holds tells the names of what is above it, whatever one may read there.
    let tx = Tx::begin(state, &Scope::System).await?;
    let rows = repo::held_by(&*tx, user_id, state.clock.now(), cut).await?;
    tx.commit().await?;
    let roles = rows
        .into_iter()
        .map(effective)
        .collect::<Result<Vec<_>, DbErr>>()?;
    Ok(cut.page(roles, |role| role.role_assignment_id, |role| role))
}

fn effective(row: repo::Held) -> Result<EffectiveRole, DbErr> {
    let step = |kind: ResourceType, id: Uuid, name| PathPart {
        r#type: kind.as_str().to_owned(),
        id: Some(id.to_string()),
        name,
    };
    let ours = [
        (
            ResourceType::Organization,
            row.organization_id,
            row.organization_name,
        ),
        (ResourceType::Account, row.account_id, row.account_name),
        (ResourceType::Project, row.project_id, row.project_name),
    ];
    let mut path = vec![PathPart {
        r#type: ResourceType::System.as_str().to_owned(),
        id: None,
        name: None,
    }];
    path.extend(
        ours.into_iter()
            .filter_map(|(kind, id, name)| Some(step(kind, id?, name))),
    );
    path.extend(
        row.types
            .into_iter()
            .zip(row.ids)
            .map(|(r#type, id)| PathPart {
                r#type,
                id: Some(id),
                name: None,
            }),
    );
    // The way ends at the resource itself.
    let unknown = || DbErr::Type(format!("role assignment {} names an unknown type", row.id));
    let resource = path.last().map(|last| ResourceName {
        r#type: last.r#type.clone(),
        id: last.id.clone(),
    });
    Ok(EffectiveRole {
        role_assignment_id: row.id,
        role: row.role,
        resource: resource.ok_or_else(unknown)?,
        path,
        permissions: row.permissions,
        group: row
            .group_id
            .zip(row.group_name)
            .map(|(id, name)| GroupName { id, name }),
        expires_at: row.expires_at,
    })
}

/// Gives someone a role on a resource.
pub async fn create(
    state: &AppState,
    permit: &Permit<AssignAnywhere>,
    new: NewAssignment,
    once: &Once,
) -> Result<Revised<AssignmentView>, AssignmentError> {
    let spot = new.resource.find(state).await?;
    let place = permit_to_assign(state, permit, &spot, &new.role).await?;
    let now = state.clock.now();
    let mut tx = Tx::begin(state, &place.scope()).await?;
    if let Some(answer) = once.claim(&*tx, now).await? {
        return Ok(Revised::read(&*tx, answer).await?);
    }
    let (row, role) = create_at(state, &mut tx, &place, new).await?;
    let view = AssignmentView::of(row, &role, (&spot).into())?;
    once.keep(&*tx, &view, now).await?;
    let revised = Revised::read(&*tx, view).await?;
    tx.commit().await?;
    Ok(revised)
}

/// Gives the role, if `place` and what the caller holds there allow it.
pub(super) async fn create_at(
    state: &AppState,
    tx: &mut Tx<'_>,
    place: &Permit<Assign>,
    new: NewAssignment,
) -> Result<Assigned, AssignmentError> {
    let now = state.clock.now();
    let organization_id = place.located().organization_id();
    let role = assignable(&**tx, &new.role, &place.spot(), organization_id).await?;
    demand_all_of(place, &role, now)?;
    if !repo::can_hold(&**tx, new.principal, organization_id).await? {
        return Err(AssignmentError::UnknownPrincipal);
    }
    if new
        .expires_at
        .is_some_and(|end| end <= now || end > now + LONGEST)
    {
        return Err(AssignmentError::Expiry);
    }
    let giving = Giving {
        principal: new.principal,
        role: &role,
        spot: place.spot(),
        organization_id,
        granted_by: Some(place.principal().id),
        reason: new.reason.map(Into::into),
        expires_at: new.expires_at,
    };
    let row = give(state, tx, place.into(), place.origin(), giving).await?;
    Ok((row, role))
}

/// Asks the policy whether the caller may assign roles at `spot`, and owner roles if `role` is one.
///
/// To be called outside of a transaction: the answer may need a connection of its own.
pub(crate) async fn permit_to_assign<A: Action>(
    state: &AppState,
    permit: &Permit<A>,
    spot: &Spot,
    role: &str,
) -> Result<Permit<Assign>, AssignmentError> {
    let place = permit::narrow_to::<Assign, _>(state, permit, spot)
        .await
        .map_err(AssignmentError::Refused)?;
    if role == OWNER {
        permit::narrow_to::<AssignOwner, _>(state, permit, spot)
            .await
            .map_err(AssignmentError::Refused)?;
    }
    Ok(place)
}

/// The role called `key`, if it can be assigned at `spot`.
pub(crate) async fn assignable(
    txn: &impl ConnectionTrait,
    key: &str,
    spot: &Spot,
    organization_id: Option<Uuid>,
) -> Result<role::Model, AssignmentError> {
    match roles::service::find(txn, key, spot.resource().kind, organization_id).await? {
        Found::Role(role) => Ok(role),
        Found::NotAssignable => Err(AssignmentError::NotAssignable),
        Found::Nothing => Err(AssignmentError::UnknownRole),
    }
}

/// Nobody gives or takes what they lack.
///
/// # Errors
///
/// [`AssignmentError::Lacking`] with what the caller does not hold there of what `role` carries.
pub(crate) fn demand_all_of<A>(
    place: &Permit<A>,
    role: &role::Model,
    now: DateTime<Utc>,
) -> Result<(), AssignmentError> {
    let below = place.registered().map(|known| known.below.clone());
    let below = below.unwrap_or_default();
    let own = held_below(&place.actor().subject.grants, place.located(), &below, now);
    none_lacking(&own, &role.permissions)
}

/// A role on a resource, as somebody or a group holds it.
pub(crate) struct Held {
    /// Where.
    pub(crate) spot: Spot,
    /// The role.
    pub(crate) role: role::Model,
}

/// Demands that the caller could give, and take, each of `held`: the right to assign there, and all
/// that the role carries.
///
/// To be called outside of a transaction: the answers may need connections of their own.
///
/// # Errors
///
/// As giving a role has them.
pub(crate) async fn demand_to_give<A: Action>(
    state: &AppState,
    permit: &Permit<A>,
    held: &[Held],
) -> Result<(), AssignmentError> {
    let now = state.clock.now();
    for Held { spot, role } in held {
        let place = permit_to_assign(state, permit, spot, &role.key).await?;
        demand_all_of(&place, role, now)?;
    }
    Ok(())
}

/// Like [`demand_all_of`], for a user who is not the caller, and for the right to assign as well.
///
/// The transaction has to see the assignments of the whole system.
pub(crate) async fn demand_all_of_user(
    txn: &impl ConnectionTrait,
    user_id: Uuid,
    role: &role::Model,
    resource: ResourceRef,
    organization_id: Uuid,
    now: DateTime<Utc>,
) -> Result<(), AssignmentError> {
    let own = repo::permissions_of(txn, user_id, resource, organization_id, now).await?;
    let mut wanted = role.permissions.clone();
    wanted.push(Assign::NAME.to_owned());
    if roles::service::is_owner(role) {
        wanted.push(AssignOwner::NAME.to_owned());
    }
    none_lacking(&own, &wanted)
}

fn none_lacking(held: &[String], wanted: &[String]) -> Result<(), AssignmentError> {
    let lacking = lacking(held, wanted);
    if lacking.is_empty() {
        Ok(())
    } else {
        Err(AssignmentError::Lacking(lacking))
    }
}

/// Writes an assignment and what goes with it. Whether it may be made is the caller's to know.
///
/// # Errors
///
/// [`AssignmentError::AlreadyAssigned`] if the role is held there, and has not expired.
pub(crate) async fn give(
    state: &AppState,
    tx: &mut Tx<'_>,
    doer: Doer,
    origin: &Origin,
    giving: Giving<'_>,
) -> Result<user_role_assignment::Model, AssignmentError> {
    let now = state.clock.now();
    repo::remove_expired(&**tx, &giving, now).await?;
    let row = repo::insert(&**tx, &giving, now).await?;
    let written = Written {
        row: &row,
        role: giving.role,
        principal: giving.principal,
        resource: (&giving.spot).into(),
    };
    note(
        state,
        tx,
        doer,
        origin,
        ("role_assigned", "role.assigned"),
        &written,
    )
    .await?;
    tx.changed(Change::grants(giving.principal));
    Ok(row)
}

/// An assignment that was made, or is removed.
pub(crate) struct Written<'a> {
    /// What is written.
    pub(crate) row: &'a user_role_assignment::Model,
    /// Its role.
    pub(crate) role: &'a role::Model,
    /// Who holds it.
    pub(crate) principal: Holder,
    /// Where.
    pub(crate) resource: ResourceName,
}

/// Tells it to the user concerned and to the audit log.
async fn note(
    state: &AppState,
    tx: &Tx<'_>,
    doer: Doer,
    origin: &Origin,
    (kind, action): (&'static str, &'static str),
    written: &Written<'_>,
) -> Result<(), DbErr> {
    let Written { row, role, .. } = written;
    let resource = json!(written.resource);
    if let Some(id) = written.principal.user_id() {
        let details =
            json!({ "role": role.key, "resource": resource, "expires_at": row.expires_at });
        activity::record(&**tx, &*state.clock, origin, id, None, kind, details).await?;
    }
    let entry = audit::Entry {
        doer,
        action,
        target: audit::Target::within(row.organization_id, "role_assignment", row.id),
        details: json!({
            "principal": written.principal,
            "role": role.key,
            "role_id": role.id,
            "resource": resource,
            "granted_by": row.granted_by,
            "reason": row.reason,
            "expires_at": row.expires_at,
        }),
    };
    audit::record(&**tx, &*state.clock, origin, entry).await
}

/// Takes a role away.
///
/// # Errors
///
/// [`AssignmentError::LastOwner`] if an organization would be left without one.
pub async fn delete(
    state: &AppState,
    permit: &Permit<Remove>,
    id: Uuid,
    if_match: &IfMatch,
) -> Result<Revised<()>, AssignmentError> {
    let (row, role, holder) = removable(state, permit, id, if_match).await?;
    let mut tx = Tx::begin(state, &permit.scope()).await?;
    let written = Written {
        row: &row,
        role: &role,
        principal: holder,
        resource: (&permit.spot()).into(),
    };
    withdraw(state, &mut tx, permit.into(), permit.origin(), &written).await?;
    let revised = Revised::read(&*tx, ()).await?;
    tx.commit().await?;
    Ok(revised)
}

/// The assignment with this id, if the caller may take it away.
pub(super) async fn removable(
    state: &AppState,
    permit: &Permit<Remove>,
    id: Uuid,
    if_match: &IfMatch,
) -> Result<(user_role_assignment::Model, role::Model, Holder), AssignmentError> {
    let before = Tx::begin(state, &permit.scope()).await?;
    let spot = permit.spot();
    let found = repo::on(&*before, id, spot.resource()).await?;
    before.commit().await?;
    let (row, role, _) = found.ok_or(AssignmentError::NotFound)?;
    let role = seen(role)?;
    let place = permit_to_assign(state, permit, &spot, &role.key).await?;
    demand_all_of(&place, &role, state.clock.now())?;
    let view = AssignmentView::of(row.clone(), &role, (&spot).into())?;
    if_match
        .check(crate::http::answer::Versioned::version(&view))
        .map_err(|_| AssignmentError::Changed)?;
    Ok((row, role, view.principal))
}

/// Removes an assignment and writes what goes with it. Whether it may be removed is the caller's
/// to know.
///
/// # Errors
///
/// [`AssignmentError::LastOwner`] and [`AssignmentError::LastAdministrator`] if somebody has to
/// stay, [`AssignmentError::NotFound`] if it is gone.
pub(crate) async fn withdraw(
    state: &AppState,
    tx: &mut Tx<'_>,
    doer: Doer,
    origin: &Origin,
    written: &Written<'_>,
) -> Result<(), AssignmentError> {
    if !repo::delete(&**tx, written.row.id).await? {
        return Err(AssignmentError::NotFound);
    }
    let names = ("role_removed", "role.removed");
    note(state, tx, doer, origin, names, written).await?;
    tx.changed(Change::grants(written.principal));
    keep_last_owner(tx).await
}

/// Lets the database judge now whether an owner is left, and not when the transaction commits.
async fn keep_last_owner(tx: &Tx<'_>) -> Result<(), AssignmentError> {
    match tx.execute_unprepared("SET CONSTRAINTS ALL IMMEDIATE").await {
        Ok(_) => Ok(()),
        Err(error) if sqlstate(&error).as_deref() == Some(LAST_OWNER) => {
            Err(AssignmentError::LastOwner)
        }
        Err(error) => Err(error.into()),
    }
}
