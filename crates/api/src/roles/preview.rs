//! What a change would do to who may do what: the accesses gained and lost.
//!
//! The change is made in a transaction that is rolled back. Before and after it, the database is
//! asked what those concerned hold; the difference is the answer. Only roles are looked at: what
//! an operator's own rules allow or deny besides cannot be listed.

use std::collections::{BTreeSet, HashMap};

use chrono::{DateTime, Utc};
use sea_orm::{ConnectionTrait, DbErr, FromQueryResult, Statement, Value};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::reach::lacking;
use crate::{
    access::{
        actor::{Holder, HolderType, Principal, PrincipalType},
        resource::{ResourceRef, ResourceType},
    },
    policy::Place,
    role_assignments::model::ResourceName,
};

/// People, and accesses, that an answer has at most.
const MOST: usize = 1000;

/// What would be different.
#[derive(Debug, Serialize, ToSchema)]
pub struct AccessChange {
    /// Always `true`: nothing was changed.
    pub dry_run: bool,
    /// What somebody could do afterwards and cannot now.
    pub gained: Vec<Access>,
    /// What somebody can do now and could not afterwards.
    pub lost: Vec<Access>,
    /// Whether there is more than stands here: an answer looks at 1,000 pairs of a principal and a
    /// resource, and has 1,000 accesses gained and 1,000 lost, at most.
    pub truncated: bool,
}

/// What a change that can be tried answers: what it made, or what it would do.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
pub enum Outcome<T> {
    /// With `dry_run=true`.
    Tried(AccessChange),
    /// Else.
    Done(T),
}

/// That a principal may do something to a resource, and to what is below it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Access {
    /// Who.
    pub principal: Principal,
    /// What: `type:verb`, or a pattern as roles have them.
    #[schema(example = "project:update")]
    pub permission: String,
    /// On what, and on all below.
    pub resource: ResourceName,
}

/// Whom a change concerns.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Affected {
    /// All who hold this role, where they hold it.
    Role(Uuid),
    /// One holder on one resource.
    Holder(Holder, ResourceRef),
    /// All who hold something on a project or on what stands above it, here or at the account that
    /// it moves to.
    Move {
        /// The project.
        project: Uuid,
        /// Its account afterwards.
        account: Uuid,
    },
}

/// A change about to be tried.
pub(crate) struct Preview {
    pairs: Vec<Pair>,
    /// What applications call what they registered, of all that the pairs are about.
    names: HashMap<Uuid, ResourceName>,
    before: Vec<Vec<String>>,
    truncated: bool,
}

#[derive(Clone, Copy, Debug)]
struct Pair {
    principal_type: &'static str,
    principal_id: Uuid,
    kind: ResourceType,
    /// Nil for the system.
    resource_id: Uuid,
}

/// Remembers what those concerned hold before the change. The transaction has to see every tenant.
pub(crate) async fn begin(
    txn: &impl ConnectionTrait,
    affected: Affected,
    now: DateTime<Utc>,
) -> Result<Preview, DbErr> {
    let mut pairs = concerned(txn, affected, now).await?;
    let truncated = pairs.len() > MOST;
    pairs.truncate(MOST);
    let before = held(txn, &pairs, now).await?;
    let names = names(txn, &pairs).await?;
    Ok(Preview {
        pairs,
        names,
        before,
        truncated,
    })
}

impl Preview {
    /// Compares with what they hold now, after the change.
    pub(crate) async fn finish(
        self,
        txn: &impl ConnectionTrait,
        now: DateTime<Utc>,
    ) -> Result<AccessChange, DbErr> {
        let after = held(txn, &self.pairs, now).await?;
        let (mut gained, mut lost) = (Vec::new(), Vec::new());
        for ((pair, before), after) in self.pairs.iter().zip(&self.before).zip(&after) {
            gained.extend(self.accesses(pair, lacking(before, after))?);
            lost.extend(self.accesses(pair, lacking(after, before))?);
        }
        let truncated = self.truncated || gained.len() > MOST || lost.len() > MOST;
        gained.truncate(MOST);
        lost.truncate(MOST);
        Ok(AccessChange {
            dry_run: true,
            gained,
            lost,
            truncated,
        })
    }

    fn accesses(&self, pair: &Pair, permissions: Vec<String>) -> Result<Vec<Access>, DbErr> {
        let unknown = || DbErr::Type(format!("{pair:?} names an unknown type"));
        let principal = Principal {
            r#type: pair.principal_type.parse().map_err(|()| unknown())?,
            id: pair.principal_id,
        };
        let ours = || ResourceRef {
            kind: pair.kind,
            id: (!pair.resource_id.is_nil()).then_some(pair.resource_id),
        };
        let resource = match pair.kind {
            ResourceType::Registered => self.names.get(&pair.resource_id).cloned(),
            _ => Some(ours().into()),
        };
        let resource = resource.ok_or_else(unknown)?;
        let permissions: BTreeSet<_> = permissions.into_iter().collect();
        let access = |permission| Access {
            principal,
            permission,
            resource: resource.clone(),
        };
        Ok(permissions.into_iter().map(access).collect())
    }
}

#[derive(FromQueryResult)]
struct Name {
    id: Uuid,
    kind: String,
    external_id: String,
}

async fn names(
    txn: &impl ConnectionTrait,
    pairs: &[Pair],
) -> Result<HashMap<Uuid, ResourceName>, DbErr> {
    let of_things = pairs
        .iter()
        .filter(|pair| pair.kind == ResourceType::Registered);
    let ids: Vec<Uuid> = of_things.map(|pair| pair.resource_id).collect();
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    let sql = "SELECT id, type AS kind, external_id FROM resources WHERE id = ANY ($1::uuid[])";
    let values = [ids.into()];
    let statement = Statement::from_sql_and_values(txn.get_database_backend(), sql, values);
    let rows = Name::find_by_statement(statement).all(txn).await?;
    let name = |row: Name| (row.id, Place::new(row.kind, row.external_id).into());
    Ok(rows.into_iter().map(name).collect())
}

#[derive(FromQueryResult)]
struct Row {
    principal_type: String,
    principal_id: Uuid,
    resource_type: String,
    resource_id: Option<Uuid>,
}

/// Who an assignment `a` stands for: the members of a group for the group.
const HOLDERS: &str = "LEFT JOIN group_members m ON m.group_id = a.group_id \
    CROSS JOIN LATERAL (SELECT \
        CASE WHEN a.service_account_id IS NULL THEN 'user' ELSE 'service_account' END AS principal_type, \
        COALESCE(a.user_id, a.service_account_id, m.user_id) AS principal_id) h";

/// Up to one pair more than an answer looks at.
async fn concerned(
    txn: &impl ConnectionTrait,
    affected: Affected,
    now: DateTime<Utc>,
) -> Result<Vec<Pair>, DbErr> {
    let most = i64::try_from(MOST).unwrap_or(i64::MAX) + 1;
    let (sql, values): (String, Vec<Value>) = match affected {
        Affected::Holder(holder, resource) if holder.r#type == HolderType::Group => (
            "SELECT 'user' AS principal_type, user_id AS principal_id, $2 AS resource_type, \
                    $3::uuid AS resource_id \
             FROM group_members WHERE group_id = $1 ORDER BY user_id LIMIT $4"
                .to_owned(),
            vec![
                holder.id.into(),
                resource.kind.as_str().into(),
                resource.id.into(),
                most.into(),
            ],
        ),
        Affected::Holder(holder, resource) => {
            let pair = Pair {
                principal_type: holder.r#type.as_str(),
                principal_id: holder.id,
                kind: resource.kind,
                resource_id: resource.id.unwrap_or_default(),
            };
            return Ok(vec![pair]);
        }
        Affected::Role(id) => (
            format!(
                "SELECT DISTINCT h.principal_type, h.principal_id, a.resource_type, a.resource_id \
                 FROM user_role_assignments a {HOLDERS} \
                 WHERE a.role_id = $1 AND h.principal_id IS NOT NULL \
                   AND (a.expires_at IS NULL OR a.expires_at > $2) \
                 ORDER BY 1, 2, 3, 4 LIMIT $3"
            ),
            vec![id.into(), now.into(), most.into()],
        ),
        Affected::Move { project, account } => (
            format!(
                "WITH places AS (SELECT p.id AS project, c.id AS account, c.organization_id AS organization \
                     FROM projects p JOIN accounts c ON c.id IN (p.account_id, $2) WHERE p.id = $1) \
                 SELECT DISTINCT h.principal_type, h.principal_id, \
                        CASE a.resource_type WHEN 'resource' THEN 'resource' ELSE 'project' END AS resource_type, \
                        CASE a.resource_type WHEN 'resource' THEN a.resource_id ELSE $1 END AS resource_id \
                 FROM user_role_assignments a {HOLDERS} \
                 WHERE h.principal_id IS NOT NULL AND (a.expires_at IS NULL OR a.expires_at > $3) \
                   AND ((a.resource_type = 'project' AND a.resource_id = $1) \
                     OR (a.resource_type = 'resource' \
                         AND a.resource_id IN (SELECT id FROM resources WHERE project_id = $1)) \
                     OR (a.resource_type = 'account' AND a.resource_id IN (SELECT account FROM places)) \
                     OR (a.resource_type = 'organization' \
                         AND (SELECT count(DISTINCT organization) FROM places) > 1 \
                         AND a.resource_id IN (SELECT organization FROM places))) \
                 ORDER BY 1, 2, 3, 4 LIMIT $4"
            ),
            vec![project.into(), account.into(), now.into(), most.into()],
        ),
    };
    let statement = Statement::from_sql_and_values(txn.get_database_backend(), sql, values);
    let rows = Row::find_by_statement(statement).all(txn).await?;
    rows.iter().map(pair).collect()
}

fn pair(row: &Row) -> Result<Pair, DbErr> {
    let unknown = |()| DbErr::Type("a role assignment names an unknown type".to_owned());
    let principal_type: PrincipalType = row.principal_type.parse().map_err(unknown)?;
    let kind = ResourceType::stored(&row.resource_type).ok_or_else(|| unknown(()))?;
    Ok(Pair {
        principal_type: principal_type.as_str(),
        principal_id: row.principal_id,
        kind,
        resource_id: row.resource_id.unwrap_or_default(),
    })
}

#[derive(FromQueryResult)]
struct Carried {
    pair: i64,
    permissions: Vec<String>,
}

/// What each principal of `pairs` holds on its resource, from there up to the system.
async fn held(
    txn: &impl ConnectionTrait,
    pairs: &[Pair],
    now: DateTime<Utc>,
) -> Result<Vec<Vec<String>>, DbErr> {
    let sql = "SELECT q.pair, r.permissions \
         FROM unnest($1::uuid[], $2::text[], $3::uuid[]) WITH ORDINALITY \
             AS q (principal, kind, resource, pair) \
         LEFT JOIN resources t ON q.kind = 'resource' AND t.id = q.resource \
         LEFT JOIN projects p ON p.id = CASE q.kind WHEN 'project' THEN q.resource ELSE t.project_id END \
         LEFT JOIN accounts c ON c.id = CASE q.kind WHEN 'account' THEN q.resource \
             ELSE COALESCE(p.account_id, t.account_id) END \
         CROSS JOIN LATERAL ( \
             SELECT own.* FROM user_role_assignments own WHERE own.user_id = q.principal \
             UNION ALL \
             SELECT own.* FROM user_role_assignments own WHERE own.service_account_id = q.principal \
             UNION ALL \
             SELECT of_group.* FROM group_members m \
             JOIN user_role_assignments of_group ON of_group.group_id = m.group_id \
             WHERE m.user_id = q.principal) a \
         JOIN roles r ON r.id = a.role_id \
         WHERE (a.expires_at IS NULL OR a.expires_at > $4) \
           AND (a.resource_type = 'system' \
             OR (a.resource_type = 'organization' AND a.resource_id = \
                 CASE q.kind WHEN 'organization' THEN q.resource \
                     ELSE COALESCE(c.organization_id, t.organization_id) END) \
             OR (a.resource_type = 'account' AND a.resource_id = c.id) \
             OR (a.resource_type = 'project' AND a.resource_id = p.id) \
             OR (a.resource_type = 'resource' \
                 AND (a.resource_id = t.id OR a.resource_id = ANY (t.ancestors))))";
    let principals: Vec<Uuid> = pairs.iter().map(|pair| pair.principal_id).collect();
    let kinds: Vec<String> = pairs
        .iter()
        .map(|pair| pair.kind.as_str().to_owned())
        .collect();
    let resources: Vec<Uuid> = pairs.iter().map(|pair| pair.resource_id).collect();
    let values: [Value; 4] = [
        principals.into(),
        kinds.into(),
        resources.into(),
        now.into(),
    ];
    let statement = Statement::from_sql_and_values(txn.get_database_backend(), sql, values);
    let rows = Carried::find_by_statement(statement).all(txn).await?;
    let mut found = vec![Vec::new(); pairs.len()];
    for row in rows {
        let index = usize::try_from(row.pair - 1).unwrap_or(usize::MAX);
        if let Some(permissions) = found.get_mut(index) {
            permissions.extend(row.permissions);
        }
    }
    Ok(found)
}
