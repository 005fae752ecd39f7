//! Decides logged questions again, under another policy, and tells who gains and who loses.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use sea_orm::DbErr;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

use super::repo::{self, Logged, Position};
use crate::{
    policy::{Bundle, BundleFault, Decision, Embedded, Policy},
    state::AppState,
};

/// Decisions that are read at once.
const PAGE: u64 = 500;
/// Changes that are told of in full; more are counted only.
const MOST_CHANGES: usize = 500;

/// What another policy would have changed.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = PolicyReplay)]
pub struct Outcome {
    /// SHA-256 of the policy that decided anew, in hexadecimal.
    pub policy: String,
    /// The oldest decision that was decided again; none if there was none.
    pub oldest: Option<DateTime<Utc>>,
    /// Whether all decisions since then were decided again, and all changes are listed. If not,
    /// replay again with `until` set to `oldest`.
    pub complete: bool,
    /// Decisions that were decided again.
    pub replayed: u64,
    /// Decisions that stay as they were.
    pub same: u64,
    /// Decisions whose question was masked: a rule that looks at what was taken out may decide
    /// otherwise than it would have.
    pub masked: u64,
    /// Questions that the policy has no answer to, which means no.
    pub failed: u64,
    /// Questions that would be allowed now.
    pub gained: Vec<Change>,
    /// Questions that would be refused now.
    pub lost: Vec<Change>,
}

/// A question whose answer changes.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = PolicyReplayChange)]
pub struct Change {
    /// Who asked: `type:id`.
    pub subject: String,
    /// What for.
    pub action: String,
    /// On what: `type:id`.
    pub resource: String,
    /// How often it was asked.
    pub decisions: u64,
    /// When it was last asked.
    pub last_at: DateTime<Utc>,
    /// Why it was decided as it was, the last time.
    pub before: Vec<String>,
    /// Why it would be decided otherwise: the codes of the rules.
    pub after: Vec<String>,
}

/// Who, what for, on what.
type Key = (String, String, String);

/// A policy, and what it changed so far.
pub struct Replay {
    engine: Embedded,
    outcome: Outcome,
    gained: BTreeMap<Key, Change>,
    lost: BTreeMap<Key, Change>,
}

impl Replay {
    /// Compiles the policy.
    ///
    /// # Errors
    ///
    /// It cannot be used.
    pub fn new(bundle: &Bundle) -> Result<Self, BundleFault> {
        Ok(Self {
            engine: Embedded::new(bundle)?,
            outcome: Outcome {
                policy: bundle.digest().to_owned(),
                oldest: None,
                complete: true,
                replayed: 0,
                same: 0,
                masked: 0,
                failed: 0,
                gained: Vec::new(),
                lost: Vec::new(),
            },
            gained: BTreeMap::new(),
            lost: BTreeMap::new(),
        })
    }

    /// Decides again what was decided from `since` to `until`, newest first, `limit` decisions at
    /// most; `progress` hears how many that are after each page, and ends it by `false`.
    ///
    /// # Errors
    ///
    /// The database's.
    pub async fn run(
        mut self,
        state: &AppState,
        (since, until): (DateTime<Utc>, DateTime<Utc>),
        limit: u64,
        mut progress: impl FnMut(u64) -> bool,
    ) -> Result<Outcome, DbErr> {
        let mut position: Position = (until, Uuid::max());
        loop {
            let wanted = PAGE.min(limit - self.outcome.replayed);
            if wanted == 0 {
                // Perhaps it was the last one: nothing more is claimed than what was seen.
                self.outcome.complete = repo::page(state, since, position, 1).await?.is_empty();
                break;
            }
            let page = repo::page(state, since, position, wanted).await?;
            let Some(last) = page.last() else {
                break;
            };
            position = (last.at, last.id);
            for logged in &page {
                self.judge(logged).await;
            }
            self.outcome.oldest = Some(position.0);
            if !progress(self.outcome.replayed) {
                self.outcome.complete = false;
                break;
            }
            tokio::task::yield_now().await;
        }
        Ok(self.finish())
    }

    async fn judge(&mut self, logged: &Logged) {
        let outcome = &mut self.outcome;
        outcome.replayed += 1;
        outcome.masked += u64::from(!logged.masked.is_empty());
        let decision = match self.engine.decide_document(&logged.input).await {
            Ok(decision) => decision,
            Err(failure) => {
                outcome.failed += 1;
                Decision::none(&failure)
            }
        };
        let changes = match (logged.allowed, decision.allow) {
            (false, true) => &mut self.gained,
            (true, false) => &mut self.lost,
            _ => {
                outcome.same += 1;
                return;
            }
        };
        let key = key(&logged.input);
        let is_full = changes.len() >= MOST_CHANGES;
        if let Some(change) = changes.get_mut(&key) {
            change.decisions += 1;
        } else if is_full {
            outcome.complete = false;
        } else {
            let (subject, action, resource) = key.clone();
            let after = decision.reasons.into_iter().map(|reason| reason.code);
            let change = Change {
                subject,
                action,
                resource,
                decisions: 1,
                last_at: logged.at,
                before: logged.reasons.clone(),
                after: after.collect(),
            };
            changes.insert(key, change);
        }
    }

    fn finish(self) -> Outcome {
        let Self {
            mut outcome,
            gained,
            lost,
            ..
        } = self;
        let listed = |changes: BTreeMap<Key, Change>| {
            let mut changes: Vec<_> = changes.into_values().collect();
            changes.sort_by_key(|change| std::cmp::Reverse(change.decisions));
            changes
        };
        outcome.gained = listed(gained);
        outcome.lost = listed(lost);
        outcome
    }
}

fn key(input: &Value) -> Key {
    let text = |pointer: &str| {
        let value = input.pointer(pointer).and_then(Value::as_str);
        value.unwrap_or_default().to_owned()
    };
    let entity = |name: &str| {
        let (kind, id) = (text(&format!("/{name}/type")), text(&format!("/{name}/id")));
        if id.is_empty() {
            kind
        } else {
            format!("{kind}:{id}")
        }
    };
    (entity("subject"), text("/action/name"), entity("resource"))
}
