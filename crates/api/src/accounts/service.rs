//! The use cases of accounts. Transactions begin and end here.

use entity::account;
use sea_orm::{ActiveValue::Set, IntoActiveModel, sea_query::LockType};
use serde_json::json;

use super::{
    model::{
        AccountChange, AccountError, AccountView, Create, Delete, List, NewAccount, Read, Update,
    },
    repo,
};
use crate::{
    access::{
        cache::Change,
        permit::Permit,
        resource::{ResourceRef, ResourceType},
    },
    audit,
    database::tx::Tx,
    http::{
        etag::IfMatch,
        idempotency::Once,
        page::{Cut, Page},
        text::normalized,
    },
    roles::revision::Revised,
    state::AppState,
};

/// The accounts of an organization.
pub async fn list(
    state: &AppState,
    permit: &Permit<List>,
    prefix: Option<&str>,
    cut: &Cut<account::Model>,
) -> Result<Page<AccountView>, AccountError> {
    let tx = Tx::begin(state, &permit.scope()).await?;
    let rows = repo::of_organization(&*tx, permit.id(), prefix, cut).await?;
    tx.commit().await?;
    Ok(cut.page(rows, |row| row.id, Into::into))
}

/// Makes an account in an organization.
pub async fn create(
    state: &AppState,
    permit: &Permit<Create>,
    new: NewAccount,
    once: &Once,
) -> Result<Revised<AccountView>, AccountError> {
    let now = state.clock.now();
    let tx = Tx::begin(state, &permit.scope()).await?;
    if let Some(answer) = once.claim(&*tx, now).await? {
        return Ok(Revised::read(&*tx, answer).await?);
    }
    let account = repo::insert(&*tx, permit.id(), &new.name, now).await?;
    let entry = audit::Entry {
        doer: permit.into(),
        action: "account.created",
        target: audit::Target::resource(
            Some(account.organization_id),
            ResourceRef::new(ResourceType::Account, account.id),
        ),
        details: json!({ "name": account.name }),
    };
    audit::record(&*tx, &*state.clock, permit.origin(), entry).await?;
    let view = AccountView::from(account);
    once.keep(&*tx, &view, now).await?;
    let revised = Revised::read(&*tx, view).await?;
    tx.commit().await?;
    Ok(revised)
}

/// One account.
pub async fn read(state: &AppState, permit: &Permit<Read>) -> Result<AccountView, AccountError> {
    let tx = Tx::begin(state, &permit.scope()).await?;
    let row = repo::find(&*tx, permit.id()).await?;
    tx.commit().await?;
    row.map(Into::into).ok_or(AccountError::NotFound)
}

/// Changes what `change` names.
pub async fn update(
    state: &AppState,
    permit: &Permit<Update>,
    change: AccountChange,
    if_match: &IfMatch,
) -> Result<Revised<AccountView>, AccountError> {
    let tx = Tx::begin(state, &permit.scope()).await?;
    let before = repo::lock(&*tx, permit.id(), LockType::NoKeyUpdate)
        .await?
        .ok_or(AccountError::NotFound)?;
    if_match
        .check(before.version)
        .map_err(|_| AccountError::Changed)?;
    let after = match change.name.filter(|name| **name != *before.name) {
        None => before,
        Some(name) => {
            let entry = audit::Entry {
                doer: permit.into(),
                action: "account.updated",
                target: audit::Target::resource(Some(before.organization_id), permit.resource()),
                details: json!({ "name": { "from": before.name, "to": name } }),
            };
            audit::record(&*tx, &*state.clock, permit.origin(), entry).await?;
            let version = before.version + 1;
            let mut row = before.into_active_model();
            row.name_normalized = Set(normalized(&name));
            row.name = Set(name.into());
            row.version = Set(version);
            row.updated_at = Set(state.clock.now());
            repo::save(&*tx, row).await?
        }
    };
    let revised = Revised::read(&*tx, after.into()).await?;
    tx.commit().await?;
    Ok(revised)
}

/// Deletes an account that has no projects; roles held on it go along.
pub async fn delete(
    state: &AppState,
    permit: &Permit<Delete>,
    if_match: &IfMatch,
) -> Result<Revised<()>, AccountError> {
    let mut tx = Tx::begin(state, &permit.scope()).await?;
    let row = repo::lock(&*tx, permit.id(), LockType::Update)
        .await?
        .ok_or(AccountError::NotFound)?;
    if_match
        .check(row.version)
        .map_err(|_| AccountError::Changed)?;
    repo::delete(&*tx, row.id).await?;
    let entry = audit::Entry {
        doer: permit.into(),
        action: "account.deleted",
        target: audit::Target::resource(Some(row.organization_id), permit.resource()),
        details: json!({ "name": row.name }),
    };
    audit::record(&*tx, &*state.clock, permit.origin(), entry).await?;
    // Grants on it that are still remembered lead nowhere: it cannot be located any more.
    tx.changed(Change::Resource(permit.resource()));
    let revised = Revised::read(&*tx, ()).await?;
    tx.commit().await?;
    Ok(revised)
}
