//! One transaction: what it may see, and what others must forget after it.
//!
//! Row-level security reads the settings made here; they end with the
//! transaction, so this works behind a pooler in transaction mode.

use std::ops::Deref;

use sea_orm::{ConnectionTrait, DatabaseTransaction, DbErr, Statement, TransactionTrait};
use uuid::Uuid;

use crate::{access::cache::Change, state::AppState};

/// The tenants' rows that a transaction sees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// All of them: for what the policy allowed at the system, and for looking up who holds what.
    System,
    /// Those of these organizations.
    Organizations(Vec<Uuid>),
    /// Those of these organizations, and the assignments of this user.
    Member(Uuid, Vec<Uuid>),
    /// None: tables that belong to no tenant.
    None,
}

/// A transaction. Dropping it rolls back.
pub struct Tx<'a> {
    inner: DatabaseTransaction,
    state: &'a AppState,
    changes: Vec<Change>,
}

impl<'a> Tx<'a> {
    /// Begins one that sees the rows of `scope` and no statement of which runs for ever.
    pub async fn begin(state: &'a AppState, scope: &Scope) -> Result<Tx<'a>, DbErr> {
        let inner = state.db.begin().await?;
        let join = |ids: &[Uuid]| {
            let ids: Vec<_> = ids.iter().map(Uuid::to_string).collect();
            ids.join(",")
        };
        let (name, organizations, user) = match scope {
            Scope::System => ("system", String::new(), String::new()),
            Scope::Organizations(ids) => ("", join(ids), String::new()),
            Scope::Member(user, ids) => ("", join(ids), user.to_string()),
            Scope::None => ("", String::new(), String::new()),
        };
        let timeout = state
            .config
            .database
            .statement_timeout
            .as_millis()
            .to_string();
        let settings = Statement::from_sql_and_values(
            inner.get_database_backend(),
            "SELECT set_config('app.scope', $1, true), set_config('app.organization_ids', $2, true), \
             set_config('app.user_id', $3, true), set_config('statement_timeout', $4, true), \
             set_config('lock_timeout', '3000', true), \
             set_config('idle_in_transaction_session_timeout', '15000', true)",
            [
                name.into(),
                organizations.into(),
                user.into(),
                timeout.into(),
            ],
        );
        inner.execute_raw(settings).await?;
        Ok(Self {
            inner,
            state,
            changes: Vec::new(),
        })
    }

    /// Notes what the caches have to forget once this is committed.
    pub fn changed(&mut self, change: Change) {
        self.changes.push(change);
    }

    /// Commits. This instance has forgotten what changed when this returns;
    /// others are told by the triggers of the tables.
    ///
    /// # Errors
    ///
    /// Also when the answer to the commit was lost: then nobody knows whether it happened.
    pub async fn commit(self) -> Result<(), DbErr> {
        let result = self.inner.commit().await;
        for change in &self.changes {
            self.state.cache.forget(change);
        }
        result
    }
}

impl Deref for Tx<'_> {
    type Target = DatabaseTransaction;

    fn deref(&self) -> &DatabaseTransaction {
        &self.inner
    }
}
