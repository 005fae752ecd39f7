//! SHA-crypt (<https://www.akkadia.org/drepper/SHA-crypt.txt>): `$5$` with SHA-256, `$6$` with
//! SHA-512, `rounds=5000` unless said. Of a password only what stands before a NUL counts, as in
//! `crypt(3)`.

use sha_crypt::PasswordVerifier;

use super::{FormatFault, Reading, text};

/// About a second.
const MAX_ROUNDS: u32 = 1_000_000;
const MIN_ROUNDS: u32 = 1000;
const DEFAULT_ROUNDS: u32 = 5000;
const LIMIT: &str = "1000000 rounds";

/// One SHA-crypt hash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShaCrypt {
    /// `5` or `6`.
    kind: char,
    rounds: u32,
    salt: String,
    tag: String,
}

const fn name(kind: char) -> &'static str {
    match kind {
        '5' => "SHA-256-crypt",
        _ => "SHA-512-crypt",
    }
}

impl ShaCrypt {
    pub const fn name(&self) -> &'static str {
        name(self.kind)
    }

    pub fn read(text: &str) -> Reading<Self> {
        let (kind, rest) = match (text.strip_prefix("$5$"), text.strip_prefix("$6$")) {
            (Some(rest), _) => ('5', rest),
            (None, Some(rest)) => ('6', rest),
            (None, None) => return None,
        };
        Some(Self::parse(kind, rest))
    }

    fn parse(kind: char, rest: &str) -> Result<Self, FormatFault> {
        let name = name(kind);
        let malformed = |why| FormatFault::Malformed { name, why };
        let parts: Vec<&str> = rest.split('$').collect();
        let (rounds, salt, tag) = match parts.as_slice() {
            [salt, tag] => (Some(DEFAULT_ROUNDS), *salt, *tag),
            [rounds, salt, tag] => {
                let rounds = rounds.strip_prefix("rounds=");
                (rounds.and_then(|text| text.parse().ok()), *salt, *tag)
            }
            _ => return Err(malformed("the form is $6$rounds=5000$salt$hash")),
        };
        let rounds = rounds
            .filter(|rounds| *rounds >= MIN_ROUNDS)
            .ok_or_else(|| malformed("rounds has to be a number, 1000 or more"))?;
        if rounds > MAX_ROUNDS {
            return Err(FormatFault::TooCostly {
                name,
                cost: format!("{rounds} rounds"),
                limit: LIMIT,
            });
        }
        let of_alphabet = |text: &str| {
            let known = |b: u8| b.is_ascii_alphanumeric() || b == b'.' || b == b'/';
            text.bytes().all(known)
        };
        if !(1..=16).contains(&salt.len()) || !of_alphabet(salt) {
            return Err(malformed("the salt has to be 1 to 16 of ./0-9A-Za-z"));
        }
        let length = if kind == '5' { 43 } else { 86 };
        if tag.len() != length || !of_alphabet(tag) {
            return Err(malformed("the hash has to be 43 (or 86) of ./0-9A-Za-z"));
        }
        Ok(Self {
            kind,
            rounds,
            salt: salt.to_owned(),
            tag: tag.to_owned(),
        })
    }

    pub fn to_text(&self) -> String {
        let Self {
            kind,
            rounds,
            salt,
            tag,
        } = self;
        format!("${kind}$rounds={rounds}${salt}${tag}")
    }

    pub fn matches(&self, typed: &[u8]) -> bool {
        sha_crypt::ShaCrypt::default()
            .verify_password(text::c_string(typed), self.to_text().as_str())
            .is_ok()
    }
}
