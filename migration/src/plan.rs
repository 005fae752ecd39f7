//! What taking the missing steps would mean for those who use the database meanwhile, and what
//! taking steps back would throw away. Only reads.

use std::collections::{BTreeMap, BTreeSet};

use sea_orm_migration::{
    prelude::*,
    sea_orm::{DatabaseConnection, DbBackend, Statement, TransactionTrait},
};

use crate::{
    Migrator,
    runner::{MigrateError, status},
    statements::{self, Drop, Mode, Table, Taken},
};

/// Reading so many rows takes no time that anybody notices.
const FEW: i64 = 10_000;

/// A missing step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Planned {
    /// Its name.
    pub name: String,
    /// The locks that it takes on tables that are there, the strongest for each.
    pub locks: Vec<PlannedLock>,
    /// Tables that it makes.
    pub makes: Vec<String>,
}

impl Planned {
    /// Whether nobody waits for longer than an instant.
    pub fn is_online(&self) -> bool {
        self.locks.iter().all(PlannedLock::is_brief)
    }
}

/// A lock of a missing step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedLock {
    /// On which table.
    pub table: String,
    /// Which.
    pub mode: Mode,
    /// What takes time in proportion to the table while it is held.
    pub work: Vec<&'static str>,
    /// How many rows the server believes the table to have; `None` if it has not counted yet.
    pub rows: Option<i64>,
}

impl PlannedLock {
    /// Whether it is held for an instant, or keeps nobody waiting.
    pub fn is_brief(&self) -> bool {
        let is_slow = !self.work.is_empty() && self.rows.is_none_or(|rows| rows > FEW);
        !(is_slow && self.mode >= Mode::Share)
    }
}

/// The missing steps, in the order in which they would be taken.
///
/// # Errors
///
/// The database's.
pub async fn plan(db: &DatabaseConnection) -> Result<Vec<Planned>, MigrateError> {
    let pending = status(db).await?.pending;
    let sizes = sizes(db).await?;
    let mut made = BTreeSet::new();
    let mut planned = Vec::new();
    for step in Migrator::steps() {
        if !pending.contains(&step.name().to_owned()) {
            continue;
        }
        let before: BTreeSet<String> = made.clone();
        let mut locks: BTreeMap<String, PlannedLock> = BTreeMap::new();
        for statement in statements::split(step.up) {
            for taken in statements::locks(&statement, &mut made) {
                merge(&mut locks, taken, &sizes);
            }
        }
        planned.push(Planned {
            name: step.name().to_owned(),
            locks: locks.into_values().collect(),
            makes: made.difference(&before).cloned().collect(),
        });
    }
    Ok(planned)
}

fn merge(locks: &mut BTreeMap<String, PlannedLock>, taken: Taken, sizes: &Sizes) {
    let table = match taken.table {
        Table::Named(name) => name,
        Table::OfIndex(index) => match sizes.indexes.get(&index) {
            Some(table) => table.clone(),
            None => return,
        },
    };
    let rows = sizes.rows.get(&table).copied().flatten();
    let lock = locks.entry(table.clone()).or_insert(PlannedLock {
        table,
        mode: taken.mode,
        work: Vec::new(),
        rows,
    });
    lock.mode = lock.mode.max(taken.mode);
    if let Some(work) = taken.work
        && !lock.work.contains(&work)
    {
        lock.work.push(work);
    }
}

/// What the server believes of the tables.
struct Sizes {
    rows: BTreeMap<String, Option<i64>>,
    indexes: BTreeMap<String, String>,
}

async fn sizes(db: &DatabaseConnection) -> Result<Sizes, MigrateError> {
    let query = |sql: &str| Statement::from_string(DbBackend::Postgres, sql);
    // A table that was never counted has -1; one without a page has no rows. Partitions add up.
    let rows = db
        .query_all_raw(query(
            "SELECT t.relname, CASE WHEN bool_or(p.reltuples < 0 AND pg_relation_size(p.oid) > 0)
                 THEN NULL ELSE sum(greatest(p.reltuples, 0))::bigint END AS rows
             FROM pg_class t CROSS JOIN LATERAL (
                 SELECT c.oid, c.reltuples FROM pg_class c
                 WHERE c.oid = t.oid OR c.oid IN (SELECT relid FROM pg_partition_tree(t.oid))
             ) p
             WHERE t.relnamespace = current_schema()::regnamespace AND t.relkind IN ('r', 'p')
             GROUP BY t.oid, t.relname",
        ))
        .await?;
    let indexes = db
        .query_all_raw(query(
            "SELECT i.relname AS index, t.relname AS \"table\" FROM pg_index x
             JOIN pg_class i ON i.oid = x.indexrelid JOIN pg_class t ON t.oid = x.indrelid
             WHERE i.relnamespace = current_schema()::regnamespace",
        ))
        .await?;
    let mut sizes = Sizes {
        rows: BTreeMap::new(),
        indexes: BTreeMap::new(),
    };
    for row in rows {
        let name: String = row.try_get("", "relname")?;
        sizes.rows.insert(name, row.try_get("", "rows")?);
    }
    for row in indexes {
        let index: String = row.try_get("", "index")?;
        sizes.indexes.insert(index, row.try_get("", "table")?);
    }
    Ok(sizes)
}

/// What a step back would throw away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loss {
    /// The step.
    pub step: String,
    /// A table, or a table and a column.
    pub what: String,
    /// How many rows have something there.
    pub rows: i64,
}

/// What is in the database and would be gone after taking `steps` back, and forwards again.
///
/// # Errors
///
/// The database's.
pub async fn losses(db: &DatabaseConnection, steps: &[String]) -> Result<Vec<Loss>, MigrateError> {
    let transaction = db.begin().await?;
    // Row-level security holds for the owner too.
    transaction
        .execute_unprepared("SET LOCAL app.scope = 'system'; SET LOCAL statement_timeout = 0")
        .await?;
    let mut losses = Vec::new();
    for step in Migrator::steps() {
        if !steps.contains(&step.name().to_owned()) {
            continue;
        }
        for drop in statements::split(step.down)
            .iter()
            .flat_map(|statement| statements::drops(statement))
        {
            if let Some((what, rows)) = count(&transaction, &drop).await? {
                losses.push(Loss {
                    step: step.name().to_owned(),
                    what,
                    rows,
                });
            }
        }
    }
    transaction.rollback().await?;
    Ok(losses)
}

/// How many rows go with it, if there are any.
async fn count(
    db: &impl ConnectionTrait,
    drop: &Drop,
) -> Result<Option<(String, i64)>, MigrateError> {
    let (Drop::Table(table) | Drop::Column(table, _) | Drop::Rows(table, _)) = drop;
    let number = async |sql: String| -> Result<i64, MigrateError> {
        let row = db
            .query_one_raw(Statement::from_string(DbBackend::Postgres, sql))
            .await?;
        Ok(row.map_or(Ok(0), |row| row.try_get("", "n"))?)
    };
    // Made by the way back itself.
    if number(format!(
        "SELECT (to_regclass('{table}') IS NOT NULL)::int::bigint AS n"
    ))
    .await?
        == 0
    {
        return Ok(None);
    }
    let (what, sql) = match drop {
        Drop::Table(_) => (table.clone(), format!("SELECT count(*) AS n FROM {table}")),
        Drop::Rows(_, rest) => (
            table.clone(),
            format!("SELECT count(*) AS n FROM {table} {rest}"),
        ),
        Drop::Column(_, column) => {
            let default = default_of(db, table, column).await?;
            (
                format!("{table}.{column}"),
                format!(
                    "SELECT count(*) AS n FROM {table} WHERE {column} IS DISTINCT FROM {default}"
                ),
            )
        }
    };
    let rows = number(sql).await?;
    Ok((rows > 0).then_some((what, rows)))
}

/// What a column has where nobody has said anything, as SQL.
async fn default_of(
    db: &impl ConnectionTrait,
    table: &str,
    column: &str,
) -> Result<String, MigrateError> {
    let row = db
        .query_one_raw(Statement::from_sql_and_values(
            DbBackend::Postgres,
            "SELECT pg_get_expr(d.adbin, d.adrelid) AS expression FROM pg_attribute a
             JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
             WHERE a.attrelid = to_regclass($1) AND a.attname = $2",
            [table.into(), column.into()],
        ))
        .await?;
    Ok(match row {
        Some(row) => format!("({})", row.try_get::<String>("", "expression")?),
        None => "NULL".to_owned(),
    })
}
