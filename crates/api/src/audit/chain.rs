//! How an entry is hashed. `docs/guides/audit.md` says the same for those who check it with other
//! programs.
//!
//! `hash` = SHA-256 of the 32 bytes of `prev_hash` and of the entry with its `seq` as JSON in the
//! canonical form of RFC 8785. The first entry follows [`GENESIS`].

use std::fmt;

use aws_lc_rs::digest::{self, SHA256};
use chrono::SecondsFormat;
use entity::audit_log;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// What the first entry follows.
pub const GENESIS: Hash = Hash([0; 32]);

/// SHA-256; 64 hexadecimal digits as text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct Hash(pub [u8; 32]);

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl From<Hash> for String {
    fn from(hash: Hash) -> Self {
        hash.to_string()
    }
}

impl TryFrom<String> for Hash {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let digit = |byte: u8| {
            char::from(byte)
                .to_digit(16)
                .and_then(|d| u8::try_from(d).ok())
        };
        let byte = |pair: &[u8]| Some(digit(pair[0])? * 16 + digit(pair[1])?);
        let bytes: Option<Vec<u8>> = text.as_bytes().chunks_exact(2).map(byte).collect();
        bytes
            .filter(|_| text.len() == 64)
            .and_then(|bytes| bytes.try_into().ok())
            .map(Self)
            .ok_or("a hash is 64 hexadecimal digits")
    }
}

impl TryFrom<&[u8]> for Hash {
    type Error = std::array::TryFromSliceError;

    fn try_from(bytes: &[u8]) -> Result<Self, Self::Error> {
        bytes.try_into().map(Self)
    }
}

/// The entry as it is hashed: every column, also those that are null, in the forms that
/// PostgreSQL's own texts have, with the time in UTC to the microsecond.
#[must_use]
pub fn document(seq: i64, entry: &audit_log::Model) -> Value {
    json!({
        "seq": seq,
        "id": entry.id,
        "at": entry.at.to_rfc3339_opts(SecondsFormat::Micros, true),
        "actor_type": entry.actor_type,
        "actor_id": entry.actor_id,
        "actor_session": entry.actor_session,
        "action": entry.action,
        "target_type": entry.target_type,
        "target_id": entry.target_id,
        "organization_id": entry.organization_id,
        "request_id": entry.request_id,
        "ip": entry.ip.map(|ip| ip.to_string()),
        "outcome": entry.outcome,
        "details": entry.details,
    })
}

/// The hash of an entry at its place.
///
/// # Errors
///
/// None for what comes from the database: JSON in `jsonb` has a canonical form.
pub fn hash(prev: Hash, seq: i64, entry: &audit_log::Model) -> Result<Hash, serde_json::Error> {
    let canonical = serde_json_canonicalizer::to_vec(&document(seq, entry))?;
    let mut context = digest::Context::new(&SHA256);
    context.update(&prev.0);
    context.update(&canonical);
    let mut hash = [0; 32];
    hash.copy_from_slice(context.finish().as_ref());
    Ok(Hash(hash))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry() -> audit_log::Model {
        audit_log::Model {
            id: "019a9f00-0000-7000-8000-000000000001".parse().unwrap(),
            at: "2026-11-21T15:26:01.123456Z".parse().unwrap(),
            actor_type: "program".to_owned(),
            actor_id: None,
            actor_session: None,
            action: "user.imported".to_owned(),
            target_type: Some("user".to_owned()),
            target_id: Some("019a9f00-0000-7000-8000-000000000002".to_owned()),
            organization_id: None,
            request_id: Some("r-1".to_owned()),
            ip: Some("127.0.0.1".parse().unwrap()),
            outcome: "success".to_owned(),
            details: json!({"b": [1, 2.5, 1e3], "a": "ü\u{1}\"\\/", "\u{10000}": 1, "\u{fb33}": 2}),
        }
    }

    #[test]
    fn the_canonical_form_is_that_of_rfc_8785() {
        let text = serde_json_canonicalizer::to_string(&document(7, &entry())).unwrap();
        // Names sorted by UTF-16 units: U+10000 begins with a surrogate, and stands before U+FB33.
        let wanted = concat!(
            r#"{"action":"user.imported","actor_id":null,"actor_session":null,"actor_type":"program","#,
            r#""at":"2026-11-21T15:26:01.123456Z","#,
            "\"details\":{\"a\":\"ü\\u0001\\\"\\\\/\",\"b\":[1,2.5,1000],\"\u{10000}\":1,\"\u{fb33}\":2},",
            r#""id":"019a9f00-0000-7000-8000-000000000001","ip":"127.0.0.1/32","organization_id":null,"#,
            r#""outcome":"success","request_id":"r-1","seq":7,"#,
            r#""target_id":"019a9f00-0000-7000-8000-000000000002","target_type":"user"}"#,
        );
        assert_eq!(text, wanted);
    }

    #[test]
    fn every_column_and_the_place_change_the_hash() {
        let first = hash(GENESIS, 7, &entry()).unwrap();
        // By sha256sum of 32 zero bytes and the text above.
        assert_eq!(
            first.to_string(),
            "74a27b4b205d2e91ed0ba3c4738cac938fa0471ca5de4b22b59f5fb2f246eb6c"
        );
        let changes: [fn(&mut audit_log::Model); 13] = [
            |e| e.id = uuid::Uuid::nil(),
            |e| e.at += chrono::TimeDelta::microseconds(1),
            |e| e.actor_type = "user".to_owned(),
            |e| e.actor_id = Some(uuid::Uuid::nil()),
            |e| e.actor_session = Some(uuid::Uuid::nil()),
            |e| e.action = "user.importee".to_owned(),
            |e| e.target_type = None,
            |e| e.target_id = Some(String::new()),
            |e| e.organization_id = Some(uuid::Uuid::nil()),
            |e| e.request_id = None,
            |e| e.ip = Some("127.0.0.1/31".parse().unwrap()),
            |e| e.outcome = "failure".to_owned(),
            |e| e.details = json!({}),
        ];
        for (number, change) in changes.iter().enumerate() {
            let mut other = entry();
            change(&mut other);
            assert_ne!(hash(GENESIS, 7, &other).unwrap(), first, "{number}");
        }
        assert_ne!(hash(GENESIS, 8, &entry()).unwrap(), first);
        assert_ne!(hash(first, 7, &entry()).unwrap(), first);
    }

    #[test]
    fn a_hash_is_read_as_it_is_written() {
        let hash = Hash([0xa5; 32]);
        assert_eq!(Hash::try_from(hash.to_string()), Ok(hash));
        for wrong in ["", "zz", &"a".repeat(63), &"g".repeat(64), &"ä".repeat(32)] {
            assert!(Hash::try_from(wrong.to_owned()).is_err(), "{wrong}");
        }
    }
}
