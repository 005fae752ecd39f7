//! Step-up: some things take a proof of identity that was given just now, with the strongest means
//! that the caller has.

use chrono::TimeDelta;

use super::actor::Actor;
use crate::{
    mfa::{self, model::Factor},
    problem::{Code, Problem},
    state::AppState,
};

/// How old the proof may be.
pub const FRESH: TimeDelta = TimeDelta::minutes(5);

/// Says whether the caller has proven who they are within the last five minutes, with the strongest
/// factor that they have enrolled, or with a recovery code in its place.
///
/// # Errors
///
/// `403 step_up_required` if not, and always for callers who have no session to prove it in.
pub async fn demand(state: &AppState, actor: &Actor) -> Result<(), Problem> {
    let now = state.clock.now();
    let proven = actor
        .session()
        .filter(|session| now - session.auth_time <= FRESH)
        .and_then(|session| session.auth_factor);
    let Some(proven) = proven else {
        return Err(Problem::plain(Code::StepUpRequired));
    };
    let kinds = mfa::repo::kinds(&state.db, actor.user_id()).await?;
    let needed = kinds.first().copied().unwrap_or(Factor::Password);
    if proven >= needed {
        Ok(())
    } else {
        Err(Problem::plain(Code::StepUpRequired))
    }
}
