//! Queries on members.

use chrono::{DateTime, Utc};
use sea_orm::{ConnectionTrait, DbErr, FromQueryResult, Statement};
use uuid::Uuid;

use super::model::Member;
use crate::{
    access::{
        actor::Principal,
        resource::{Located, ResourceType},
    },
    http::page::{Cut, Order},
};

#[derive(FromQueryResult)]
struct Row {
    principal_type: String,
    principal_id: Uuid,
    name: Option<String>,
    status: String,
    roles: serde_json::Value,
}

/// The page of those who hold something, and all that they hold.
fn question(after: &str, direction: &str) -> String {
    format!(
        "WITH held AS ( \
             SELECT a.*, m.created_at AS joined_at, \
                    CASE WHEN a.service_account_id IS NULL THEN 'user' ELSE 'service_account' END AS holder_type, \
                    COALESCE(a.user_id, a.service_account_id, m.user_id) AS holder_id \
             FROM user_role_assignments a \
             LEFT JOIN group_members m ON m.group_id = a.group_id \
             WHERE (a.expires_at IS NULL OR a.expires_at > $1) \
               AND (a.resource_type = 'system' \
                 OR (a.resource_type = 'organization' AND a.resource_id = $2) \
                 OR (a.resource_type = 'account' AND a.resource_id = $3) \
                 OR (a.resource_type = 'project' AND a.resource_id = $4)) \
               AND (a.group_id IS NULL OR m.user_id IS NOT NULL)), \
         page AS ( \
             SELECT DISTINCT holder_id FROM held \
             WHERE $5::uuid IS NULL OR holder_id {after} $5 \
             ORDER BY holder_id {direction} LIMIT $6) \
         SELECT h.holder_type AS principal_type, holder_id AS principal_id, \
                COALESCE(u.display_name, u.username, s.name) AS name, \
                COALESCE(u.status, s.status) AS status, \
                jsonb_agg(jsonb_build_object( \
                    'role_assignment_id', h.id, 'role', r.key, \
                    'resource', jsonb_build_object('type', h.resource_type, 'id', h.resource_id), \
                    'inherited', h.resource_type <> $7, \
                    'group', CASE WHEN g.id IS NOT NULL \
                        THEN jsonb_build_object('id', g.id, 'name', g.name) END, \
                    'granted_by', h.granted_by, 'since', GREATEST(h.created_at, h.joined_at), \
                    'expires_at', h.expires_at) ORDER BY h.id) AS roles \
         FROM page JOIN held h USING (holder_id) \
         JOIN roles r ON r.id = h.role_id \
         LEFT JOIN groups g ON g.id = h.group_id \
         LEFT JOIN users u ON h.holder_type = 'user' AND u.id = holder_id \
         LEFT JOIN service_accounts s ON h.holder_type = 'service_account' AND s.id = holder_id \
         GROUP BY h.holder_type, holder_id, u.display_name, u.username, s.name, u.status, s.status \
         ORDER BY holder_id {direction}"
    )
}

/// Members of `place` at `now`. The transaction has to see every tenant.
pub(super) async fn of(
    txn: &impl ConnectionTrait,
    place: &Located,
    now: DateTime<Utc>,
    cut: &Cut<Member>,
) -> Result<Vec<Member>, DbErr> {
    let (after, direction) = match cut.order {
        Order::Newest => ("<", "DESC"),
        Order::Oldest => (">", "ASC"),
    };
    let sql = question(after, direction);
    let on = |kind| {
        let part = place.path.iter().find(|part| part.kind == kind);
        part.and_then(|part| part.id)
    };
    let limit = i64::try_from(cut.fetch()).unwrap_or(i64::MAX);
    let values = [
        now.into(),
        on(ResourceType::Organization).into(),
        on(ResourceType::Account).into(),
        on(ResourceType::Project).into(),
        cut.after.into(),
        limit.into(),
        place.resource.kind.as_str().into(),
    ];
    let statement = Statement::from_sql_and_values(txn.get_database_backend(), sql, values);
    let rows = Row::find_by_statement(statement).all(txn).await?;
    rows.into_iter().map(member).collect()
}

fn member(row: Row) -> Result<Member, DbErr> {
    let unknown = |()| DbErr::Type(format!("{} is of an unknown type", row.principal_id));
    Ok(Member {
        principal: Principal {
            r#type: row.principal_type.parse().map_err(unknown)?,
            id: row.principal_id,
        },
        name: row.name,
        status: row.status,
        roles: serde_json::from_value(row.roles).map_err(|error| DbErr::Json(error.to_string()))?,
    })
}
