//! The use cases of organizations. Transactions begin and end here.

use entity::organization;
use sea_orm::{ActiveValue::Set, IntoActiveModel, sea_query::LockType};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::{
    model::{
        Create, Delete, List, MFA_REQUIRED, NewOrganization, OrganizationChange, OrganizationError,
        OrganizationView, Read, Update,
    },
    repo,
};
use crate::{
    access::{
        cache::Change,
        permit::{Action, Permit},
        resource::{ResourceRef, ResourceType},
    },
    audit,
    database::tx::{Scope, Tx},
    http::{
        etag::IfMatch,
        idempotency::Once,
        page::{Cut, Page},
        text::{Name, Slug},
    },
    role_assignments::service::{self as role_assignments, Giving},
    roles::{self, reach::Reach, revision::Revised},
    state::AppState,
};

/// Slugs that are tried before giving up.
const SLUG_TRIES: usize = 8;

/// The organizations that the caller's roles let them read.
pub async fn list(
    state: &AppState,
    permit: &Permit<List>,
    prefix: Option<&str>,
    cut: &Cut<organization::Model>,
) -> Result<Page<OrganizationView>, OrganizationError> {
    let now = state.clock.now();
    let reach = Reach::of(&permit.actor().subject.grants, <Read as Action>::NAME, now);
    let tx = Tx::begin(state, &reach.scope()).await?;
    let rows = repo::within(&*tx, &reach, prefix, cut).await?;
    tx.commit().await?;
    Ok(cut.page(rows, |row| row.id, Into::into))
}

/// Makes an organization, and its creator the owner, or does neither.
pub async fn create(
    state: &AppState,
    permit: &Permit<Create>,
    new: NewOrganization,
    once: &Once,
) -> Result<Revised<OrganizationView>, OrganizationError> {
    let now = state.clock.now();
    // The new tenant has no rows that anyone could be shown by mistake.
    let mut tx = Tx::begin(state, &Scope::System).await?;
    if let Some(answer) = once.claim(&*tx, now).await? {
        return Ok(Revised::read(&*tx, answer).await?);
    }
    let id = Uuid::now_v7();
    insert(&tx, id, &new, now).await?;
    let organization = repo::find(&*tx, id)
        .await?
        .ok_or(OrganizationError::NotFound)?;
    let entry = audit::Entry {
        doer: permit.into(),
        action: "organization.created",
        target: audit::Target::within(Some(id), "organization", id),
        details: json!({ "name": organization.name, "slug": organization.slug }),
    };
    audit::record(&*tx, &*state.clock, permit.origin(), entry).await?;
    let owner = roles::service::owner(&*tx).await?;
    let giving = Giving {
        principal: permit.principal().into(),
        role: &owner,
        spot: ResourceRef::new(ResourceType::Organization, id).into(),
        organization_id: Some(id),
        granted_by: None,
        reason: Some("created the organization".to_owned()),
        expires_at: None,
    };
    role_assignments::give(state, &mut tx, permit.into(), permit.origin(), giving).await?;
    let view = OrganizationView::from(organization);
    once.keep(&*tx, &view, now).await?;
    let revised = Revised::read(&*tx, view).await?;
    tx.commit().await?;
    Ok(revised)
}

/// Inserts it under the slug asked for, or under the first free one that its name gives.
async fn insert(
    tx: &Tx<'_>,
    id: Uuid,
    new: &NewOrganization,
    now: chrono::DateTime<chrono::Utc>,
) -> Result<(), OrganizationError> {
    if let Some(slug) = &new.slug {
        let inserted = repo::insert(&**tx, id, &new.name, slug, now).await?;
        return inserted.then_some(()).ok_or(OrganizationError::SlugTaken);
    }
    for attempt in 0..SLUG_TRIES {
        let slug = candidate(&new.name, attempt);
        if repo::insert(&**tx, id, &new.name, &slug, now).await? {
            return Ok(());
        }
    }
    Err(OrganizationError::SlugTaken)
}

/// The slug of `name`, from the second attempt on with something random behind it.
fn candidate(name: &Name, attempt: usize) -> Slug {
    let slug = Slug::from_name(name);
    if attempt == 0 {
        return slug;
    }
    let random = Uuid::new_v4().simple().to_string();
    Slug::try_from(format!("{slug}-{}", &random[..6])).unwrap_or(slug)
}

/// One organization.
pub async fn read(
    state: &AppState,
    permit: &Permit<Read>,
) -> Result<OrganizationView, OrganizationError> {
    let tx = Tx::begin(state, &permit.scope()).await?;
    let row = repo::find(&*tx, permit.id()).await?;
    tx.commit().await?;
    row.map(Into::into).ok_or(OrganizationError::NotFound)
}

/// Changes what `change` names.
pub async fn update(
    state: &AppState,
    permit: &Permit<Update>,
    change: OrganizationChange,
    if_match: &IfMatch,
) -> Result<Revised<OrganizationView>, OrganizationError> {
    let tx = Tx::begin(state, &permit.scope()).await?;
    let before = repo::lock(&*tx, permit.id(), LockType::NoKeyUpdate)
        .await?
        .ok_or(OrganizationError::NotFound)?;
    if_match
        .check(before.version)
        .map_err(|_| OrganizationError::Changed)?;
    let mut row = before.clone().into_active_model();
    let details = apply(change, &before, &mut row);
    let after = if details.is_empty() {
        before
    } else {
        row.version = Set(before.version + 1);
        row.updated_at = Set(state.clock.now());
        let entry = audit::Entry {
            doer: permit.into(),
            action: "organization.updated",
            target: audit::Target::resource(Some(before.id), permit.resource()),
            details: details.into(),
        };
        audit::record(&*tx, &*state.clock, permit.origin(), entry).await?;
        repo::save(&*tx, row).await?
    };
    let revised = Revised::read(&*tx, after.into()).await?;
    tx.commit().await?;
    Ok(revised)
}

/// Puts what differs into `row`. Returns it in the form of the audit log.
fn apply(
    change: OrganizationChange,
    before: &organization::Model,
    row: &mut organization::ActiveModel,
) -> Map<String, Value> {
    let mut details = Map::new();
    if let Some(name) = change.name.filter(|name| **name != *before.name) {
        let moved = json!({ "from": before.name, "to": name });
        details.insert("name".to_owned(), moved);
        row.name_normalized = Set(crate::http::text::normalized(&name));
        row.name = Set(name.into());
    }
    if let Some(slug) = change.slug.filter(|slug| **slug != *before.slug) {
        let moved = json!({ "from": before.slug, "to": slug });
        details.insert("slug".to_owned(), moved);
        row.slug = Set(slug.into());
    }
    let is_required = before.settings[MFA_REQUIRED] == true;
    if let Some(required) = change.mfa_required.filter(|to| *to != is_required) {
        let moved = json!({ "from": is_required, "to": required });
        details.insert(MFA_REQUIRED.to_owned(), moved);
        let mut settings = before.settings.clone();
        settings[MFA_REQUIRED] = required.into();
        row.settings = Set(settings);
    }
    details
}

/// Deletes an organization that has no accounts; roles held in it go along.
pub async fn delete(
    state: &AppState,
    permit: &Permit<Delete>,
    if_match: &IfMatch,
) -> Result<Revised<()>, OrganizationError> {
    let mut tx = Tx::begin(state, &permit.scope()).await?;
    let row = repo::lock(&*tx, permit.id(), LockType::Update)
        .await?
        .ok_or(OrganizationError::NotFound)?;
    if_match
        .check(row.version)
        .map_err(|_| OrganizationError::Changed)?;
    repo::delete(&*tx, row.id).await?;
    let entry = audit::Entry {
        doer: permit.into(),
        action: "organization.deleted",
        target: audit::Target::resource(Some(row.id), permit.resource()),
        details: json!({ "name": row.name, "slug": row.slug }),
    };
    audit::record(&*tx, &*state.clock, permit.origin(), entry).await?;
    // Grants on it that are still remembered lead nowhere: it cannot be located any more.
    tx.changed(Change::Resource(permit.resource()));
    let revised = Revised::read(&*tx, ()).await?;
    tx.commit().await?;
    Ok(revised)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_slug_is_plain_and_the_next_ones_differ() {
        let name = Name::try_from("Acme, Inc.".to_owned()).unwrap();
        assert_eq!(&*candidate(&name, 0), "acme-inc");
        let (second, third) = (candidate(&name, 1), candidate(&name, 2));
        assert!(second.starts_with("acme-inc-") && third.starts_with("acme-inc-"));
        assert_ne!(second, third);
    }
}
