//! Whose history the data has.

use std::sync::{Mutex, OnceLock, PoisonError, atomic::AtomicBool};

use sqlx::{AssertSqlSafe, PgConnection};

use super::{Refusal, facts::Facts};

/// What this process has seen of the servers that hold its database.
#[derive(Default)]
pub(super) struct Lineage {
    /// System identifier and timeline of the last primary.
    known: Mutex<Option<(i64, i32)>>,
    /// The server does not tell.
    pub(super) is_hidden: AtomicBool,
    on_change: OnceLock<Box<dyn Fn() + Send + Sync>>,
}

impl Lineage {
    pub(super) fn on_change(&self, forget: Box<dyn Fn() + Send + Sync>) {
        // Of two the first is as good: both forget the same.
        self.on_change.set(forget).ok();
    }

    /// Refuses another cluster than before, and a history that ends before what was seen.
    pub(super) fn admit(&self, facts: &Facts) -> Result<(), Refusal> {
        let Some((known_system, known)) = self.known() else {
            return Ok(());
        };
        if let Some(found) = facts.system.filter(|system| *system != known_system) {
            return Err(Refusal::OtherServer {
                found,
                known: known_system,
            });
        }
        match facts.timeline() {
            Some(found) if found < known => Err(Refusal::FormerPrimary { found, known }),
            _ => Ok(()),
        }
    }

    /// Sees to it that the database itself knows which timeline it is on. `true` if what was
    /// remembered of the one before has to be forgotten.
    pub(super) async fn adopt(
        &self,
        connection: &mut PgConnection,
        facts: &Facts,
        schema: &str,
    ) -> Result<bool, sqlx::Error> {
        let Some(found) = facts.system.zip(facts.timeline()) else {
            return Ok(false);
        };
        let known = self.known();
        if known == Some(found) || facts.is_read_only {
            return Ok(false);
        }
        let exists =
            format!("SELECT to_regprocedure('\"{schema}\".gatepost_adopt_timeline()') IS NOT NULL");
        let exists: bool = scalar(connection, exists).await?;
        if !exists {
            // A schema that is yet to be migrated has no sessions to end.
            return Ok(false);
        }
        let adopt = format!("SELECT \"{schema}\".gatepost_adopt_timeline()");
        let is_new: bool = scalar(connection, adopt).await?;
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = Some(found);
        if is_new || known.is_some() {
            tracing::warn!(
                timeline = found.1,
                "the database has a new primary: what was remembered is forgotten, and sessions end"
            );
            if let Some(forget) = self.on_change.get() {
                forget();
            }
        }
        Ok(is_new || known.is_some())
    }

    fn known(&self) -> Option<(i64, i32)> {
        *self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// By the simple protocol: see [`super::facts::read`].
async fn scalar<T>(connection: &mut PgConnection, sql: String) -> Result<T, sqlx::Error>
where
    T: for<'r> sqlx::Decode<'r, sqlx::Postgres> + sqlx::Type<sqlx::Postgres>,
{
    use sqlx::Row as _;
    let row = sqlx::raw_sql(AssertSqlSafe(sql))
        .fetch_one(connection)
        .await?;
    row.try_get(0)
}
