//! The audit log, as administrators read it.

use std::collections::HashMap;

use sea_orm::{ColumnTrait, EntityTrait, QueryFilter};

use super::model::{AdminError, AuditFilter, AuditView};
use crate::{audit::sealer::stored, http::page::Cut, state::AppState};

/// A page of the audit log.
///
/// # Errors
///
/// The database's.
pub async fn audit_entries(
    state: &AppState,
    filter: &AuditFilter,
    cut: &Cut<entity::audit_log::Model>,
) -> Result<Vec<entity::audit_log::Model>, AdminError> {
    use entity::audit_log::{Column, Entity};

    let mut query = Entity::find();
    if let Some(actor) = filter.actor_id {
        query = query.filter(Column::ActorId.eq(actor));
    }
    if let Some(action) = &filter.action {
        query = query.filter(Column::Action.eq(action));
    }
    if let Some(kind) = &filter.target_type {
        query = query.filter(Column::TargetType.eq(kind));
    }
    if let Some(id) = &filter.target_id {
        query = query.filter(Column::TargetId.eq(id));
    }
    if let Some(from) = filter.from {
        query = query.filter(Column::At.gte(from));
    }
    if let Some(until) = filter.until {
        query = query.filter(Column::At.lt(until));
    }
    Ok(cut.apply(query, Column::Id).all(&state.db).await?)
}

/// Adds to entries their place in the chain.
///
/// # Errors
///
/// The database's.
pub async fn add_seals(state: &AppState, entries: &mut [AuditView]) -> Result<(), AdminError> {
    use entity::audit_seal::{Column, Entity};

    let ids = entries.iter().map(|entry| entry.id);
    let seals = Entity::find().filter(Column::EntryId.is_in(ids));
    let seals: HashMap<_, _> = seals
        .all(&state.db)
        .await?
        .into_iter()
        .map(|seal| (seal.entry_id, seal))
        .collect();
    for entry in entries {
        if let Some(seal) = seals.get(&entry.id) {
            entry.seq = Some(seal.seq);
            entry.hash = Some(stored(&seal.hash)?.to_string());
        }
    }
    Ok(())
}
