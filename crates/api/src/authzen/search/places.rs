//! Resources that may be found, page by page in the order of their ids.
//!
//! Each place that a role is held at has its own way through an index, and at most one page is
//! taken from each, so the first page of a million costs what a page of a few does.

use sea_orm::{ConnectionTrait, DbErr, FromQueryResult, Statement, Value};
use uuid::Uuid;

use crate::{
    access::{
        registered::{self, Registered},
        resource::{Located, ResourceRef, ResourceType},
    },
    database::tx::{Scope, Tx},
    roles::reach::Reach,
    state::AppState,
};

/// Where to look.
#[derive(Debug, Default)]
pub(super) struct Ground {
    /// In these organizations only; none: in all.
    within: Option<Vec<Uuid>>,
    /// All that there is.
    everywhere: bool,
    organizations: Vec<Uuid>,
    accounts: Vec<Uuid>,
    projects: Vec<Uuid>,
    things: Vec<Uuid>,
}

impl Ground {
    /// All that is in the organizations `within`.
    pub(super) fn all(within: Option<Vec<Uuid>>) -> Self {
        Self {
            organizations: within.clone().unwrap_or_default(),
            everywhere: within.is_none(),
            within,
            ..Self::default()
        }
    }

    /// What `reach` comes to in the organizations `within`.
    pub(super) fn of(reach: Reach, within: Option<Vec<Uuid>>) -> Self {
        if reach.everywhere {
            return Self::all(within);
        }
        let is_within = |id: &Uuid| within.as_ref().is_none_or(|within| within.contains(id));
        Self {
            everywhere: false,
            organizations: reach.organizations.into_iter().filter(is_within).collect(),
            accounts: reach.accounts,
            projects: reach.projects,
            things: reach.things,
            within,
        }
    }

    /// Whether nothing of ours is there.
    pub(super) fn is_empty(&self) -> bool {
        !self.everywhere
            && self.organizations.is_empty()
            && self.accounts.is_empty()
            && self.projects.is_empty()
    }

    /// Whether there are things that applications registered, for roles on these themselves.
    pub(super) fn has_things(&self) -> bool {
        !self.things.is_empty()
    }

    /// The rows that a transaction has to see.
    fn scope(&self) -> Scope {
        match &self.within {
            Some(within) => Scope::Organizations(within.clone()),
            None => Scope::System,
        }
    }
}

/// How the ids of one type are found: its table, and the columns of what stands above it.
struct Way<'a> {
    table: &'a str,
    /// A further condition, of `x`.
    only: &'a str,
    organization: Option<&'a str>,
    account: Option<&'a str>,
    project: Option<&'a str>,
    /// Whether roles can be held on these themselves, by ids that are not in the columns.
    of_things: bool,
}

impl Way<'_> {
    /// A query for the ids after `$1`, `$2` of them; `$3` to `$5` are the places, and `$6` things.
    fn sql(&self, everywhere: bool) -> String {
        let Self { table, only, .. } = self;
        if everywhere {
            return format!(
                "SELECT x.id FROM {table} x WHERE x.id > $1 {only} ORDER BY x.id LIMIT $2"
            );
        }
        let columns = [
            (self.organization, "$3"),
            (self.account, "$4"),
            (self.project, "$5"),
        ];
        let arms = columns.map(|(column, places)| match column {
            Some(column) => format!(
                "SELECT f.id FROM unnest({places}::uuid[]) AS p (id) CROSS JOIN LATERAL ( \
                   SELECT x.id FROM {table} x WHERE x.{column} = p.id AND x.id > $1 {only} \
                   ORDER BY x.id LIMIT $2) f"
            ),
            // Keeps the number of parameters, and finds nothing.
            None => format!("SELECT p.id FROM unnest({places}::uuid[]) AS p (id) WHERE false"),
        });
        let mut arms = arms.to_vec();
        if self.of_things {
            arms.push(format!(
                "SELECT x.id FROM {table} x WHERE x.id = ANY ($6::uuid[]) AND x.id > $1 {only}"
            ));
            arms.push(format!(
                "SELECT f.id FROM unnest($6::uuid[]) AS p (id) CROSS JOIN LATERAL ( \
                   SELECT x.id FROM {table} x WHERE x.ancestors @> ARRAY[p.id] AND x.id > $1 {only} \
                   ORDER BY x.id LIMIT $2) f"
            ));
        }
        format!(
            "SELECT DISTINCT id FROM ({}) AS found ORDER BY id LIMIT $2",
            arms.join(" UNION ALL ")
        )
    }

    fn values(&self, ground: &Ground, after: Option<Uuid>, limit: usize) -> Vec<Value> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let mut values: Vec<Value> = vec![after.unwrap_or_default().into(), limit.into()];
        if !ground.everywhere {
            values.push(ground.organizations.clone().into());
            values.push(ground.accounts.clone().into());
            values.push(ground.projects.clone().into());
            if self.of_things {
                values.push(ground.things.clone().into());
            }
        }
        values
    }
}

#[derive(FromQueryResult)]
struct Row {
    id: Uuid,
    organization_id: Uuid,
    account_id: Option<Uuid>,
    owner_id: Option<Uuid>,
}

/// Organizations, accounts or projects on `ground` after `after`.
pub(super) async fn ours(
    state: &AppState,
    kind: ResourceType,
    ground: &Ground,
    after: Option<Uuid>,
    limit: usize,
) -> Result<Vec<Located>, DbErr> {
    let (way, columns) = match kind {
        ResourceType::Organization => (
            Way {
                table: "organizations",
                only: "",
                organization: Some("id"),
                account: None,
                project: None,
                of_things: false,
            },
            "t.id AS organization_id, NULL::uuid AS account_id, NULL::uuid AS owner_id",
        ),
        ResourceType::Account => (
            Way {
                table: "accounts",
                only: "",
                organization: Some("organization_id"),
                account: Some("id"),
                project: None,
                of_things: false,
            },
            "t.organization_id, t.id AS account_id, NULL::uuid AS owner_id",
        ),
        ResourceType::Project => (
            Way {
                table: "projects",
                only: "",
                organization: Some("organization_id"),
                account: Some("account_id"),
                project: Some("id"),
                of_things: false,
            },
            "t.organization_id, t.account_id, t.owner_id",
        ),
        ResourceType::System
        | ResourceType::User
        | ResourceType::ServiceAccount
        | ResourceType::Registered => {
            return Ok(Vec::new());
        }
    };
    let sql = format!(
        "SELECT t.id, {columns} FROM ({}) AS page JOIN {} t ON t.id = page.id ORDER BY t.id",
        way.sql(ground.everywhere),
        way.table,
    );
    let tx = Tx::begin(state, &ground.scope()).await?;
    let values = way.values(ground, after, limit);
    let statement = Statement::from_sql_and_values(tx.get_database_backend(), sql, values);
    let rows = Row::find_by_statement(statement).all(&*tx).await?;
    tx.commit().await?;
    Ok(rows.into_iter().map(|row| located(kind, &row)).collect())
}

fn located(kind: ResourceType, row: &Row) -> Located {
    let mut path = vec![
        ResourceRef::SYSTEM,
        ResourceRef::new(ResourceType::Organization, row.organization_id),
    ];
    path.extend(
        row.account_id
            .map(|id| ResourceRef::new(ResourceType::Account, id)),
    );
    let resource = ResourceRef::new(kind, row.id);
    if kind == ResourceType::Project {
        path.push(resource);
    }
    Located {
        resource,
        path: path.into(),
        owner_id: row.owner_id,
    }
}

/// Registered things of one type on `ground` after `after`.
pub(super) async fn registered(
    state: &AppState,
    kind: &str,
    ground: &Ground,
    after: Option<Uuid>,
    limit: usize,
) -> Result<Vec<Registered>, DbErr> {
    let kind_at = if ground.everywhere { "$3" } else { "$7" };
    let way = Way {
        table: "resources",
        only: &format!("AND x.type = {kind_at}"),
        organization: Some("organization_id"),
        account: Some("account_id"),
        project: Some("project_id"),
        of_things: true,
    };
    let sql = format!(
        "SELECT {} FROM ({}) AS page JOIN resources r ON r.id = page.id ORDER BY r.id",
        registered::COLUMNS,
        way.sql(ground.everywhere),
    );
    let mut values = way.values(ground, after, limit);
    values.push(kind.into());
    let tx = Tx::begin(state, &ground.scope()).await?;
    let statement = Statement::from_sql_and_values(tx.get_database_backend(), sql, values);
    let rows = registered::Row::find_by_statement(statement)
        .all(&*tx)
        .await?;
    tx.commit().await?;
    Ok(rows.into_iter().map(Into::into).collect())
}
