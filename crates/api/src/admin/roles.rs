//! Roles on the system, given and taken at the command line.
//!
//! Over HTTP that is [`crate::role_assignments`], where nobody gives what they lack.

use chrono::{DateTime, Utc};
use entity::{role, user, user_role_assignment};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter};
use uuid::Uuid;

use super::model::{AdminError, UpdateUser};
use crate::{
    access::{
        actor::Principal,
        authority::Authority,
        resource::{ResourceRef, ResourceType},
    },
    command::shell::Shell,
    database::tx::{Scope, Tx},
    role_assignments::{
        model::AssignmentError,
        service::{self, Giving, Written},
    },
    roles::{self, service::Found},
    state::AppState,
};

/// Gives a user a role on the system, until `expires_at` or for good.
///
/// # Errors
///
/// See [`AdminError`].
pub async fn assign(
    state: &AppState,
    shell: &Shell,
    user: &user::Model,
    key: &str,
    expires_at: Option<DateTime<Utc>>,
    reason: Option<String>,
) -> Result<user_role_assignment::Model, AdminError> {
    let mut tx = Tx::begin(state, &Scope::System).await?;
    let role = system_role(&tx, key).await?;
    let by = authority(shell, user);
    let giving = Giving {
        principal: Principal::user(user.id).into(),
        role: &role,
        spot: ResourceRef::SYSTEM.into(),
        organization_id: None,
        granted_by: None,
        reason,
        expires_at,
    };
    let row = service::give(state, &mut tx, by.doer(), by.origin(), giving).await?;
    tx.commit().await?;
    Ok(row)
}

/// Takes a role on the system away from a user.
///
/// # Errors
///
/// [`AssignmentError::NotFound`] if they do not hold it, `LastAdministrator` if nobody else does.
pub async fn remove(
    state: &AppState,
    shell: &Shell,
    user: &user::Model,
    key: &str,
) -> Result<(), AdminError> {
    let mut tx = Tx::begin(state, &Scope::System).await?;
    let role = system_role(&tx, key).await?;
    let row = held(&tx, user.id, &role)
        .await?
        .ok_or(AssignmentError::NotFound)?;
    let by = authority(shell, user);
    let written = Written {
        row: &row,
        role: &role,
        principal: Principal::user(user.id).into(),
        resource: ResourceRef::SYSTEM.into(),
    };
    service::withdraw(state, &mut tx, by.doer(), by.origin(), &written).await?;
    tx.commit().await?;
    Ok(())
}

fn authority<'a>(shell: &'a Shell, user: &user::Model) -> Authority<'a, UpdateUser> {
    Authority::of_shell(shell, super::steps::user(user.id))
}

pub(super) async fn system_role(tx: &Tx<'_>, key: &str) -> Result<role::Model, AdminError> {
    match roles::service::find(&**tx, key, ResourceType::System, None).await? {
        Found::Role(role) => Ok(role),
        Found::NotAssignable | Found::Nothing => Err(AdminError::UnknownRole),
    }
}

/// The assignment of a role on the system to a user, expired or not.
pub(super) async fn held(
    tx: &Tx<'_>,
    user_id: Uuid,
    role: &role::Model,
) -> Result<Option<user_role_assignment::Model>, AdminError> {
    let query = user_role_assignment::Entity::find()
        .filter(user_role_assignment::Column::UserId.eq(user_id))
        .filter(user_role_assignment::Column::RoleId.eq(role.id))
        .filter(user_role_assignment::Column::ResourceType.eq(ResourceType::System.as_str()));
    Ok(query.one(&**tx).await?)
}
