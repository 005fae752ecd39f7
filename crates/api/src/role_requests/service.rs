//! The use cases of role requests. Transactions begin and end here.

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
    repo::{self, Closing},
};
use crate::{
    access::{
        actor::{Principal, Subject},
        grants,
        permit::{self, Permit},
        resource::{self, Located, ResourceRef},
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
        model::{Assign, AssignmentError},
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
        .map(|(row, role)| {
            let role =
                role.ok_or_else(|| DbErr::RecordNotFound("the role of a request".to_owned()))?;
            RoleRequestView::of(row, &role, now)
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
    let target = new.resource.resource()?;
    let place = resource::locate(state, target)
        .await?
        .filter(|place| is_member(state, &permit.actor().subject, place))
        .ok_or(RequestError::NotFound)?;
    let now = state.clock.now();
    let tx = Tx::begin(state, &place.scope()).await?;
    if let Some(answer) = once.claim(&*tx, now).await? {
        return Ok(answer);
    }
    let role = role_assignments::assignable(&*tx, &new.role, &place).await?;
    let row = repo::insert(&*tx, permit.id(), &role, &place, new, now).await?;
    let details = json!({
        "role": role.key, "role_id": role.id, "resource": named(target),
        "duration_seconds": row.duration_seconds, "reason": row.reason,
    });
    let kind = "role_requested";
    let told = json!({ "role": role.key, "resource": named(target) });
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
    let view = RoleRequestView::of(row, &role, now)?;
    once.keep(&*tx, &view, now).await?;
    tx.commit().await?;
    Ok(view)
}

/// Whether someone holds some role on a resource or on what is above it, and so may know of it.
fn is_member(state: &AppState, subject: &Subject, place: &Located) -> bool {
    let now = state.clock.now();
    subject.status == "active"
        && subject
            .grants
            .iter()
            .filter(|grant| grant.expires_at.is_none_or(|end| end > now))
            .any(|grant| place.path.contains(&grant.resource))
}

fn named(resource: ResourceRef) -> serde_json::Value {
    json!({ "type": resource.kind.as_str(), "id": resource.id })
}

fn resource_of(row: &role_request::Model) -> Result<ResourceRef, DbErr> {
    let unknown = |()| DbErr::Type(format!("role request {} names an unknown type", row.id));
    Ok(ResourceRef {
        kind: row.resource_type.parse().map_err(unknown)?,
        id: row.resource_id,
    })
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
    if row.user_id != permit.id() {
        permit::narrow::<Assign, _>(state, permit, resource_of(&row)?)
            .await
            .map_err(|problem| match problem.code() {
                Code::Forbidden | Code::NotFound => RequestError::NotFound,
                _ => AssignmentError::Refused(problem).into(),
            })?;
    }
    Ok(RoleRequestView::of(row, &role, state.clock.now())?)
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
    let target = resource_of(&row)?;
    let place = role_assignments::permit_to_assign(state, permit, target, &role.key).await?;
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
    if !asking.is_some_and(|subject| is_member(state, &subject, place.located())) {
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
        .any(|at| at == place.resource().kind.as_str())
    {
        return Err(AssignmentError::NotAssignable.into());
    }
    let giving = Giving {
        principal: Principal::user(row.user_id).into(),
        role: &role,
        resource: place.resource(),
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
    tell(state, &tx, permit, &row, &role).await?;
    let view = RoleRequestView::of(row, &role, now)?;
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
    tell(state, &tx, permit, &row, &role).await?;
    tx.commit().await?;
    state.mail.wake();
    Ok(RoleRequestView::of(row, &role, now)?)
}

/// Tells who asked what was decided: in their activity, and by mail.
async fn tell(
    state: &AppState,
    tx: &Tx<'_>,
    permit: &Permit<Decide>,
    row: &role_request::Model,
    role: &role::Model,
) -> Result<(), RequestError> {
    let target = resource_of(row)?;
    let approved = row.state == RequestStatus::Approved.as_str();
    let kind = if approved {
        "role_request_approved"
    } else {
        "role_request_refused"
    };
    let details = json!({ "role": role.key, "resource": named(target) });
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
    let name = repo::name(&**tx, target).await?;
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
