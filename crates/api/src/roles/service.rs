//! Looking roles up, and keeping the built-in ones as the policy's data says.

use std::collections::HashMap;

use entity::role;
use sea_orm::{ConnectionTrait, DbErr};
use uuid::Uuid;

use super::repo;
use crate::{
    access::{cache::Change, resource::ResourceType},
    database::tx::{Scope, Tx},
    policy::BuiltinRole,
    state::AppState,
};

/// Key of the built-in role that an organization always keeps.
pub const OWNER: &str = "owner";

/// Whether this is the built-in `owner`, which only owners give and take.
pub fn is_owner(role: &role::Model) -> bool {
    role.organization_id.is_none() && role.key == OWNER
}

/// What looking for a role by its key brought.
#[derive(Debug)]
pub enum Found {
    /// The role.
    Role(role::Model),
    /// There is one of this name, but not for this type of resource.
    NotAssignable,
    /// There is none.
    Nothing,
}

/// The role called `key` that can be assigned at `kind`: a built-in one, or one of the organization.
pub async fn find(
    txn: &impl ConnectionTrait,
    key: &str,
    kind: ResourceType,
    organization_id: Option<Uuid>,
) -> Result<Found, DbErr> {
    let roles = repo::called(txn, key, organization_id).await?;
    if roles.is_empty() {
        return Ok(Found::Nothing);
    }
    let fits = |role: &role::Model| role.assignable_at.iter().any(|at| at == kind.as_str());
    Ok(roles
        .into_iter()
        .find(fits)
        .map_or(Found::NotAssignable, Found::Role))
}

/// The role of an assignment or invitation that refers to it.
///
/// # Errors
///
/// `RecordNotFound` if the transaction does not see it.
pub async fn by_id(txn: &impl ConnectionTrait, id: Uuid) -> Result<role::Model, DbErr> {
    let found = repo::find(txn, id).await?;
    found.ok_or_else(|| DbErr::RecordNotFound(format!("no role {id}")))
}

/// The built-in `owner` of organizations.
///
/// # Errors
///
/// `RecordNotFound` if the policy's data has none.
pub async fn owner(txn: &impl ConnectionTrait) -> Result<role::Model, DbErr> {
    match find(txn, OWNER, ResourceType::Organization, None).await? {
        Found::Role(role) => Ok(role),
        _ => Err(DbErr::RecordNotFound(
            "the policy's data has no role `owner` for organizations".to_owned(),
        )),
    }
}

/// Writes the built-in roles that differ from the policy's data; says how many did.
///
/// One that the data no longer has stays, because people may hold it.
pub async fn sync_builtin(state: &AppState, roles: &[BuiltinRole]) -> Result<usize, DbErr> {
    let mut tx = Tx::begin(state, &Scope::System).await?;
    let known: HashMap<_, _> = repo::built_in(&*tx)
        .await?
        .into_iter()
        .map(|row| (row.id, row))
        .collect();
    let now = state.clock.now();
    let mut written = 0;
    for role in roles {
        let version = match known.get(&role.id) {
            Some(row) if is_same(row, role) => continue,
            Some(row) => row.version + 1,
            None => 1,
        };
        repo::put_built_in(&*tx, role, version, now).await?;
        written += 1;
    }
    if written > 0 {
        tx.changed(Change::Role);
    }
    tx.commit().await?;
    Ok(written)
}

fn is_same(row: &role::Model, role: &BuiltinRole) -> bool {
    row.key == role.key
        && row.name == role.name
        && row.description == role.description
        && row.permissions == role.permissions
        && row.assignable_at == role.assignable_at
}
