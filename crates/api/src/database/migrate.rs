//! Migrating from within the program: for `gatepost dev` and `AUTO_MIGRATE`.

use anyhow::Context;

use super::{pool, url::DatabaseUrl};
use crate::config::DatabaseConfig;

/// Brings the schema up to date as the role of `owner`, and gives `api_role` its rights
/// if that is another role. Returns the names of the steps taken.
///
/// # Errors
///
/// Why the schema could not be brought up to date.
pub async fn migrate(
    config: &DatabaseConfig,
    owner: &DatabaseUrl,
    api_role: &str,
) -> anyhow::Result<Vec<String>> {
    let options = pool::primary(config, owner)
        .await
        .context("the database cannot be reached for migrations")?;
    let db = migration::connect(options)
        .await
        .context("the database cannot be reached for migrations")?;
    let applied = migration::up(&db, &config.schema).await?;
    if owner.user() != api_role {
        migration::grant_api_role(&db, api_role).await?;
    }
    db.close().await?;
    Ok(applied)
}
