//! Principals that may be found, page by page in the order of their ids.

use chrono::{DateTime, Utc};
use sea_orm::{ConnectionTrait, DbErr, FromQueryResult, Statement, Value};
use uuid::Uuid;

use crate::{
    access::{
        actor::PrincipalType,
        resource::{ResourceRef, ResourceType},
    },
    authzen::lookup::Standing,
    database::tx::{Scope, Tx},
    policy::sufficient,
    state::AppState,
};

/// Which principals may be found.
#[derive(Debug)]
pub(super) enum Among {
    /// All.
    Everyone,
    /// Those who hold some role in this organization.
    Members(Uuid),
    /// Those who hold a role that carries the permission, at one of these places; and this one.
    Holders {
        /// `type:verb`.
        permission: String,
        /// Those of one path: at most four of ours, and nine that applications registered.
        places: Vec<ResourceRef>,
        /// Found whatever they hold.
        besides: Option<Uuid>,
        /// Only such as hold some role in this organization.
        within: Option<Uuid>,
    },
}

impl Among {
    /// Those whose roles count on what is at `standing`; only those who hold some role in the organization
    /// `within` if that is all that the asker may know of.
    pub(super) fn holders(permission: String, standing: &Standing, within: Option<Uuid>) -> Self {
        let things = standing.below.ids.iter();
        let things = things.map(|id| ResourceRef::new(ResourceType::Registered, *id));
        Self::Holders {
            permission,
            places: standing.base.path.iter().copied().chain(things).collect(),
            besides: None,
            within,
        }
    }
}

/// How principals of one type are found.
struct Way {
    table: &'static str,
    column: &'static str,
}

impl Way {
    fn of(kind: PrincipalType) -> Self {
        match kind {
            PrincipalType::User => Self {
                table: "users",
                column: "user_id",
            },
            PrincipalType::ServiceAccount => Self {
                table: "service_accounts",
                column: "service_account_id",
            },
        }
    }

    /// One more way, for users: the members of those groups whose assignments `a` fit.
    fn by_group(&self, condition: &str) -> String {
        if self.column != "user_id" {
            return String::new();
        }
        format!(
            "UNION ALL (SELECT m.id FROM ( \
               SELECT DISTINCT a.group_id FROM user_role_assignments a \
               WHERE a.group_id IS NOT NULL AND {condition}) g \
             CROSS JOIN LATERAL ( \
               SELECT m.user_id AS id FROM group_members m \
               WHERE m.group_id = g.group_id AND m.user_id > $1 ORDER BY m.user_id LIMIT $2) m)"
        )
    }

    /// That whose assignment `a` is holds a role in the organization `$6`, if there is one.
    fn is_member(&self) -> String {
        let column = self.column;
        let by_group = if column == "user_id" {
            " OR EXISTS (SELECT FROM group_members m \
               JOIN user_role_assignments o ON o.group_id = m.group_id \
               WHERE m.user_id = a.user_id AND o.organization_id = $6)"
        } else {
            ""
        };
        format!(
            " AND ($6::uuid IS NULL OR EXISTS (SELECT FROM user_role_assignments o \
               WHERE o.organization_id = $6 AND o.{column} = a.{column}){by_group})"
        )
    }

    /// A query for the ids after `$1`, `$2` of them, and its further values.
    fn sql(&self, among: &Among, now: DateTime<Utc>) -> (String, Vec<Value>) {
        let Self { table, column } = self;
        match among {
            Among::Everyone => {
                let sql =
                    format!("SELECT x.id FROM {table} x WHERE x.id > $1 ORDER BY x.id LIMIT $2");
                (sql, Vec::new())
            }
            Among::Members(organization) => {
                let by_group = self.by_group("a.organization_id = $3");
                let sql = format!(
                    "SELECT DISTINCT id FROM ( \
                       (SELECT DISTINCT a.{column} AS id FROM user_role_assignments a \
                        WHERE a.organization_id = $3 AND a.{column} > $1 ORDER BY 1 LIMIT $2) \
                       {by_group}) AS found ORDER BY id LIMIT $2"
                );
                (sql, vec![(*organization).into()])
            }
            Among::Holders {
                permission,
                places,
                besides,
                within,
            } => {
                let mut values: Vec<Value> = vec![
                    sufficient(permission).into(),
                    now.into(),
                    (*besides).into(),
                    (*within).into(),
                ];
                let sql = self.holders(places, &mut values);
                (sql, values)
            }
        }
    }

    /// A query for those who hold a role at one of `places`: of the permissions `$3`, at the time
    /// `$4`; and `$5`; of the organization `$6`.
    fn holders(&self, places: &[ResourceRef], values: &mut Vec<Value>) -> String {
        let column = self.column;
        let mut arms =
            vec!["SELECT $5::uuid AS id WHERE $5::uuid > $1 AND $6::uuid IS NULL".to_owned()];
        for place in places {
            let is_system = *place == ResourceRef::SYSTEM;
            let here = condition(place, values);
            // Who holds a role at any other place of the path is in the organization by it.
            let member = if is_system {
                self.is_member()
            } else {
                String::new()
            };
            let holds = format!(
                "{here}{member} AND a.role_id = ANY (ARRAY(SELECT id FROM carrying)) \
                 AND (a.expires_at IS NULL OR a.expires_at > $4)"
            );
            // Groups hold nothing at the system.
            let by_group = if is_system {
                String::new()
            } else {
                self.by_group(&holds)
            };
            arms.push(format!(
                "(SELECT DISTINCT a.{column} AS id FROM user_role_assignments a \
                  WHERE {holds} AND a.{column} > $1 ORDER BY 1 LIMIT $2) {by_group}"
            ));
        }
        format!(
            "WITH carrying AS MATERIALIZED (SELECT id FROM roles WHERE permissions && $3::text[]) \
             SELECT DISTINCT id FROM ({}) AS found ORDER BY id LIMIT $2",
            arms.join(" UNION ALL ")
        )
    }
}

/// That an assignment `a` is on this place.
fn condition(place: &ResourceRef, values: &mut Vec<Value>) -> String {
    // Two parameters stand before those in `values`.
    let mut next = |value: Value| {
        values.push(value);
        format!("${}", values.len() + 2)
    };
    let kind = next(place.kind.as_str().into());
    match place.id {
        None => format!("a.resource_type = {kind} AND a.resource_id IS NULL"),
        Some(id) => {
            let id = next(id.into());
            format!("a.resource_type = {kind} AND a.resource_id = {id}")
        }
    }
}

#[derive(FromQueryResult)]
struct Row {
    id: Uuid,
}

/// Ids of principals of this type after `after`.
pub(super) async fn ids(
    state: &AppState,
    kind: PrincipalType,
    among: &Among,
    after: Option<Uuid>,
    limit: usize,
) -> Result<Vec<Uuid>, DbErr> {
    let (sql, more) = Way::of(kind).sql(among, state.clock.now());
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let mut values: Vec<Value> = vec![after.unwrap_or_default().into(), limit.into()];
    values.extend(more);
    let tx = Tx::begin(state, &Scope::System).await?;
    let statement = Statement::from_sql_and_values(tx.get_database_backend(), sql, values);
    let rows = Row::find_by_statement(statement).all(&*tx).await?;
    tx.commit().await?;
    Ok(rows.into_iter().map(|row| row.id).collect())
}
