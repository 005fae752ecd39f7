//! Taking in decisions of OPA servers, and deciding again.

use std::time::Duration;

use chrono::TimeDelta;
use tokio::time::Instant;

use super::{
    model::{DecisionError, HandInDecisions, MOST_REPLAYED, ReplayPolicy, ReplayRequest, Taken},
    opa_log, queue,
    replay::{Outcome, Replay},
    repo,
};
use crate::{access::permit::Permit, policy, state::AppState};

/// A request decides again for so long, and says how far it came.
const TIME_LIMIT: Duration = Duration::from_secs(20);
/// By so much an OPA server's clock may be ahead of ours.
const AHEAD: TimeDelta = TimeDelta::minutes(5);

/// Decides again what was decided.
///
/// # Errors
///
/// The files are no policy, or the database's.
pub async fn replay(
    state: &AppState,
    _: &Permit<ReplayPolicy>,
    request: ReplayRequest,
) -> Result<Outcome, DecisionError> {
    let limit = request
        .limit
        .map_or(MOST_REPLAYED, |limit| limit.get().into());
    if limit > MOST_REPLAYED {
        return Err(DecisionError::Limit);
    }
    let bundle = state.policy_source.current().with(request.files)?;
    let faults = policy::check(&bundle);
    if !faults.is_empty() {
        return Err(policy::BundleFault::Faults(policy::Faults(faults)).into());
    }
    let now = state.clock.now();
    // A millisecond more, because what was decided just now counts, too.
    let until = request.until.unwrap_or(now + TimeDelta::milliseconds(1));
    let started = Instant::now();
    let in_time = |_| started.elapsed() < TIME_LIMIT;
    let since = now - request.since.length();
    let replay = Replay::new(&bundle)?;
    Ok(replay.run(state, (since, until), limit, in_time).await?)
}

/// Writes down what an OPA server decided.
///
/// # Errors
///
/// It is no decision log, or the database's.
pub async fn take_in(
    state: &AppState,
    _: &Permit<HandInDecisions>,
    body: &[u8],
    is_gzip: bool,
) -> Result<Taken, DecisionError> {
    let (mut rows, mut ignored) = opa_log::read(body, is_gzip, &queue::masker(state))?;
    let now = state.clock.now();
    let oldest = now - TimeDelta::days(state.config.decision_log.days.into());
    let all = rows.len();
    rows.retain(|row| {
        state.decisions.keeps(row.allowed()) && row.at > oldest && row.at < now + AHEAD
    });
    ignored += (all - rows.len()) as u64;
    repo::insert(state, &rows).await?;
    Ok(Taken {
        taken: rows.len() as u64,
        ignored,
    })
}
