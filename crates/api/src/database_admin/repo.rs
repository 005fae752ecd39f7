//! The statements of [`crate::database::stats`], asked through the pool.

use sea_orm::{ConnectionTrait, DbErr, Statement};
use serde::de::DeserializeOwned;

use super::model::Encryption;

/// How the connection that asks is encrypted.
pub async fn encryption(db: &impl ConnectionTrait) -> Result<Encryption, DbErr> {
    let sql = "SELECT coalesce((SELECT json_build_object('used', ssl, 'version', version, 'cipher', cipher) \
                 FROM pg_stat_ssl WHERE pid = pg_backend_pid()), json_build_object('used', false))::text AS document";
    document(db, sql).await
}

/// The document that a statement answers with.
pub async fn document<T: DeserializeOwned>(
    db: &impl ConnectionTrait,
    sql: &str,
) -> Result<T, DbErr> {
    let statement = Statement::from_string(db.get_database_backend(), sql);
    let row = db.query_one_raw(statement).await?;
    let row = row.ok_or_else(|| DbErr::RecordNotFound("a document without a row".to_owned()))?;
    let text: String = row.try_get("", "document")?;
    serde_json::from_str(&text).map_err(|error| DbErr::Custom(error.to_string()))
}
