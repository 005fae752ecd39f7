//! What principals hold: their role assignments, and whether they may act at all.

use std::{collections::HashMap, sync::Arc};

use chrono::{DateTime, Utc};
use sea_orm::{ConnectionTrait, DbErr, FromQueryResult, Statement};
use uuid::Uuid;

use super::{
    actor::{Actor, Grant, Principal, PrincipalType, Subject},
    key::KeyState,
    memo::Reading,
    resource::{ResourceRef, ResourceType},
};
use crate::{
    database::tx::{Scope, Tx},
    policy::Place,
    roles::reach::lacking,
    state::AppState,
};

/// A principal and everything it holds, or nothing if there is no such principal.
///
/// Answered from memory where that is known to be true.
pub async fn subject(
    state: &AppState,
    principal: Principal,
) -> Result<Option<Arc<Subject>>, DbErr> {
    state
        .cache
        .subjects
        .get_or_load(principal, async || look_up(state, principal).await)
        .await
}

/// Keys of the roles that the caller holds at the system now.
///
/// With an API key only those that it leaves whole: who reads `admin` may take it for all that
/// an administrator may do.
pub async fn system_roles(state: &AppState, actor: &Actor) -> Result<Vec<String>, DbErr> {
    let now = state.clock.now();
    let owner = subject(state, actor.principal()).await?;
    let mut roles: Vec<String> = owner
        .iter()
        .flat_map(|owner| owner.grants.iter())
        .filter(|grant| grant.resource == ResourceRef::SYSTEM)
        .filter(|grant| grant.is_in_force(now))
        .filter(|grant| {
            let whole = |key: &KeyState| lacking(&key.permissions, &grant.permissions).is_empty();
            actor.key().is_none_or(whole)
        })
        .map(|grant| grant.role.to_string())
        .collect();
    roles.sort_unstable();
    roles.dedup();
    Ok(roles)
}

/// The assignments by which user `$1` holds roles, expired ones too: their own, and those of the
/// groups that they are in.
pub const HELD_BY_USER: &str = "SELECT own.* FROM user_role_assignments own WHERE own.user_id = $1 \
     UNION ALL \
     SELECT of_group.* FROM group_members m \
     JOIN user_role_assignments of_group ON of_group.group_id = m.group_id \
     WHERE m.user_id = $1";

#[derive(FromQueryResult)]
struct Row {
    status: String,
    attributes: serde_json::Value,
    email: Option<String>,
    username: Option<String>,
    assignment_id: Option<Uuid>,
    role_id: Option<Uuid>,
    role: Option<String>,
    permissions: Option<Vec<String>>,
    resource_type: Option<String>,
    resource_id: Option<Uuid>,
    organization_id: Option<Uuid>,
    group_id: Option<Uuid>,
    expires_at: Option<DateTime<Utc>>,
    thing_type: Option<String>,
    thing_id: Option<String>,
}

async fn look_up(state: &AppState, principal: Principal) -> Result<Option<Arc<Subject>>, DbErr> {
    let holder = match principal.r#type {
        PrincipalType::User => {
            "SELECT p.status, p.attributes, p.username, $1::uuid AS id, \
                    CASE WHEN p.email_verified_at IS NOT NULL THEN p.email END AS email \
             FROM users p WHERE p.id = $1"
        }
        PrincipalType::ServiceAccount => {
            "SELECT p.status, '{}'::jsonb AS attributes, p.name AS username, $1::uuid AS id, \
                    NULL::text AS email \
             FROM service_accounts p WHERE p.id = $1"
        }
    };
    let held = match principal.r#type {
        PrincipalType::User => HELD_BY_USER,
        PrincipalType::ServiceAccount => {
            "SELECT * FROM user_role_assignments WHERE service_account_id = $1"
        }
    };
    let sql = format!(
        "SELECT h.status, h.attributes, h.email, h.username, a.id AS assignment_id, r.id AS role_id, r.key AS role, r.permissions, \
                a.resource_type, a.resource_id, a.organization_id, a.group_id, a.expires_at, \
                t.type AS thing_type, t.external_id AS thing_id \
         FROM ({holder}) h \
         LEFT JOIN ({held}) a ON true \
         LEFT JOIN roles r ON r.id = a.role_id \
         LEFT JOIN resources t ON a.resource_type = 'resource' AND t.id = a.resource_id \
         ORDER BY a.id"
    );
    let tx = Tx::begin(state, &Scope::System).await?;
    let statement =
        Statement::from_sql_and_values(tx.get_database_backend(), sql, [principal.id.into()]);
    let rows = Row::find_by_statement(statement).all(&*tx).await?;
    tx.commit().await?;
    let Some(first) = rows.first() else {
        return Ok(None);
    };
    let (status, attributes) = (first.status.clone(), first.attributes.clone());
    let (email, username) = (first.email.clone(), first.username.clone());
    let mut known = HashMap::new();
    let grants = rows
        .into_iter()
        .filter_map(|row| grant(row, &mut known))
        .collect();
    Ok(Some(Arc::new(Subject {
        principal,
        status,
        attributes,
        email,
        username,
        grants,
        reading: Reading::default(),
    })))
}

/// What a role carries, shared by the grants of it.
type Carried = HashMap<Uuid, (Arc<str>, Arc<[String]>)>;

fn grant(row: Row, known: &mut Carried) -> Option<Grant> {
    let kind = ResourceType::stored(&row.resource_type?)?;
    let (name, carried) = (row.role?, row.permissions?);
    let (role, permissions) = known
        .entry(row.role_id?)
        .or_insert_with(|| (name.into(), carried.into()));
    Some(Grant {
        id: row.assignment_id?,
        role: Arc::clone(role),
        permissions: Arc::clone(permissions),
        resource: ResourceRef {
            kind,
            id: row.resource_id,
        },
        thing: row
            .thing_type
            .zip(row.thing_id)
            .map(|(kind, id)| Place::new(kind, id)),
        organization_id: row.organization_id,
        group_id: row.group_id,
        expires_at: row.expires_at,
    })
}
