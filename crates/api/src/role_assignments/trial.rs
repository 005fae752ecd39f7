//! Giving and taking a role, tried and rolled back: what it would do to who may do what.

use uuid::Uuid;

use super::{
    model::{AssignAnywhere, AssignmentError, NewAssignment, Remove},
    service::{Written, create_at, permit_to_assign, removable, withdraw},
};
use crate::{
    access::permit::Permit,
    database::tx::{Scope, Tx},
    http::etag::IfMatch,
    roles::preview::{self, AccessChange, Affected},
    state::AppState,
};

/// What [`super::service::create`] would do to accesses; nothing is changed.
///
/// # Errors
///
/// As [`super::service::create`].
pub async fn preview_create(
    state: &AppState,
    permit: &Permit<AssignAnywhere>,
    new: NewAssignment,
) -> Result<AccessChange, AssignmentError> {
    let spot = new.resource.find(state).await?;
    let place = permit_to_assign(state, permit, &spot, &new.role).await?;
    let now = state.clock.now();
    // What people hold above the resource decides what they gain.
    let mut tx = Tx::begin(state, &Scope::System).await?;
    let affected = Affected::Holder(new.principal, spot.resource());
    let preview = preview::begin(&*tx, affected, now).await?;
    create_at(state, &mut tx, &place, new).await?;
    Ok(preview.finish(&*tx, now).await?)
    // The transaction is dropped, and rolled back.
}

/// What [`super::service::delete`] would do to accesses; nothing is changed.
///
/// # Errors
///
/// As [`super::service::delete`].
pub async fn preview_delete(
    state: &AppState,
    permit: &Permit<Remove>,
    id: Uuid,
    if_match: &IfMatch,
) -> Result<AccessChange, AssignmentError> {
    let (row, role, holder) = removable(state, permit, id, if_match).await?;
    let now = state.clock.now();
    let mut tx = Tx::begin(state, &Scope::System).await?;
    let affected = Affected::Holder(holder, permit.spot().resource());
    let preview = preview::begin(&*tx, affected, now).await?;
    let written = Written {
        row: &row,
        role: &role,
        principal: holder,
        resource: (&permit.spot()).into(),
    };
    withdraw(state, &mut tx, permit.into(), permit.origin(), &written).await?;
    Ok(preview.finish(&*tx, now).await?)
}
