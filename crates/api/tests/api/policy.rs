//! One policy, two engines: both decide as the table says, and alike.
#![expect(
    clippy::unwrap_used,
    reason = "a helper that fails fails its test, as the test itself would"
)]

mod agreement;
pub mod opa;
mod outages;
mod questions;
mod rego;
pub mod scripted;

use std::{path::PathBuf, time::Duration};

use gatepost::policy::{Bundle, Decision, Remote, RemoteOptions};
use serde_json::Value;

/// Far above what an answer takes, so that a busy machine fails no test.
const PATIENT: Duration = Duration::from_secs(20);

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../opa")
}

pub fn remote(address: &str, timeout: Duration) -> Remote {
    Remote::new(RemoteOptions {
        url: address.parse().unwrap(),
        timeout,
        token: None,
    })
    .unwrap()
}

/// One row of `opa/decision_table.json`.
struct Case {
    name: String,
    input: Value,
    expect: Value,
}

fn decision_table() -> Vec<Case> {
    let bundle = Bundle::load(None).unwrap();
    let text = std::fs::read_to_string(folder().join("decision_table.json")).unwrap();
    let rows: Vec<Value> = serde_json::from_str(&text).unwrap();
    rows.into_iter()
        .map(|mut row| Case {
            name: row["name"].as_str().unwrap().to_owned(),
            input: with_builtin_permissions(row["input"].take(), &bundle),
            expect: row["expect"].take(),
        })
        .collect()
}

/// Grants whose `permissions` are `"builtin"` get those of the built-in role.
fn with_builtin_permissions(mut input: Value, bundle: &Bundle) -> Value {
    let grants = match input.get_mut("grants") {
        Some(Value::Array(grants)) => grants.iter_mut().collect(),
        Some(Value::Object(grants)) => grants.values_mut().collect(),
        _ => Vec::new(),
    };
    for grant in grants
        .into_iter()
        .filter(|grant| grant["permissions"] == "builtin")
    {
        let (key, level) = (&grant["role"], &grant["resource"]["type"]);
        let role = bundle
            .catalog()
            .role(key.as_str().unwrap(), level.as_str().unwrap());
        let role = role.unwrap_or_else(|| panic!("no built-in role {key} at {level}"));
        grant["permissions"] = role.permissions.clone().into();
    }
    input
}

/// What the table says of a decision: the codes of its reasons, not their wording.
fn outline(decision: &Decision) -> Value {
    let mut codes: Vec<_> = decision.reasons.iter().map(|reason| &reason.code).collect();
    let mut grants = decision.matched_grants.clone();
    codes.sort();
    grants.sort();
    serde_json::json!({"allow": decision.allow, "reasons": codes, "matched_grants": grants})
}
