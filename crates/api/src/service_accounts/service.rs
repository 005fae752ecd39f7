//! The use cases of service accounts. Transactions begin and end here.

use entity::{api_key, service_account};
use sea_orm::{ActiveValue::Set, IntoActiveModel};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::{
    model::{
        Manage, ManageKeys, ManageOne, NewServiceAccount, ReadKeys, ServiceAccountChange,
        ServiceAccountError, ServiceAccountView, Status,
    },
    repo,
};
use crate::{
    access::{
        actor::Principal,
        cache::Change,
        grants,
        permit::{Action, Permit},
        resource::{self, Located},
    },
    api_keys::{
        model::{ApiKeyError, ApiKeyView, MadeKey, NewApiKey},
        service::{self as api_keys, Kept},
    },
    audit,
    database::tx::{Scope, Tx},
    http::{
        etag::IfMatch,
        idempotency::Once,
        page::{Cut, Page},
        text::normalized,
    },
    roles::reach::{held, lacking},
    state::AppState,
};

/// Service accounts whose name begins with `prefix`.
pub async fn list(
    state: &AppState,
    _: &Permit<Manage>,
    prefix: Option<&str>,
    cut: &Cut<service_account::Model>,
) -> Result<Page<ServiceAccountView>, ServiceAccountError> {
    let rows = repo::all(&state.db, prefix, cut).await?;
    Ok(cut.page(rows, |row| row.id, Into::into))
}

/// Makes a service account, which holds nothing yet.
pub async fn create(
    state: &AppState,
    permit: &Permit<Manage>,
    new: NewServiceAccount,
    once: &Once,
) -> Result<ServiceAccountView, ServiceAccountError> {
    let now = state.clock.now();
    let tx = Tx::begin(state, &Scope::None).await?;
    if let Some(answer) = once.claim(&*tx, now).await? {
        return Ok(answer);
    }
    let row = repo::insert(&*tx, new, permit.principal().id, now).await?;
    let details = json!({ "name": row.name });
    note(
        &tx,
        state,
        permit,
        "service_account.created",
        row.id,
        details,
    )
    .await?;
    let view = ServiceAccountView::from(row);
    once.keep(&*tx, &view, now).await?;
    tx.commit().await?;
    Ok(view)
}

/// One service account.
pub async fn read(
    state: &AppState,
    permit: &Permit<ManageOne>,
) -> Result<ServiceAccountView, ServiceAccountError> {
    let row = repo::find(&state.db, permit.id()).await?;
    row.map(Into::into).ok_or(ServiceAccountError::NotFound)
}

/// Changes what `change` names; with its status, whether its keys are taken.
pub async fn update(
    state: &AppState,
    permit: &Permit<ManageOne>,
    change: ServiceAccountChange,
    if_match: &IfMatch,
) -> Result<ServiceAccountView, ServiceAccountError> {
    must_not_be_above(state, permit).await?;
    let mut tx = Tx::begin(state, &Scope::None).await?;
    let before = repo::lock(&*tx, permit.id())
        .await?
        .ok_or(ServiceAccountError::NotFound)?;
    if_match
        .check(before.version)
        .map_err(|_| ServiceAccountError::Changed)?;
    let mut details = Map::new();
    let mut row = before.clone().into_active_model();
    if let Some(name) = change.name.filter(|name| **name != *before.name) {
        told(&mut details, "name", &before.name, &name);
        row.name_normalized = Set(normalized(&name));
        row.name = Set(name.into());
    }
    let description = change.description;
    if let Some(text) = description.filter(|text| **text != *before.description) {
        told(&mut details, "description", &before.description, &text);
        row.description = Set(text.into());
    }
    let status = change.status.map(Status::as_str);
    if let Some(status) = status.filter(|status| *status != before.status) {
        told(&mut details, "status", &before.status, status);
        row.status = Set(status.to_owned());
    }
    if details.is_empty() {
        return Ok(before.into());
    }
    row.version = Set(before.version + 1);
    row.updated_at = Set(state.clock.now());
    let after = repo::save(&*tx, row).await?;
    let action = "service_account.updated";
    note(&tx, state, permit, action, after.id, details.into()).await?;
    tx.changed(Change::Grants(Principal::service_account(after.id)));
    tx.commit().await?;
    Ok(after.into())
}

fn told(details: &mut Map<String, Value>, field: &str, from: &str, to: &str) {
    details.insert(field.to_owned(), json!({ "from": from, "to": to }));
}

/// Deletes a service account; its keys and the roles that it holds go along.
///
/// # Errors
///
/// [`ServiceAccountError::LastOwner`] if an organization would be left without an owner.
pub async fn delete(
    state: &AppState,
    permit: &Permit<ManageOne>,
    if_match: &IfMatch,
) -> Result<(), ServiceAccountError> {
    must_not_be_above(state, permit).await?;
    // The roles that go along may be any tenant's.
    let mut tx = Tx::begin(state, &Scope::System).await?;
    let row = repo::lock(&*tx, permit.id())
        .await?
        .ok_or(ServiceAccountError::NotFound)?;
    if_match
        .check(row.version)
        .map_err(|_| ServiceAccountError::Changed)?;
    let principal = Principal::service_account(row.id);
    api_keys::revoke_all(&mut tx, state, permit.into(), permit.origin(), principal).await?;
    repo::delete(&*tx, row.id).await?;
    let details = json!({ "name": row.name });
    note(
        &tx,
        state,
        permit,
        "service_account.deleted",
        row.id,
        details,
    )
    .await?;
    tx.changed(Change::Grants(principal));
    tx.commit().await?;
    Ok(())
}

/// The keys of a service account.
pub async fn list_keys(
    state: &AppState,
    permit: &Permit<ReadKeys>,
    cut: &Cut<api_key::Model>,
) -> Result<Page<ApiKeyView>, ServiceAccountError> {
    let row = repo::find(&state.db, permit.id()).await?;
    let row = row.ok_or(ServiceAccountError::NotFound)?;
    Ok(api_keys::of(state, Principal::service_account(row.id), cut).await?)
}

/// Makes a key of a service account.
///
/// # Errors
///
/// [`ServiceAccountError::Above`] if it holds what the caller does not, and [`ApiKeyError::Lacking`]
/// if the key should carry what the caller does not hold at the system: whoever has a key can do
/// what it opens.
pub async fn create_key(
    state: &AppState,
    permit: &Permit<ManageKeys>,
    new: NewApiKey,
    once: &Once,
) -> Result<MadeKey, ServiceAccountError> {
    api_keys::demand_usable(state, &new)?;
    must_not_be_above(state, permit).await?;
    let now = state.clock.now();
    let mut own = held(&permit.actor().subject.grants, &Located::system(), now);
    own.extend(state.catalog.everyone.iter().cloned());
    own.extend(api_keys::OWN.map(ToOwned::to_owned));
    let lacking = lacking(&own, &new.permissions.0);
    if !lacking.is_empty() {
        return Err(ApiKeyError::Lacking(lacking).into());
    }
    let owner = Principal::service_account(permit.id());
    let tx = Tx::begin(state, &Scope::None).await?;
    if let Some(kept) = once.claim::<Kept>(&*tx, now).await? {
        return Ok(kept.open(state)?);
    }
    let made = api_keys::make(&tx, state, permit.into(), permit.origin(), owner, &new).await?;
    once.keep(&*tx, &Kept::of(state, &made), now).await?;
    tx.commit().await?;
    Ok(made)
}

/// Revokes a key of a service account.
pub async fn revoke_key(
    state: &AppState,
    permit: &Permit<ManageKeys>,
    key_id: Uuid,
) -> Result<(), ServiceAccountError> {
    let owner = Principal::service_account(permit.id());
    let mut tx = Tx::begin(state, &Scope::None).await?;
    let doer = permit.into();
    api_keys::revoke(&mut tx, state, doer, permit.origin(), owner, key_id).await?;
    tx.commit().await?;
    Ok(())
}

/// Nobody does anything to a service account that holds, anywhere, what they do not hold there.
async fn must_not_be_above<A: Action>(
    state: &AppState,
    permit: &Permit<A>,
) -> Result<(), ServiceAccountError> {
    let principal = Principal::service_account(permit.id());
    if principal == permit.principal() {
        return Err(ServiceAccountError::Oneself);
    }
    let subject = grants::subject(state, principal).await?;
    let subject = subject.ok_or(ServiceAccountError::NotFound)?;
    let now = state.clock.now();
    for grant in subject.grants.iter() {
        let Some(place) = resource::locate(state, grant.resource).await? else {
            continue;
        };
        let own = held(&permit.actor().subject.grants, &place, now);
        let lacking = lacking(&own, &grant.permissions);
        if !lacking.is_empty() {
            return Err(ServiceAccountError::Above(lacking));
        }
    }
    Ok(())
}

async fn note<A>(
    tx: &Tx<'_>,
    state: &AppState,
    permit: &Permit<A>,
    action: &'static str,
    id: Uuid,
    details: Value,
) -> Result<(), sea_orm::DbErr> {
    let entry = audit::Entry {
        doer: permit.into(),
        action,
        target: audit::Target::global("service_account", id),
        details,
    };
    audit::record(&**tx, &*state.clock, permit.origin(), entry).await
}
