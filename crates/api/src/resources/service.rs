//! The use cases of registered resources. Transactions begin and end here.

use std::sync::Arc;

use entity::resource;
use sea_orm::{ColumnTrait, Condition, sea_query::LockType};
use serde_json::json;
use uuid::Uuid;

use super::{
    model::{
        BatchAnswer, ManageAnywhere, NewResource, Parent, Read, ReadAnywhere, ResourceBody,
        ResourceError, ResourceView,
    },
    plan::{Plan, judge, stands_at},
    repo,
};
use crate::{
    access::{
        cache::Change,
        permit::{self, Permit},
        registered::{self, Registered, Spot},
        resource::ResourceType,
    },
    audit,
    database::tx::{Scope, Tx},
    http::{
        etag::IfMatch,
        page::{Cut, Page},
        text::{ThingId, ThingType},
    },
    roles::{reach::Reach, revision::Revised},
    state::AppState,
};

/// What a path names, with what is to be registered of it.
///
/// # Errors
///
/// `404` for a name that nothing can have.
pub fn named(
    (kind, id): (String, String),
    body: ResourceBody,
) -> Result<NewResource, ResourceError> {
    let name = (ThingType::try_from(kind), ThingId::try_from(id));
    let (Ok(r#type), Ok(id)) = name else {
        return Err(ResourceError::NotFound);
    };
    Ok(NewResource {
        r#type,
        id,
        parent: body.parent,
        properties: body.properties,
    })
}

/// The resources that the caller may read: of a type and below something, if that is asked for.
pub async fn list(
    state: &AppState,
    permit: &Permit<ReadAnywhere>,
    kind: Option<&str>,
    parent: Option<&Parent>,
    cut: &Cut<resource::Model>,
) -> Result<Page<ResourceView>, ResourceError> {
    let grants = &permit.actor().subject.grants;
    let reach = Reach::of(grants, "resource:read", state.clock.now());
    let tx = Tx::begin(state, &reach.scope()).await?;
    let below = match parent {
        Some(parent) => Some(right_below(&tx, parent).await?),
        None => None,
    };
    let rows = repo::list(&*tx, &reach, kind, below, cut).await?;
    let above = rows.iter().filter_map(|row| row.parent_id).collect();
    let above = repo::names(&*tx, above).await?;
    tx.commit().await?;
    let view = |row: resource::Model| {
        let parent = row.parent_id.and_then(|id| above.get(&id).cloned());
        ResourceView::of(row, parent)
    };
    Ok(cut.page(rows, |row| row.id, view))
}

/// That a resource stands right below `parent`.
async fn right_below(tx: &Tx<'_>, parent: &Parent) -> Result<Condition, ResourceError> {
    use resource::Column::{AccountId, OrganizationId, ParentId, ProjectId};
    let id = Uuid::try_parse(&parent.id).unwrap_or_default();
    Ok(match parent.r#type.parse() {
        Ok(ResourceType::Project) => Condition::all()
            .add(ProjectId.eq(id))
            .add(ParentId.is_null()),
        Ok(ResourceType::Account) => Condition::all()
            .add(AccountId.eq(id))
            .add(ProjectId.is_null())
            .add(ParentId.is_null()),
        Ok(_) => Condition::all()
            .add(OrganizationId.eq(id))
            .add(AccountId.is_null())
            .add(ParentId.is_null()),
        Err(()) => {
            let above = repo::find(&**tx, &parent.r#type, &parent.id).await?;
            Condition::all().add(ParentId.eq(above.map(|row| row.id).unwrap_or_default()))
        }
    })
}

/// One resource.
pub async fn read(
    state: &AppState,
    permit: &Permit<ReadAnywhere>,
    kind: &str,
    id: &str,
) -> Result<ResourceView, ResourceError> {
    let known = known(state, kind, id).await?;
    let spot = Spot::Registered(Arc::new(known));
    let place = permit::narrow_to::<Read, _>(state, permit, &spot).await?;
    let tx = Tx::begin(state, &place.scope()).await?;
    let row = repo::find(&*tx, kind, id).await?;
    let view = match row {
        Some(row) => view(&tx, row).await?,
        None => return Err(ResourceError::NotFound),
    };
    tx.commit().await?;
    Ok(view)
}

async fn view(tx: &Tx<'_>, row: resource::Model) -> Result<ResourceView, ResourceError> {
    let above = match row.parent_id {
        Some(id) => repo::names(&**tx, vec![id]).await?.remove(&id),
        None => None,
    };
    Ok(ResourceView::of(row, above))
}

/// What is registered by this type and id, as the database has it now.
async fn known(state: &AppState, kind: &str, id: &str) -> Result<Registered, ResourceError> {
    if !registered::is_type(kind) || !registered::is_id(id) {
        return Err(ResourceError::NotFound);
    }
    let tx = Tx::begin(state, &Scope::System).await?;
    let found = repo::named(&*tx, &[(kind.to_owned(), id.to_owned())]).await?;
    tx.commit().await?;
    found.into_iter().next().ok_or(ResourceError::NotFound)
}

/// What it stands right below.
async fn above(state: &AppState, known: &Registered) -> Result<Spot, ResourceError> {
    let parent = known.parent();
    Ok(match (known.below.ids.len(), parent.id) {
        (2.., Some(id)) => {
            Spot::Registered(Arc::new(self::known(state, &parent.r#type, &id).await?))
        }
        _ => known.base.resource.into(),
    })
}

/// Registers one resource, or changes what is registered of it; says whether it is new.
pub async fn put(
    state: &AppState,
    permit: &Permit<ManageAnywhere>,
    new: NewResource,
    if_match: &IfMatch,
) -> Result<Revised<(bool, ResourceView)>, ResourceError> {
    let (kind, id) = (new.r#type.to_string(), new.id.to_string());
    let plan = Plan::make(state, permit, vec![new]).await?;
    let mut tx = Tx::begin(state, &plan.scope()).await?;
    let done = plan
        .carry_out(&mut tx, state.clock.now(), Some(if_match))
        .await?;
    let row = repo::find(&*tx, &kind, &id).await?;
    let row = row.ok_or(ResourceError::Raced)?;
    let organization_id = row.organization_id;
    let view = view(&tx, row).await?;
    let action = match done {
        BatchAnswer { created: 1, .. } => Some("resource.registered"),
        BatchAnswer { updated: 1, .. } => Some("resource.updated"),
        _ => None,
    };
    if let Some(action) = action {
        let entry = audit::Entry {
            doer: permit.into(),
            action,
            target: target(organization_id, Some(&view)),
            details: json!({ "parent": view.parent }),
        };
        audit::record(&*tx, &*state.clock, permit.origin(), entry).await?;
    }
    let revised = Revised::read(&*tx, (done.created == 1, view)).await?;
    tx.commit().await?;
    Ok(revised)
}

fn target(organization_id: Uuid, one: Option<&ResourceView>) -> audit::Target {
    audit::Target {
        kind: "resource",
        id: one.map(|one| format!("{}:{}", one.r#type, one.id)),
        organization_id: Some(organization_id),
    }
}

/// Registers resources, or changes what is registered of them: all or none.
pub async fn register(
    state: &AppState,
    permit: &Permit<ManageAnywhere>,
    new: Vec<NewResource>,
) -> Result<Revised<BatchAnswer>, ResourceError> {
    let plan = Plan::make(state, permit, new).await?;
    let mut tx = Tx::begin(state, &plan.scope()).await?;
    let done = plan.carry_out(&mut tx, state.clock.now(), None).await?;
    if done.created + done.updated > 0 {
        for organization in &plan.organizations {
            let entry = audit::Entry {
                doer: permit.into(),
                action: "resources.registered",
                target: target(*organization, None),
                details: json!({
                    "created": done.created, "updated": done.updated, "types": plan.types(),
                }),
            };
            audit::record(&*tx, &*state.clock, permit.origin(), entry).await?;
        }
    }
    let revised = Revised::read(&*tx, done).await?;
    tx.commit().await?;
    Ok(revised)
}

/// Takes a resource and all below it off the register.
pub async fn delete(
    state: &AppState,
    permit: &Permit<ManageAnywhere>,
    kind: &str,
    id: &str,
    if_match: &IfMatch,
) -> Result<Revised<()>, ResourceError> {
    let known = known(state, kind, id).await?;
    let place = judge(state, permit, &above(state, &known).await?).await?;
    let mut tx = Tx::begin(state, &place.scope()).await?;
    repo::move_places(&*tx).await?;
    let row = repo::lock(&*tx, vec![known.id], LockType::Update)
        .await?
        .remove(&known.id)
        .ok_or(ResourceError::NotFound)?;
    if_match
        .check(row.version)
        .map_err(|_| ResourceError::Changed)?;
    if !stands_at(&row, &known) {
        return Err(ResourceError::Raced);
    }
    let organization_id = row.organization_id;
    let view = view(&tx, row).await?;
    repo::delete(&*tx, known.id).await?;
    let entry = audit::Entry {
        doer: permit.into(),
        action: "resource.deleted",
        target: target(organization_id, Some(&view)),
        details: json!({ "parent": view.parent }),
    };
    audit::record(&*tx, &*state.clock, permit.origin(), entry).await?;
    tx.changed(Change::Registrations);
    let revised = Revised::read(&*tx, ()).await?;
    tx.commit().await?;
    Ok(revised)
}
