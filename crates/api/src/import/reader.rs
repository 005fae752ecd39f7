//! Reading and judging rows on a thread of their own, while the database writes those before.

use std::sync::Arc;

use serde_json::{Map, Value};
use tokio::sync::mpsc;

use super::{
    report::Place,
    source::{Raw, Source, SourceError, Wanted},
};

/// Batches that may wait to be written.
const AHEAD: usize = 2;

/// A row and what became of it.
pub(super) struct Item<T> {
    /// Where it stands.
    pub(super) place: Place,
    /// What it says.
    pub(super) row: T,
    /// Whether the source ends with it in a way that could be an accident.
    pub(super) is_open_end: bool,
}

/// Rows that are written together.
pub(super) struct Batch<T> {
    pub(super) items: Vec<Item<T>>,
    /// How much of the source's size lies before the next batch.
    pub(super) position: u64,
}

/// Begins to read; `judge` sees each row. The last thing to come is the error, if there is one.
pub(super) fn read<T: Send + 'static>(
    source: &Arc<Source>,
    wanted: Wanted,
    size: usize,
    judge: impl Fn(Result<Map<String, Value>, super::report::Fault>) -> T + Send + 'static,
) -> mpsc::Receiver<Result<Batch<T>, SourceError>> {
    let (sender, receiver) = mpsc::channel(AHEAD);
    let source = Arc::clone(source);
    tokio::task::spawn_blocking(move || {
        let mut items = Vec::with_capacity(size);
        let mut last = 0;
        let result = source.read(&wanted, &mut |raw: Raw| {
            last = raw.position;
            items.push(Item {
                place: raw.place,
                row: judge(raw.row),
                is_open_end: raw.is_open_end,
            });
            if items.len() < size {
                return true;
            }
            let full = std::mem::replace(&mut items, Vec::with_capacity(size));
            let batch = Batch {
                items: full,
                position: last,
            };
            sender.blocking_send(Ok(batch)).is_ok()
        });
        // Who no longer listens has no use for the rest.
        if !items.is_empty() {
            let batch = Batch {
                items,
                position: last,
            };
            sender.blocking_send(Ok(batch)).ok();
        }
        if let Err(error) = result {
            sender.blocking_send(Err(error)).ok();
        }
    });
    receiver
}
