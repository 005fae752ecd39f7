//! The use cases of projects. Transactions begin and end here.

use entity::project;
use sea_orm::{ActiveValue::Set, IntoActiveModel, sea_query::LockType};
use serde_json::{Map, json};
use uuid::Uuid;

use super::{
    model::{
        Create, Delete, List, NewProject, ProjectChange, ProjectError, ProjectView, Read, Update,
    },
    repo,
};
use crate::{
    access::{
        actor::{Principal, PrincipalType},
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

/// The projects of an account.
pub async fn list(
    state: &AppState,
    permit: &Permit<List>,
    prefix: Option<&str>,
    cut: &Cut<project::Model>,
) -> Result<Page<ProjectView>, ProjectError> {
    let tx = Tx::begin(state, &permit.scope()).await?;
    let rows = repo::of_account(&*tx, permit.id(), prefix, cut).await?;
    tx.commit().await?;
    Ok(cut.page(rows, |row| row.id, Into::into))
}

/// Makes a project in an account.
pub async fn create(
    state: &AppState,
    permit: &Permit<Create>,
    new: NewProject,
    once: &Once,
) -> Result<Revised<ProjectView>, ProjectError> {
    let now = state.clock.now();
    let tx = Tx::begin(state, &permit.scope()).await?;
    if let Some(answer) = once.claim(&*tx, now).await? {
        return Ok(Revised::read(&*tx, answer).await?);
    }
    let owner = match new.owner_id {
        Some(id) => Some(active(&tx, id).await?),
        None => creator(permit.principal()),
    };
    let organization_id = permit
        .located()
        .organization_id()
        .ok_or(ProjectError::NotFound)?;
    let place = (organization_id, permit.id());
    let project = repo::insert(&*tx, place, owner, &new.name, now).await?;
    let entry = audit::Entry {
        doer: permit.into(),
        action: "project.created",
        target: audit::Target::resource(
            Some(project.organization_id),
            ResourceRef::new(ResourceType::Project, project.id),
        ),
        details: json!({ "name": project.name, "account_id": project.account_id, "owner_id": project.owner_id }),
    };
    audit::record(&*tx, &*state.clock, permit.origin(), entry).await?;
    let view = ProjectView::from(project);
    once.keep(&*tx, &view, now).await?;
    let revised = Revised::read(&*tx, view).await?;
    tx.commit().await?;
    Ok(revised)
}

/// The user who makes a project owns it, unless they say otherwise; a program owns nothing.
fn creator(principal: Principal) -> Option<Uuid> {
    (principal.r#type == PrincipalType::User).then_some(principal.id)
}

/// `id`, if it is that of an active user.
async fn active(tx: &Tx<'_>, id: Uuid) -> Result<Uuid, ProjectError> {
    let is_active = repo::is_active(&**tx, id).await?;
    is_active.then_some(id).ok_or(ProjectError::UnknownOwner)
}

/// One project.
pub async fn read(state: &AppState, permit: &Permit<Read>) -> Result<ProjectView, ProjectError> {
    let tx = Tx::begin(state, &permit.scope()).await?;
    let row = repo::find(&*tx, permit.id()).await?;
    tx.commit().await?;
    row.map(Into::into).ok_or(ProjectError::NotFound)
}

/// Changes what `change` names.
pub async fn update(
    state: &AppState,
    permit: &Permit<Update>,
    change: ProjectChange,
    if_match: &IfMatch,
) -> Result<Revised<ProjectView>, ProjectError> {
    let mut tx = Tx::begin(state, &permit.scope()).await?;
    let before = repo::lock(&*tx, permit.id(), LockType::NoKeyUpdate)
        .await?
        .ok_or(ProjectError::NotFound)?;
    if_match
        .check(before.version)
        .map_err(|_| ProjectError::Changed)?;
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
    if let Some(id) = change.owner_id.filter(|id| Some(*id) != before.owner_id) {
        details.insert(
            "owner_id".to_owned(),
            json!({ "from": before.owner_id, "to": id }),
        );
        row.owner_id = Set(Some(active(&tx, id).await?));
        tx.changed(Change::Resource(permit.resource()));
    }
    let after = if details.is_empty() {
        before
    } else {
        row.version = Set(before.version + 1);
        row.updated_at = Set(state.clock.now());
        let entry = audit::Entry {
            doer: permit.into(),
            action: "project.updated",
            target: audit::Target::resource(Some(before.organization_id), permit.resource()),
            details: details.into(),
        };
        audit::record(&*tx, &*state.clock, permit.origin(), entry).await?;
        repo::save(&*tx, row).await?
    };
    let revised = Revised::read(&*tx, after.into()).await?;
    tx.commit().await?;
    Ok(revised)
}

/// Deletes a project; roles held on it go along.
pub async fn delete(
    state: &AppState,
    permit: &Permit<Delete>,
    if_match: &IfMatch,
) -> Result<Revised<()>, ProjectError> {
    let mut tx = Tx::begin(state, &permit.scope()).await?;
    let row = repo::lock(&*tx, permit.id(), LockType::Update)
        .await?
        .ok_or(ProjectError::NotFound)?;
    if_match
        .check(row.version)
        .map_err(|_| ProjectError::Changed)?;
    repo::delete(&*tx, row.id).await?;
    let entry = audit::Entry {
        doer: permit.into(),
        action: "project.deleted",
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
