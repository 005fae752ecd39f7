//! bcrypt: `$2b$12$<22 characters of salt><31 of hash>`, and Django's `bcrypt$…` and
//! `bcrypt_sha256$…`, which hashes the hexadecimal SHA-256 of the password.
//!
//! `$2a$`, `$2b$` and `$2y$` are computed alike: as today's implementations do, of the first 72
//! bytes, and of what stands before a NUL. `$2x$` and `$2$` are not ([`super::refused`]).

use aws_lc_rs::{constant_time::verify_slices_are_equal, digest};
use base64::{
    Engine,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use zeroize::Zeroizing;

use super::{FormatFault, Reading, text};

pub const NAME: &str = "bcrypt";
/// About a second.
const MAX_COST: u32 = 14;
const LIMIT: &str = "cost 14";
/// Of the password, its NUL included.
const KEY_BYTES: usize = 72;
const SALT_BYTES: usize = 16;
const TAG_BYTES: usize = 23;

/// bcrypt's own alphabet. The spare bits of the last character are not zero in every salt.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::BCRYPT,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::RequireNone)
        .with_encode_padding(false)
        .with_decode_allow_trailing_bits(true),
);

/// One bcrypt hash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bcrypt {
    /// Whether the hexadecimal SHA-256 of the password was hashed.
    prehashed: bool,
    cost: u32,
    salt: [u8; SALT_BYTES],
    tag: [u8; TAG_BYTES],
}

impl Bcrypt {
    pub fn read(text: &str) -> Reading<Self> {
        let (prehashed, rest) = match text.strip_prefix("bcrypt_sha256$") {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix("bcrypt$").unwrap_or(text)),
        };
        let rest = ["$2a$", "$2b$", "$2y$"]
            .iter()
            .find_map(|version| rest.strip_prefix(version))?;
        Some(Self::parse(prehashed, rest))
    }

    /// `12$<salt and hash>`
    fn parse(prehashed: bool, rest: &str) -> Result<Self, FormatFault> {
        let form = FormatFault::Malformed {
            name: NAME,
            why: "the form is $2b$12$ and 53 characters",
        };
        let parts = rest.split_once('$').and_then(|(cost, rest)| {
            let (salt, tag) = rest.split_at_checked(22)?;
            let is_cost = cost.len() == 2 && cost.bytes().all(|b| b.is_ascii_digit());
            Some((
                cost.parse::<u32>().ok().filter(|_| is_cost)?,
                BASE64.decode(salt).ok()?.try_into().ok()?,
                BASE64.decode(tag).ok()?.try_into().ok()?,
            ))
        });
        let (cost, salt, tag) = parts.ok_or_else(|| form.clone())?;
        if !(4..=31).contains(&cost) {
            return Err(form);
        }
        if cost > MAX_COST {
            return Err(FormatFault::TooCostly {
                name: NAME,
                cost: format!("cost {cost}"),
                limit: LIMIT,
            });
        }
        Ok(Self {
            prehashed,
            cost,
            salt,
            tag,
        })
    }

    pub fn to_text(&self) -> String {
        format!(
            "{prefix}$2b${cost:02}${salt}{tag}",
            prefix = if self.prehashed { "bcrypt_sha256$" } else { "" },
            cost = self.cost,
            salt = BASE64.encode(self.salt),
            tag = BASE64.encode(self.tag),
        )
    }

    pub fn matches(&self, typed: &[u8]) -> bool {
        let mut key = Zeroizing::new(Vec::with_capacity(KEY_BYTES));
        if self.prehashed {
            let digest = digest::digest(&digest::SHA256, typed);
            let hex = digest.as_ref().iter().flat_map(|byte| {
                [byte >> 4, byte & 15].map(|digit| b"0123456789abcdef"[usize::from(digit)])
            });
            key.extend(hex);
        } else {
            let typed = text::c_string(typed);
            key.extend(&typed[..typed.len().min(KEY_BYTES)]);
        }
        if key.len() < KEY_BYTES {
            key.push(0);
        }
        let computed = Zeroizing::new(bcrypt::bcrypt(self.cost, self.salt, &key));
        verify_slices_are_equal(&computed[..TAG_BYTES], &self.tag).is_ok()
    }
}
