//! Clients that log in, each as another person every time.

use std::{
    collections::BTreeMap,
    fmt,
    time::{Duration, Instant},
};

use anyhow::bail;
use tokio::task::JoinSet;

use crate::{
    http::{Answer, Connection},
    people,
    stats::{Samples, as_f64},
};

/// Who logs in, and where.
#[derive(Clone, Debug)]
pub struct Crowd {
    /// Host and port.
    pub address: String,
    /// How many at the same time.
    pub clients: usize,
    /// Whether they wait as long as they are told to before they try again.
    pub heed: bool,
}

/// What happened until the time was over.
#[derive(Debug, Default)]
pub struct Outcome {
    /// How long it went on.
    pub time: Duration,
    /// Logins that succeeded.
    pub accepted: Samples,
    /// Those that were turned away with `503` and `Retry-After`.
    pub refused: Samples,
    /// Everything else, which should be nothing.
    pub wrong: BTreeMap<String, usize>,
}

impl Outcome {
    /// Logins a second.
    pub fn rate(&self) -> f64 {
        as_f64(self.accepted.count()) / self.time.as_secs_f64()
    }

    /// Refusals a second.
    pub fn refusals(&self) -> f64 {
        as_f64(self.refused.count()) / self.time.as_secs_f64()
    }

    /// # Errors
    ///
    /// If anything else than a login or a proper refusal happened.
    pub fn must_be_right(&self) -> anyhow::Result<()> {
        if !self.wrong.is_empty() {
            bail!("wrong answers to logins: {:?}", self.wrong);
        }
        Ok(())
    }

    fn note(&mut self, answer: anyhow::Result<Answer>, took: Duration) {
        let fault = match answer {
            Ok(Answer { status: 200, .. }) => return self.accepted.add(took),
            Ok(Answer {
                status: 503,
                retry_after: Some(_),
                ..
            }) => return self.refused.add(took),
            Ok(answer) => format!(
                "{} {}",
                answer.status,
                String::from_utf8_lossy(&answer.body)
            ),
            Err(error) => format!("{error:#}"),
        };
        *self.wrong.entry(fault).or_default() += 1;
    }

    fn extend(&mut self, other: Self) {
        self.accepted.extend(other.accepted);
        self.refused.extend(other.refused);
        for (fault, count) in other.wrong {
            *self.wrong.entry(fault).or_default() += count;
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:.1} logins/s: {}", self.rate(), self.accepted)?;
        write!(f, "{:.1} refusals/s: {}", self.refusals(), self.refused)?;
        if !self.wrong.is_empty() {
            write!(f, "\nwrong: {:?}", self.wrong)?;
        }
        Ok(())
    }
}

/// Lets the crowd log in for `time`, on one thread.
///
/// # Errors
///
/// The system's. What goes wrong with single logins stands in the outcome.
pub fn run(crowd: &Crowd, time: Duration) -> anyhow::Result<Outcome> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let end = Instant::now() + time;
        let mut clients = JoinSet::new();
        for number in 0..crowd.clients {
            clients.spawn(client(crowd.clone(), number, end));
        }
        let mut total = Outcome {
            time,
            ..Outcome::default()
        };
        while let Some(outcome) = clients.join_next().await {
            total.extend(outcome?);
        }
        Ok(total)
    })
}

async fn client(crowd: Crowd, number: usize, end: Instant) -> Outcome {
    let mut outcome = Outcome::default();
    let mut connection = None;
    let everybody = usize::try_from(people::COUNT).unwrap_or(usize::MAX);
    let mut person = number % everybody;
    while Instant::now() < end {
        let request = people::login(u32::try_from(person).unwrap_or_default());
        person = (person + crowd.clients) % everybody;
        let started = Instant::now();
        let answer = send(&mut connection, &crowd.address, &request).await;
        if Instant::now() >= end {
            break;
        }
        if answer.is_err() {
            connection = None;
        }
        let pause = answer.as_ref().ok().and_then(|answer| answer.retry_after);
        outcome.note(answer, started.elapsed());
        if let Some(seconds) = pause.filter(|_| crowd.heed) {
            let pause = Duration::from_secs(seconds);
            tokio::time::sleep(pause.min(end.saturating_duration_since(Instant::now()))).await;
        }
    }
    outcome
}

/// Sends on the connection that is there, or on a new one.
async fn send(
    connection: &mut Option<Connection>,
    address: &str,
    request: &[u8],
) -> anyhow::Result<Answer> {
    let open = match connection {
        Some(open) => open,
        None => connection.insert(Connection::open(address).await?),
    };
    open.send(request).await
}
