//! Somebody who wants something else meanwhile: requests at a fixed rate, whatever becomes of the
//! ones before, each timed from the moment it was due. A service that stands still for a second is
//! seen to do so by all requests of that second, and not by one.

use std::{
    sync::Arc,
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::{anyhow, ensure};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep_until},
};

use crate::{http::Connection, stats::Samples};

/// Connections that take turns, so that a late answer holds up none of the next ones.
const CONNECTIONS: u32 = 64;

/// A probe at work, on a thread of its own.
pub struct Probe(JoinHandle<anyhow::Result<Samples>>);

impl Probe {
    /// Sends `requests`, one after the other and again from the first, `rate` times a second.
    pub fn start(
        address: String,
        requests: Vec<Vec<u8>>,
        rate: u32,
        time: Duration,
    ) -> anyhow::Result<Self> {
        ensure!(
            rate > 0 && !requests.is_empty(),
            "a rate of 0 measures nothing"
        );
        let thread = thread::Builder::new().name("probe".to_owned());
        Ok(Self(thread.spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?;
            runtime.block_on(ask(&address, requests.into(), rate, time))
        })?))
    }

    /// Waits for the end.
    ///
    /// # Errors
    ///
    /// If any request got no answer, or another one than `200`.
    pub fn end(self) -> anyhow::Result<Samples> {
        self.0.join().map_err(|_| anyhow!("the probe panicked"))?
    }
}

async fn ask(
    address: &str,
    requests: Arc<[Vec<u8>]>,
    rate: u32,
    time: Duration,
) -> anyhow::Result<Samples> {
    let interval = Duration::from_secs(1) / rate;
    let mut connections = Vec::new();
    for _ in 0..CONNECTIONS {
        connections.push(Connection::open(address).await?);
    }
    let started = Instant::now();
    let mut turns = JoinSet::new();
    for (first, mut connection) in (0..).zip(connections) {
        let requests = Arc::clone(&requests);
        turns.spawn(async move {
            let mut samples = Samples::default();
            let mut due = started + interval * first;
            let mut cycle = requests.iter().cycle().skip(first as usize);
            while due < started + time {
                sleep_until(due).await;
                let Some(request) = cycle.next() else { break };
                let answer = connection.send(request).await?;
                samples.add(due.elapsed());
                ensure!(
                    answer.status == 200,
                    "the probe was answered {}",
                    answer.status
                );
                due += interval * CONNECTIONS;
            }
            Ok(samples)
        });
    }
    let mut total = Samples::default();
    while let Some(samples) = turns.join_next().await {
        total.extend(samples??);
    }
    Ok(total)
}
