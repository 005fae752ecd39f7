//! Answers of the policy that need not be worked out again.
//!
//! What the policy says as it is delivered follows from what a principal holds, where the resource
//! stands, the permission, and whether a grant has expired: from nothing else that a request brings
//! along. An operator's own rules may look at anything, so with them nothing is kept; nor is it
//! where an OPA server decides.
//!
//! Nothing has to be forgotten here when something changes: what changed is read again, and that is
//! another [`Reading`] of the subject, another place of the resource or another policy, which is
//! another question.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use chrono::{DateTime, Utc};
use moka::sync::Cache;

use super::{actor::Subject, registered::Below, resource::Located};
use crate::{policy::Decision, state::AppState};

/// Answers that are kept; about 40 MiB, with one matched grant each.
const CAPACITY: u64 = 50_000;
/// What nobody asked for that long is let go.
const IDLE: Duration = Duration::from_mins(1);

static READINGS: AtomicU64 = AtomicU64::new(0);

/// Tells one reading of a principal from every other one. It cannot be copied: whatever differs from
/// what was read, by an API key for example, is another reading.
#[derive(Debug)]
pub struct Reading(u64);

impl Default for Reading {
    fn default() -> Self {
        Self(READINGS.fetch_add(1, Ordering::Relaxed))
    }
}

/// A question, by all that the delivered policy looks at.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    policy: u64,
    reading: u64,
    located: Located,
    below: Below,
    permission: String,
}

/// A question whose answer may be kept.
pub struct Asked {
    key: Key,
    at: DateTime<Utc>,
    until: Option<DateTime<Utc>>,
}

impl Asked {
    /// Whether `subject` has `permission` on what is at `located`, or on what stands at `below`
    /// below that. Nothing if the policy in force may look at more than this.
    pub fn new(
        state: &AppState,
        subject: &Subject,
        located: &Located,
        below: &Below,
        permission: &str,
    ) -> Option<Self> {
        let policy = state.policy.as_delivered()?;
        let at = state.clock.now();
        let on_the_path = subject
            .grants
            .iter()
            .filter(|grant| grant.counts_on(located, below));
        let until = on_the_path
            .filter_map(|grant| grant.expires_at)
            .filter(|end| *end > at)
            .min();
        let key = Key {
            policy,
            reading: subject.reading.0,
            located: located.clone(),
            below: below.clone(),
            permission: permission.to_owned(),
        };
        Some(Self { key, at, until })
    }
}

/// The answer, and when it holds: until the next grant expires.
struct Kept {
    decision: Decision,
    from: DateTime<Utc>,
    until: Option<DateTime<Utc>>,
}

/// The answers of one process.
pub struct Memo {
    answers: Cache<Key, Arc<Kept>>,
}

impl Default for Memo {
    fn default() -> Self {
        Self {
            answers: Cache::builder()
                .max_capacity(CAPACITY)
                .time_to_idle(IDLE)
                .build(),
        }
    }
}

impl Memo {
    /// What the policy said to the same question before.
    pub fn recall(&self, asked: &Asked) -> Option<Decision> {
        let kept = self.answers.get(&asked.key)?;
        let holds = asked.at >= kept.from && kept.until.is_none_or(|until| asked.at < until);
        holds.then(|| kept.decision.clone())
    }

    /// Keeps what the policy said.
    pub fn keep(&self, asked: Asked, decision: &Decision) {
        let kept = Kept {
            decision: decision.clone(),
            from: asked.at,
            until: asked.until,
        };
        self.answers.insert(asked.key, Arc::new(kept));
    }
}
