//! Decision logs as OPA servers send them: a gzipped JSON array of events.
//!
//! See <https://www.openpolicyagent.org/docs/management-decision-logs>.

use std::io::Read;

use chrono::{DateTime, Utc};
use flate2::read::GzDecoder;
use serde::Deserialize;
use serde_json::Value;
use uuid::Uuid;

use super::{mask::Masker, model::DecisionError, repo::Row};
use crate::policy::Decision;

/// Bytes that a body may have as it is sent: OPA's chunks have 32 KiB unless it is told otherwise.
pub const MOST_BYTES: usize = 256 * 1024;
/// Bytes that it may have when it is unpacked.
const MOST_UNPACKED: usize = 8 * 1024 * 1024;
/// The id of a server's that is kept, in characters.
const LONGEST_SOURCE: usize = 100;

/// What one event says.
#[derive(Deserialize)]
struct Event {
    #[serde(default)]
    labels: Labels,
    decision_id: Option<String>,
    path: Option<String>,
    input: Option<Value>,
    result: Option<Value>,
    timestamp: DateTime<Utc>,
    #[serde(default)]
    bundles: std::collections::BTreeMap<String, Loaded>,
}

#[derive(Default, Deserialize)]
struct Labels {
    #[serde(default)]
    id: String,
}

#[derive(Deserialize)]
struct Loaded {
    #[serde(default)]
    revision: String,
}

/// The events of a body, and how many of them hold no decisions of ours.
///
/// # Errors
///
/// It cannot be unpacked, is too large, or is no array of events.
pub fn read(body: &[u8], is_gzip: bool, masker: &Masker) -> Result<(Vec<Row>, u64), DecisionError> {
    let text = if is_gzip {
        unpack(body)?
    } else {
        body.to_vec()
    };
    let malformed = |error: serde_json::Error| {
        DecisionError::Malformed(format!("No decision log of an OPA server: {error}."))
    };
    let events: Vec<Event> = serde_json::from_slice(&text).map_err(malformed)?;
    let (mut rows, mut ignored) = (Vec::new(), 0);
    for event in events {
        match decisions(&event) {
            Some(decided) => rows.extend(
                decided
                    .into_iter()
                    .enumerate()
                    .map(|(index, (input, decision))| row(&event, index, input, decision, masker)),
            ),
            None => ignored += 1,
        }
    }
    Ok((rows, ignored))
}

fn unpack(body: &[u8]) -> Result<Vec<u8>, DecisionError> {
    let mut text = Vec::new();
    let mut reader = GzDecoder::new(body).take(MOST_UNPACKED as u64 + 1);
    reader
        .read_to_end(&mut text)
        .map_err(|error| DecisionError::Malformed(format!("Not gzip: {error}.")))?;
    if text.len() > MOST_UNPACKED {
        return Err(DecisionError::TooLarge(MOST_UNPACKED));
    }
    Ok(text)
}

/// The questions and answers of an event, if it is about our rules.
fn decisions(event: &Event) -> Option<Vec<(Value, Decision)>> {
    let (input, result) = (event.input.as_ref()?, event.result.as_ref()?);
    if has_nul(input) {
        return None;
    }
    match event.path.as_deref()?.trim_matches('/') {
        "gatepost/authz/decision" | "gatepost/authz/verdict" => {
            let decision = Decision::deserialize(result).ok()?;
            Some(vec![(input.clone(), decision)])
        }
        "gatepost/authz/decisions" => {
            let decisions = Vec::<Decision>::deserialize(result).ok()?;
            let checks = input.get("checks")?.as_array()?.clone();
            (checks.len() == decisions.len()).then(|| checks.into_iter().zip(decisions).collect())
        }
        _ => None,
    }
}

/// PostgreSQL's JSON holds no such character.
fn has_nul(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains('\0'),
        Value::Array(items) => items.iter().any(has_nul),
        Value::Object(members) => members
            .iter()
            .any(|(name, value)| name.contains('\0') || has_nul(value)),
        _ => false,
    }
}

fn row(event: &Event, index: usize, input: Value, decision: Decision, masker: &Masker) -> Row {
    let ours = event.bundles.get("gatepost").or_else(|| {
        let mut all = event.bundles.values();
        all.next().filter(|_| all.next().is_none())
    });
    let revision = ours.map(|bundle| bundle.revision.clone());
    let policy = revision.filter(|text| !text.is_empty()).map(Into::into);
    let mut row = Row::new(input, &Decision { policy, ..decision }, masker);
    row.at = event.timestamp;
    let id = event.labels.id.chars().filter(|c| !c.is_control());
    row.source = format!("opa:{}", id.take(LONGEST_SOURCE).collect::<String>());
    // OPA sends again what it got no answer for: the same event has to be the same row.
    let id = event
        .decision_id
        .as_deref()
        .and_then(|id| Uuid::try_parse(id).ok());
    if let Some(id) = id {
        row.id = Uuid::from_u128(id.as_u128().wrapping_add(index as u128));
    }
    row
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn event(path: &str, input: &Value, result: &Value) -> Value {
        json!({
            "labels": {"id": "sidecar-1", "version": "1.22.0"},
            "decision_id": "4ca636c1-55e4-417a-b1d8-4aceb67960d1",
            "bundles": {"gatepost": {"revision": "abc"}},
            "path": path,
            "input": input,
            "result": result,
            "requested_by": "127.0.0.1:1",
            "timestamp": "2026-11-21T10:00:00.123456789Z",
            "metrics": {},
        })
    }

    fn taken(events: &Value) -> (usize, u64) {
        let body = events.to_string();
        let (rows, ignored) = read(body.as_bytes(), false, &Masker::new(&[0; 32])).unwrap();
        (rows.len(), ignored)
    }

    #[test]
    fn decisions_of_our_rules_are_taken_and_others_are_not() {
        let yes = json!({"allow": true, "reasons": [], "matched_grants": [], "obligations": []});
        let input = json!({"subject": {"type": "user", "id": "u"}});
        let both = json!({"checks": [input, input]});
        let one = event("gatepost/authz/decision", &input, &yes);
        assert_eq!(taken(&json!([one])), (1, 0));
        let two = event("gatepost/authz/decisions", &both, &json!([yes, yes]));
        assert_eq!(taken(&json!([two])), (2, 0));
        for other in [
            event("system/main", &input, &yes),
            event("gatepost/authz/decision", &input, &json!(true)),
            event("gatepost/authz/decisions", &both, &json!([yes])),
            event("gatepost/authz/decision", &json!({"a": "\u{0}"}), &yes),
        ] {
            assert_eq!(taken(&json!([other])), (0, 1), "{other}");
        }
    }

    #[test]
    fn what_is_no_log_or_too_large_is_refused() {
        let masker = Masker::new(&[0; 32]);
        for (body, is_gzip) in [(&b"{}"[..], false), (b"[]", true), (b"[1]", false)] {
            let refused = read(body, is_gzip, &masker);
            assert!(matches!(refused, Err(DecisionError::Malformed(_))));
        }
        let mut bomb = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        std::io::Write::write_all(&mut bomb, &vec![b' '; MOST_UNPACKED + 1]).unwrap();
        let refused = read(&bomb.finish().unwrap(), true, &masker);
        assert!(matches!(refused, Err(DecisionError::TooLarge(_))));
    }
}
