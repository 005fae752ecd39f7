//! Step-up: some things take a proof of identity that was given just now.

use std::future::ready;

use chrono::TimeDelta;

use super::actor::Actor;
use crate::{
    problem::{Code, Problem},
    state::AppState,
};

/// How old the proof may be.
const FRESH: TimeDelta = TimeDelta::minutes(5);

/// Says whether the caller has proven who they are within the last five minutes.
///
/// # Errors
///
/// `403 step_up_required` if not, and always for callers who have no session to prove it in.
pub async fn demand(state: &AppState, actor: &Actor) -> Result<(), Problem> {
    let now = state.clock.now();
    let is_fresh = actor
        .session()
        .is_some_and(|session| now - session.auth_time <= FRESH);
    ready(if is_fresh {
        Ok(())
    } else {
        Err(Problem::plain(Code::StepUpRequired))
    })
    .await
}
