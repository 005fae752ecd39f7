//! Takes in the files of `POLICY_DIR` when they change, and when the process is asked to.

use std::time::Duration;

use actix_web::web::Data;
use sea_orm::DbErr;
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};

use crate::{
    audit::{self, Doer, Entry, Target},
    database::tx::{Scope, Tx},
    http::origin::Origin,
    policy::source::Reload,
    state::AppState,
};

/// How often the files are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Looks once a second, and at each SIGHUP, until the process ends.
pub async fn watch(state: Data<AppState>) {
    let mut hangups = match signal(SignalKind::hangup()) {
        Ok(hangups) => Some(hangups),
        Err(error) => {
            tracing::warn!(%error, "SIGHUP is not heard of");
            None
        }
    };
    metrics::gauge!("gatepost_policy_refused").set(0.0);
    loop {
        let hangup = async {
            match &mut hangups {
                Some(hangups) => hangups.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = tokio::time::sleep(LOOK_EVERY) => {}
            _ = hangup => tracing::info!("looking at the policy's files, as SIGHUP asks"),
        }
        reload(&state).await;
    }
}

/// Looks at the files once, and tells what came of it: in the log, the metrics and the audit log.
pub async fn reload(state: &AppState) -> Reload {
    let outcome = state.policy_source.reload(state.clock.now()).await;
    let name = match &outcome {
        Reload::Unchanged => return outcome,
        Reload::Same => "same",
        Reload::Replaced { before, now } => {
            tracing::info!(before, now, "another policy is in force");
            if let Err(error) = write_down(state, before, now).await {
                tracing::error!(%error, now, "the new policy does not stand in the audit log");
            }
            "replaced"
        }
        Reload::Refused(fault) => {
            for fault in fault.lines() {
                tracing::error!(
                    fault,
                    "the new policy is refused; the one before stays in force"
                );
            }
            "refused"
        }
    };
    metrics::counter!("gatepost_policy_reloads_total", "outcome" => name).increment(1);
    let refused = f64::from(u8::from(state.policy_source.is_refused()));
    metrics::gauge!("gatepost_policy_refused").set(refused);
    outcome
}

async fn write_down(state: &AppState, before: &str, now: &str) -> Result<(), DbErr> {
    let tx = Tx::begin(state, &Scope::None).await?;
    let entry = Entry {
        doer: Doer::Program,
        action: "policy.replaced",
        target: Target::global("policy", now),
        details: json!({ "before": before }),
    };
    audit::record(&*tx, &*state.clock, &Origin::program("policy"), entry).await?;
    tx.commit().await
}
