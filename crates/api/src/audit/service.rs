//! The chain's state, in steps that a request can take.

use sea_orm::DbErr;

use super::{
    model::{ChainState, ChainView, HeadView, UnsealedView},
    sealer,
    verify::{self, Anchor, Position},
};
use crate::state::AppState;

/// Steps of a thousand links that one request takes.
const STEPS: usize = 5;

/// Checks the next links after those that this instance has checked, or from `from` on.
///
/// # Errors
///
/// The database's.
pub async fn check(state: &AppState, from: Option<i64>) -> Result<ChainView, DbErr> {
    let mut position = match from {
        None => state.audit_position(),
        Some(seq) => verify::before(&state.db, seq)
            .await?
            .unwrap_or(Position::START),
    };
    // What was found whole must still be there: a restored backup is shorter.
    let anchor = Anchor {
        seq: position.seq,
        hash: position.hash,
        at: None,
    };
    let mut broken = verify::check_anchor(&state.db, &anchor).await?;
    let mut is_end = false;
    for _ in 0..STEPS {
        if is_end || broken.is_some() {
            break;
        }
        let step = verify::step(&state.db, position).await?;
        (position, is_end, broken) = (step.position, step.is_end, step.broken);
    }
    state.set_audit_position(position);
    let head = verify::head(&state.db).await?;
    let waiting = sealer::unsealed(&state.db).await?;
    let age = waiting.oldest.map(|oldest| state.clock.now() - oldest);
    Ok(ChainView {
        state: match (&broken, is_end) {
            (Some(_), _) => ChainState::Broken,
            (None, true) => ChainState::Whole,
            (None, false) => ChainState::Incomplete,
        },
        verified_seq: position.seq,
        head: HeadView {
            seq: head.seq,
            hash: head.hash.to_string(),
            at: head.at,
        },
        unsealed: UnsealedView {
            count: waiting.count,
            oldest_seconds: age.map_or(0.0, |age| age.as_seconds_f64().max(0.0)),
        },
        fault: broken.map(Into::into),
    })
}
