//! The use cases of role requests. Transactions begin and end here.

use std::sync::Arc;

use chrono::TimeDelta;
use entity::{role, role_request};
use sea_orm::DbErr;
use serde_json::json;
use uuid::Uuid;

use super::{
    model::{
        Decide, DecisionReason, NewRoleRequest, Own, RequestError, RequestFilter, RequestStatus,
        RoleRequestView,
    },
    repo::{self, Asking, Closing},
};
use crate::{
    access::{
        actor::{Principal, Subject},
        grants,
        permit::{self, Permit},
        registered::{Below, Spot},
        resource::{self, Located},
    },
    activity, audit,
    database::tx::{Scope, Tx},
    http::{
        idempotency::Once,
        page::{Cut, Page},
    },
    mail::{self, Message},
    problem::Code,
    role_assignments::{
        model::{Assign, AssignmentError, ResourceName},
        service::{self as role_assignments, Giving},
    },
    roles::{reach::Reach, revision::Revised},
    state::AppState,
};

/// The caller's requests, and those that they might decide.
pub async fn list(
    state: &AppState,
    permit: &Permit<Own>,
    filter: &RequestFilter,
    cut: &Cut<RoleRequestView>,
) -> Result<Page<RoleRequestView>, RequestError> {
    let now = state.clock.now();
    let reach = Reach::of(&permit.actor().subject.grants, "role:assign", now);
    // The own ones may be about tenants that the caller has left; the query says what is theirs.
    let tx = Tx::begin(state, &Scope::System).await?;
    let rows = repo::visible(&*tx, permit.id(), &reach, filter, now, cut).await?;
    tx.commit().await?;
    let views = rows
        .into_iter()
        .map(|(row, role, thing)| {
            let role =
                role.ok_or_else(|| DbErr::RecordNotFound("the role of a request".to_owned()))?;
            let name = ResourceName::stored(&row.resource_type, row.resource_id, thing.as_ref())?;
            RoleRequestView::of(row, &role, name, now)
        })
        .collect::<Result<Vec<_>, DbErr>>()?;
    Ok(cut.page(views, |view| view.id, |view| view))
}

/// Asks for a role for a while.
///
/// # Errors
///
/// [`RequestError::NotFound`] unless the caller holds some role on the resource or above it.
pub async fn create(
    state: &AppState,
    permit: &Permit<Own>,
    new: NewRoleRequest,
    once: &Once,
) -> Result<RoleRequestView, RequestError> {
    let spot = new.resource.find(state).await.map_err(absent)?;
    let place = standing(state, &spot)
        .await?
        .filter(|place| is_member(state, &permit.actor().subject, place, &spot))
        .ok_or(RequestError::NotFound)?;
    let now = state.clock.now();
    let tx = Tx::begin(state, &place.scope()).await?;
    if let Some(answer) = once.claim(&*tx, now).await? {
        return Ok(answer);
    }
    let organization = place.organization_id();
    let role = role_assignments::assignable(&*tx, &new.role, &spot, organization).await?;
    let asking = Asking {
        user_id: permit.id(),
        role: &role,
        resource: spot.resource(),
        organization_id: organization,
    };
    let row = repo::insert(&*tx, &asking, new, now).await?;
    let name = ResourceName::from(&spot);
    let details = json!({
        "role": role.key, "role_id": role.id, "resource": name,
        "duration_seconds": row.duration_seconds, "reason": row.reason,
    });
    let kind = "role_requested";
    let told = json!({ "role": role.key, "resource": name });
    activity::record(
        &*tx,
        &*state.clock,
        permit.origin(),
        permit.id(),
        permit.actor().session_id(),
        kind,
        told,
    )
    .await?;
    note(state, &tx, permit, &row, ("role_request.created", details)).await?;
    let view = RoleRequestView::of(row, &role, name, now)?;
    once.keep(&*tx, &view, now).await?;
    tx.commit().await?;
    Ok(view)
}

/// Whether someone holds some role on a resource or on what is above it, and so may know of it.
fn is_member(state: &AppState, subject: &Subject, place: &Located, spot: &Spot) -> bool {
    let now = state.clock.now();
    let nothing = Below::default();
    let below = match spot {
        Spot::Ours(_) => &nothing,
        Spot::Registered(known) => &known.below,
    };
    subject.status == "active"
        && subject
            .grants
            .iter()
            .any(|grant| grant.is_in_force(now) && grant.counts_on(place, below))
}

/// What of ours a request is about, or what that stands below.
async fn standing(state: &AppState, spot: &Spot) -> Result<Option<Arc<Located>>, DbErr> {
    match spot {
        Spot::Ours(resource) => resource::locate(state, *resource).await,
        Spot::Registered(known) => Ok(Some(Arc::clone(&known.base))),
    }
}

/// What is not registered looks as what others have.
fn absent(error: AssignmentError) -> RequestError {
    match error {
        AssignmentError::NotFound => RequestError::NotFound,
        other => other.into(),
    }
}

async fn spot_of(state: &AppState, row: &role_request::Model) -> Result<Spot, RequestError> {
    let spot = Spot::stored(state, &row.resource_type, row.resource_id).await?;
    spot.ok_or(RequestError::NotFound)
}

async fn find(
    state: &AppState,
    id: Uuid,
) -> Result<(role_request::Model, role::Model), RequestError> {
    let tx = Tx::begin(state, &Scope::System).await?;
    let found = repo::find(&*tx, id).await?;
    tx.commit().await?;
    Ok(found)
}

/// One request, if it is the caller's or one that they might decide.
pub async fn read(
    state: &AppState,
    permit: &Permit<Own>,
    id: Uuid,
) -> Result<RoleRequestView, RequestError> {
    let (row, role) = find(state, id).await?;
    let spot = spot_of(state, &row).await?;
    if row.user_id != permit.id() {
        permit::narrow_to::<Assign, _>(state, permit, &spot)
            .await
            .map_err(|problem| match problem.code() {
                Code::Forbidden | Code::NotFound => RequestError::NotFound,
                _ => AssignmentError::Refused(problem).into(),
            })?;
    }
    let now = state.clock.now();
    Ok(RoleRequestView::of(row, &role, (&spot).into(), now)?)
}

/// Takes the own request back.
///
/// # Errors
///
/// [`RequestError::Closed`] if somebody has decided, or nobody did in time.
pub async fn withdraw(
    state: &AppState,
    permit: &Permit<Own>,
    id: Uuid,
) -> Result<(), RequestError> {
    let tx = Tx::begin(state, &Scope::System).await?;
    let (row, _) = repo::find(&*tx, id).await?;
    if row.user_id != permit.id() {
        return Err(RequestError::NotFound);
    }
    let closing = Closing {
        status: RequestStatus::Withdrawn,
        by: permit.id(),
        reason: None,
    };
    let closed = repo::close(&*tx, id, closing, state.clock.now()).await?;
    let row = closed.ok_or(RequestError::Closed)?;
    note(
        state,
        &tx,
        permit,
        &row,
        ("role_request.withdrawn", json!({})),
    )
    .await?;
    tx.commit().await?;
    Ok(())
}

/// A request of somebody else, if the caller may decide it.
async fn decidable(
    state: &AppState,
    permit: &Permit<Decide>,
    id: Uuid,
) -> Result<(role_request::Model, role::Model, Permit<Assign>), RequestError> {
    let (row, role) = find(state, id).await?;
    let spot = spot_of(state, &row).await?;
    let place = role_assignments::permit_to_assign(state, permit, &spot, &role.key).await?;
    if permit.principal() == Principal::user(row.user_id) {
        return Err(RequestError::OwnRequest);
    }
    Ok((row, role, place))
}

/// Gives the role that was asked for. It ends by itself.
///
/// # Errors
///
/// [`RequestError::OwnRequest`] to who asked, [`AssignmentError::Lacking`] to who could not give
/// it, [`RequestError::NoMember`] if who asked has left meanwhile.
pub async fn approve(
    state: &AppState,
    permit: &Permit<Decide>,
    id: Uuid,
    decision: DecisionReason,
) -> Result<Revised<RoleRequestView>, RequestError> {
    let (row, _, place) = decidable(state, permit, id).await?;
    let asking = grants::subject(state, Principal::user(row.user_id)).await?;
    let spot = place.spot();
    if !asking.is_some_and(|subject| is_member(state, &subject, place.located(), &spot)) {
        return Err(RequestError::NoMember);
    }
    let now = state.clock.now();
    let mut tx = Tx::begin(state, &place.scope()).await?;
    let closing = Closing {
        status: RequestStatus::Approved,
        by: permit.principal().id,
        reason: decision.reason.map(Into::into),
    };
    let row = repo::close(&*tx, id, closing, now)
        .await?
        .ok_or(RequestError::Closed)?;
    // As it is now: it may carry more than when it was asked for.
    let (row, role) = (row, repo::find(&*tx, id).await?.1);
    role_assignments::demand_all_of(&place, &role, now)?;
    if !role
        .assignable_at
        .iter()
        .any(|at| at == spot.resource().kind.as_str())
    {
        return Err(AssignmentError::NotAssignable.into());
    }
    let giving = Giving {
        principal: Principal::user(row.user_id).into(),
        role: &role,
        spot,
        organization_id: row.organization_id,
        granted_by: Some(permit.principal().id),
        reason: Some(row.reason.clone()),
        expires_at: Some(now + TimeDelta::seconds(i64::from(row.duration_seconds))),
    };
    let given =
        role_assignments::give(state, &mut tx, permit.into(), permit.origin(), giving).await?;
    let row = repo::fulfil(&*tx, row, given.id).await?;
    let details =
        json!({ "role": role.key, "user_id": row.user_id, "role_assignment_id": given.id });
    note(state, &tx, permit, &row, ("role_request.approved", details)).await?;
    let name = ResourceName::from(&place.spot());
    tell(state, &tx, permit, &row, (&role, &name)).await?;
    let view = RoleRequestView::of(row, &role, name, now)?;
    let revised = Revised::read(&*tx, view).await?;
    tx.commit().await?;
    state.mail.wake();
    Ok(revised)
}

/// Refuses the role that was asked for.
///
/// # Errors
///
/// [`RequestError::OwnRequest`] to who asked: they withdraw it.
pub async fn refuse(
    state: &AppState,
    permit: &Permit<Decide>,
    id: Uuid,
    decision: DecisionReason,
) -> Result<RoleRequestView, RequestError> {
    let (_, role, place) = decidable(state, permit, id).await?;
    let now = state.clock.now();
    let tx = Tx::begin(state, &place.scope()).await?;
    let closing = Closing {
        status: RequestStatus::Refused,
        by: permit.principal().id,
        reason: decision.reason.map(Into::into),
    };
    let row = repo::close(&*tx, id, closing, now)
        .await?
        .ok_or(RequestError::Closed)?;
    let details =
        json!({ "role": role.key, "user_id": row.user_id, "reason": row.decision_reason });
    note(state, &tx, permit, &row, ("role_request.refused", details)).await?;
    let name = ResourceName::from(&place.spot());
    tell(state, &tx, permit, &row, (&role, &name)).await?;
    tx.commit().await?;
    state.mail.wake();
    Ok(RoleRequestView::of(row, &role, name, now)?)
}

/// Tells who asked what was decided: in their activity, and by mail.
async fn tell(
    state: &AppState,
    tx: &Tx<'_>,
    permit: &Permit<Decide>,
    row: &role_request::Model,
    (role, resource): (&role::Model, &ResourceName),
) -> Result<(), RequestError> {
    let approved = row.state == RequestStatus::Approved.as_str();
    let kind = if approved {
        "role_request_approved"
    } else {
        "role_request_refused"
    };
    let details = json!({ "role": role.key, "resource": resource });
    activity::record_by_other(
        &**tx,
        &*state.clock,
        permit.origin(),
        row.user_id,
        kind,
        details,
    )
    .await?;
    let Some(user) = repo::user(&**tx, row.user_id).await? else {
        return Ok(());
    };
    let name = repo::name(&**tx, row).await?;
    let place = name.unwrap_or_else(|| state.public_url.to_string());
    let role = role.name.clone();
    let message = if approved {
        let held_for = TimeDelta::seconds(i64::from(row.duration_seconds));
        Message::RoleRequestApproved {
            role,
            place,
            expires_at: state.clock.now() + held_for,
        }
    } else {
        let reason = row.decision_reason.clone().unwrap_or_default();
        Message::RoleRequestRefused {
            role,
            place,
            reason,
        }
    };
    mail::notify(tx, state, &user.email, user.locale.as_deref(), message).await?;
    Ok(())
}

async fn note<A>(
    state: &AppState,
    tx: &Tx<'_>,
    permit: &Permit<A>,
    row: &role_request::Model,
    (action, details): (&'static str, serde_json::Value),
) -> Result<(), DbErr> {
    let entry = audit::Entry {
        doer: permit.into(),
        action,
        target: audit::Target::within(row.organization_id, "role_request", row.id),
        details,
    };
    audit::record(&**tx, &*state.clock, permit.origin(), entry).await
}
