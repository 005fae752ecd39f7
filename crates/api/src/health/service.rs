//! Looks at the parts of the service.

use std::time::Duration;

use sea_orm::{ConnectionTrait, Statement};
use tokio::time::{Instant, timeout};

use super::model::{Check, Checks, Health, Readiness, Status};
use crate::state::AppState;

/// A part that takes longer does not work.
const PATIENCE: Duration = Duration::from_secs(2);

/// How all parts are.
pub async fn look(state: &AppState) -> Health {
    let (database, policy, migrations) =
        tokio::join!(database(state), policy(state), migrations(state));
    let mail = Check {
        status: if state.mail_status == "not configured" {
            Status::Degraded
        } else {
            Status::Ok
        },
        milliseconds: 0.0,
        note: Some(state.mail_status),
    };
    let statuses = [database.status, policy.status, migrations.status];
    let status = if statuses.contains(&Status::Down) {
        Status::Down
    } else if [mail.status, policy.status, database.status].contains(&Status::Degraded) {
        Status::Degraded
    } else {
        Status::Ok
    };
    Health {
        status,
        version: env!("CARGO_PKG_VERSION"),
        checks: Checks {
            database,
            policy,
            migrations,
            mail,
        },
    }
}

/// Whether traffic may come.
pub async fn readiness(state: &AppState) -> Readiness {
    let (database, policy, migrations) =
        tokio::join!(database(state), policy(state), migrations(state));
    let mut waiting_for = Vec::new();
    for (name, check) in [
        ("database", database),
        ("policy", policy),
        ("migrations", migrations),
    ] {
        if check.status == Status::Down {
            waiting_for.push(name);
        }
    }
    if state.is_stopping() {
        waiting_for.push("nothing: the process stops");
    }
    Readiness {
        status: if waiting_for.is_empty() {
            Status::Ok
        } else {
            Status::Down
        },
        waiting_for,
    }
}

async fn database(state: &AppState) -> Check {
    let started = Instant::now();
    let sql = "SELECT pg_is_in_recovery() OR current_setting('transaction_read_only') = 'on' AS read_only";
    let statement = Statement::from_string(state.db.get_database_backend(), sql);
    let answer = timeout(PATIENCE, state.db.query_one_raw(statement)).await;
    let read_only = match answer {
        Ok(Ok(Some(row))) => row.try_get::<bool>("", "read_only").ok(),
        _ => None,
    };
    let (status, note) = match read_only {
        Some(false) if !state.cache.is_listening() => (
            Status::Degraded,
            Some("changes are not heard of: nothing is answered from memory"),
        ),
        Some(false) => (Status::Ok, None),
        Some(true) => (Status::Down, Some("read-only")),
        None => (Status::Down, Some("no answer")),
    };
    check(started, status, note)
}

async fn policy(state: &AppState) -> Check {
    let started = Instant::now();
    let status = match timeout(PATIENCE, state.policy.health()).await {
        Ok(Ok(())) if state.policy_source.is_refused() => Status::Degraded,
        Ok(Ok(())) => Status::Ok,
        _ => Status::Down,
    };
    let note = match status {
        Status::Degraded => "a new policy was refused; the one before it decides",
        _ => state.policy.engine(),
    };
    check(started, status, Some(note))
}

async fn migrations(state: &AppState) -> Check {
    let started = Instant::now();
    let answer = timeout(PATIENCE, migration::status(&state.db)).await;
    let (status, note) = match answer {
        // Steps only add what a program before them does not see.
        Ok(Ok(found)) if found.pending.is_empty() => (
            Status::Ok,
            (!found.unknown.is_empty()).then_some("newer than this program"),
        ),
        Ok(Ok(_)) => (Status::Down, Some("pending: run gatepost-migrate up")),
        _ => (Status::Down, Some("unknown")),
    };
    check(started, status, note)
}

fn check(started: Instant, status: Status, note: Option<&'static str>) -> Check {
    Check {
        status,
        milliseconds: (started.elapsed().as_secs_f64() * 100_000.0).round() / 100.0,
        note,
    }
}
