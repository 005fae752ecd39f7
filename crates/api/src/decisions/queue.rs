//! Decisions on their way to the log: put in by requests, which never wait, and taken out in
//! batches. When the database is slower than the decisions come, some are dropped and counted.

use std::time::Duration;

use actix_web::web::Data;
use tokio::sync::{mpsc, watch};

use super::{
    mask::Masker,
    repo::{self, Row},
};
use crate::{
    config::DecisionLogMode,
    http::request_id,
    policy::{Decision, Input, PolicyUnavailable},
    state::AppState,
};

/// Decisions that wait at most.
const CAPACITY: usize = 4096;
/// Decisions that one statement writes.
const BATCH: usize = 256;
/// How long a decision waits for others to be written with.
const PAUSE: Duration = Duration::from_millis(500);

/// A decision that is to be written down.
pub struct Noted {
    input: Input,
    decision: Decision,
    request_id: String,
}

/// Where requests put decisions.
pub struct DecisionLog {
    mode: DecisionLogMode,
    sender: mpsc::Sender<Noted>,
}

/// Where they are taken out.
pub struct Waiting(mpsc::Receiver<Noted>);

impl DecisionLog {
    /// The two ends of a queue.
    pub fn new(mode: DecisionLogMode) -> (Self, Waiting) {
        let (sender, receiver) = mpsc::channel(CAPACITY);
        (Self { mode, sender }, Waiting(receiver))
    }

    /// Whether a decision like this is kept.
    pub fn keeps(&self, allow: bool) -> bool {
        match self.mode {
            DecisionLogMode::Off => false,
            DecisionLogMode::Deny => !allow,
            DecisionLogMode::All => true,
        }
    }

    /// Notes what was answered to a question; no answer counts as a refusal. Does not wait.
    pub fn note(&self, input: &Input, answer: Result<&Decision, &PolicyUnavailable>) {
        if !self.keeps(answer.is_ok_and(|decision| decision.allow)) {
            return;
        }
        let Ok(place) = self.sender.try_reserve() else {
            dropped("full", 1);
            return;
        };
        place.send(Noted {
            input: input.clone(),
            decision: match answer {
                Ok(decision) => decision.clone(),
                Err(failure) => Decision::none(failure),
            },
            request_id: request_id::current().id,
        });
    }
}

/// Counts decisions that are not written down.
pub fn dropped(reason: &'static str, count: u64) {
    metrics::counter!("gatepost_decision_log_dropped_total", "reason" => reason).increment(count);
}

/// Writes decisions down until `stopped`, and then those that still wait.
pub async fn write_down(
    state: Data<AppState>,
    mut waiting: Waiting,
    mut stopped: watch::Receiver<bool>,
) {
    let masker = masker(&state);
    let mut batch = Vec::with_capacity(BATCH);
    loop {
        let is_stopping = *stopped.borrow_and_update();
        if is_stopping {
            waiting.0.close();
        }
        tokio::select! {
            biased;
            count = waiting.0.recv_many(&mut batch, BATCH) => if count == 0 {
                return;
            },
            changed = stopped.changed(), if !is_stopping => {
                // An error means that the sender is gone, which is a reason to stop, too.
                if changed.is_err() {
                    waiting.0.close();
                }
                continue;
            }
        }
        write(&state, &masker, batch.drain(..)).await;
        if !is_stopping && waiting.0.len() < BATCH {
            tokio::time::timeout(PAUSE, stopped.changed()).await.ok();
        }
    }
}

/// What masks questions here: the same in all instances.
pub fn masker(state: &AppState) -> Masker {
    Masker::new(&state.sealer.derive("decision log"))
}

async fn write(state: &AppState, masker: &Masker, batch: impl Iterator<Item = Noted>) {
    let mut rows = Vec::with_capacity(BATCH);
    for noted in batch {
        match serde_json::to_value(&noted.input) {
            Ok(input) => {
                let mut row = Row::new(input, &noted.decision, masker);
                row.request_id = Some(noted.request_id).filter(|id| !id.is_empty());
                rows.push(row);
            }
            Err(_) => dropped("unwritable", 1),
        }
    }
    if let Err(error) = repo::insert(state, &rows).await {
        dropped("database", rows.len() as u64);
        tracing::warn!(%error, dropped = rows.len(), "decisions could not be written down");
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;
    use crate::policy::{Action, Context, Resource, Subject};

    fn question() -> Input {
        Input {
            subject: Subject::new("user", "u", "active"),
            action: Action::new("project:read"),
            resource: Resource::system(),
            grants: Vec::new(),
            context: Context::at(DateTime::UNIX_EPOCH),
        }
    }

    #[test]
    fn what_the_queue_cannot_hold_is_dropped_at_once() {
        let (log, waiting) = DecisionLog::new(DecisionLogMode::All);
        for _ in 0..CAPACITY + 100 {
            log.note(&question(), Err(&PolicyUnavailable::Undefined));
        }
        assert_eq!(waiting.0.len(), CAPACITY);
    }

    #[test]
    fn only_what_is_to_be_kept_waits() {
        for (mode, kept) in [
            (DecisionLogMode::Off, 0),
            (DecisionLogMode::Deny, 2),
            (DecisionLogMode::All, 3),
        ] {
            let (log, waiting) = DecisionLog::new(mode);
            let no = Decision::none(&PolicyUnavailable::Undefined);
            let yes = Decision {
                allow: true,
                ..no.clone()
            };
            log.note(&question(), Ok(&yes));
            log.note(&question(), Ok(&no));
            log.note(&question(), Err(&PolicyUnavailable::CircuitOpen));
            assert_eq!(waiting.0.len(), kept);
        }
    }
}
