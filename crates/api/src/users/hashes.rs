//! Which kinds of password hashes users have, so that unknown logins take the time of known ones.

use std::time::Duration;

use actix_web::web::Data;
use sea_orm::{ConnectionTrait, DbErr, Statement};

use crate::state::AppState;

/// How often it is asked: after an import, for so long the times may tell.
const LOOK_EVERY: Duration = Duration::from_mins(5);
/// Kinds that are told apart; there rarely are more than three.
const KINDS: u32 = 16;

/// Asks again and again.
pub async fn watch(state: Data<AppState>) {
    loop {
        if let Err(error) = look(&state).await {
            tracing::debug!(%error, "the kinds of password hashes cannot be read; trying again");
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Tells [`crate::crypto::password::Decoys`] how many users have which kind of hash.
///
/// # Errors
///
/// The database's.
pub async fn look(state: &AppState) -> Result<(), DbErr> {
    // The kind is all before the salt, as `Format::to_text` writes it.
    let sql = format!(
        r"WITH others AS (
            SELECT substring(password_hash
                from '^(?:bcrypt_sha256\$)?\$[^$]*\$(?:v=[0-9]+\$)?[^$]*') AS kind, password_hash
            FROM users WHERE password_hash IS NOT NULL AND NOT starts_with(password_hash, $1)
        )
        SELECT NULL AS example, count(*) AS count FROM users WHERE password_hash IS NOT NULL
        UNION ALL
        (SELECT min(password_hash), count(*) FROM others WHERE kind IS NOT NULL
            GROUP BY kind ORDER BY 2 DESC LIMIT {KINDS})"
    );
    let prefix = state.hasher.current_prefix();
    let backend = state.db.get_database_backend();
    let statement = Statement::from_sql_and_values(backend, sql, [prefix.into()]);
    let (mut total, mut examples) = (0, Vec::new());
    for row in state.db.query_all_raw(statement).await? {
        let example: Option<String> = row.try_get("", "example")?;
        let count: i64 = row.try_get("", "count")?;
        let count = u64::try_from(count).unwrap_or_default();
        match example {
            Some(example) => examples.push((example, count)),
            None => total = count,
        }
    }
    state.decoys.set(total, examples);
    Ok(())
}
