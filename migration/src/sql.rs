//! Migrations written in SQL.

use sea_orm_migration::prelude::*;

/// One step of the schema's history: the SQL that takes it and the SQL that takes it back.
///
/// Both may hold `{pinned}`, which stands for the search path of a `SECURITY DEFINER` function: the
/// schema that the migration runs in, and nothing that a caller can add to.
pub(crate) struct SqlMigration {
    /// The name of the file, which the database keeps as the version.
    pub(crate) name: &'static str,
    pub(crate) up: &'static str,
    pub(crate) down: &'static str,
}

impl MigrationName for SqlMigration {
    fn name(&self) -> &str {
        self.name
    }
}

#[async_trait::async_trait]
impl MigrationTrait for SqlMigration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        run(manager, self.up).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        run(manager, self.down).await
    }
}

/// A migration that cannot get its locks gives up before the requests that queue behind it do (after
/// 3 s) and is tried again; how long it then works is nobody else's time-out. The scope lets it see rows of every tenant,
/// because row-level security holds for the owner of the tables too.
const SETTINGS: &str = "SET LOCAL lock_timeout = '2s';
    SET LOCAL statement_timeout = 0;
    SET LOCAL app.scope = 'system';";

async fn run(manager: &SchemaManager<'_>, sql: &str) -> Result<(), DbErr> {
    let connection = manager.get_connection();
    let row = connection
        .query_one_raw(sea_orm_migration::sea_orm::Statement::from_string(
            connection.get_database_backend(),
            "SELECT quote_ident(current_schema()) AS name",
        ))
        .await?;
    let schema: Option<String> = match row {
        Some(row) => row.try_get("", "name")?,
        None => None,
    };
    let schema = schema.ok_or_else(|| {
        DbErr::Custom("no schema of the search path exists: create it first".to_owned())
    })?;
    connection
        .execute_unprepared(&complete(sql, &schema))
        .await?;
    Ok(())
}

/// The SQL with its settings, for a schema whose name is quoted already.
pub(crate) fn complete(sql: &str, schema: &str) -> String {
    let pinned = format!("SET search_path = {schema}, pg_temp");
    format!("{SETTINGS}\n{}", sql.replace("{pinned}", &pinned))
}
