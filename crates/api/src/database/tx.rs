//! One transaction: what it may see, and what others must forget after it.
//!
//! Row-level security reads the settings made here; they end with the
//! transaction, so this works behind a pooler in transaction mode.

use std::ops::Deref;

use sea_orm::DbErr;
use uuid::Uuid;

use super::db::DbTx;
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
    inner: DbTx,
    state: &'a AppState,
    changes: Vec<Change>,
}

impl<'a> Tx<'a> {
    /// Begins one that sees the rows of `scope` and no statement of which runs for ever.
    pub async fn begin(state: &'a AppState, scope: &Scope) -> Result<Tx<'a>, DbErr> {
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
        // Sent along with BEGIN: ids and these names need no quoting.
        let settings = format!(
            " SET LOCAL lock_timeout = 3000; SET LOCAL idle_in_transaction_session_timeout = 15000; \
             SELECT set_config('app.scope', '{name}', true), \
             set_config('app.organization_ids', '{organizations}', true), \
             set_config('app.user_id', '{user}', true)"
        );
        let inner = state.db.begin_with(&settings).await?;
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
    type Target = DbTx;

    fn deref(&self) -> &DbTx {
        &self.inner
    }
}
