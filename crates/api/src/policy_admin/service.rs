//! What is in force, and the bundle of it.

use std::time::Duration;

use actix_web::web::Bytes;
use tokio::time::{Instant, sleep_until};

use super::model::{BundleError, BundleKeyView, PolicyView, ReadPolicy};
use crate::{
    access::permit::Permit,
    policy::opa_bundle::{etag, pack},
    state::AppState,
};

/// A question for a new bundle waits no longer, because no request does.
const LONGEST_WAIT: Duration = Duration::from_secs(25);
/// How often a waiting question looks whether the process stops.
const GLANCE: Duration = Duration::from_millis(250);

/// The policy of this instance.
pub fn show(state: &AppState, _: &Permit<ReadPolicy>) -> PolicyView {
    let bundle = state.policy_source.current();
    let status = state.policy_source.status();
    PolicyView {
        engine: state.policy.engine(),
        revision: state.policy.digest(),
        digest: bundle.digest().to_owned(),
        loaded_at: status.loaded_at,
        tried_at: status.tried_at,
        fault: status.fault,
        files: bundle.paths().map(ToOwned::to_owned).collect(),
        custom: bundle.custom().map(ToOwned::to_owned).collect(),
        bundle_key: BundleKeyView {
            kid: state.bundle_key.kid().to_owned(),
            algorithm: "ES256",
            key: state.bundle_key.public_pem(),
        },
    }
}

/// What is sent to an OPA server.
pub enum Answer {
    /// A bundle that it does not have: entity tag and content.
    Snapshot(String, Bytes),
    /// It has the newest one, of this entity tag.
    Known(String),
}

/// The bundle of the policy in force; if the caller has it, the next one, waited for as long as
/// `wait` says.
///
/// # Errors
///
/// [`BundleError`].
pub async fn bundle(
    state: &AppState,
    _: &Permit<ReadPolicy>,
    known: &[String],
    wait: Duration,
) -> Result<Answer, BundleError> {
    let deadline = Instant::now() + wait.min(LONGEST_WAIT);
    let mut changes = state.policy_source.changes();
    loop {
        let bundle = changes.borrow_and_update().clone();
        let tag = etag(&bundle, &state.bundle_key);
        if !known.contains(&tag) {
            let bytes = pack(&bundle, &state.bundle_key)?;
            return Ok(Answer::Snapshot(tag, bytes.into()));
        }
        let now = Instant::now();
        if now >= deadline || state.is_stopping() {
            return Ok(Answer::Known(tag));
        }
        tokio::select! {
            _ = changes.changed() => {}
            () = sleep_until(deadline.min(now + GLANCE)) => {}
        }
    }
}
