//! PBKDF2 (RFC 8018) with HMAC of SHA-1, SHA-256 or SHA-512.
//!
//! Kept as PHC strings, `$pbkdf2-sha256$i=600000,l=32$<salt>$<hash>`; also read as passlib writes
//! them (`$pbkdf2-sha256$29000$…`, `$pbkdf2$…` for SHA-1) and as Django does
//! (`pbkdf2_sha256$600000$<salt as it is>$<hash>`).

use std::num::NonZeroU32;

use aws_lc_rs::pbkdf2::{
    self, Algorithm, PBKDF2_HMAC_SHA1, PBKDF2_HMAC_SHA256, PBKDF2_HMAC_SHA512,
};

use super::{FormatFault, Reading, text};

/// Iterations, times the blocks of the hash that is compared: about a second.
const MAX_WORK: u64 = 2_500_000;
const LIMIT: &str = "2500000 iterations, times the blocks of the hash";

/// What HMAC is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Digest {
    /// 20 bytes a block.
    Sha1,
    /// 32 bytes a block.
    Sha256,
    /// 64 bytes a block.
    Sha512,
}

impl Digest {
    const fn name(self) -> &'static str {
        match self {
            Self::Sha1 => "PBKDF2-SHA1",
            Self::Sha256 => "PBKDF2-SHA256",
            Self::Sha512 => "PBKDF2-SHA512",
        }
    }

    const fn word(self) -> &'static str {
        match self {
            Self::Sha1 => "sha1",
            Self::Sha256 => "sha256",
            Self::Sha512 => "sha512",
        }
    }

    fn algorithm(self) -> Algorithm {
        match self {
            Self::Sha1 => PBKDF2_HMAC_SHA1,
            Self::Sha256 => PBKDF2_HMAC_SHA256,
            Self::Sha512 => PBKDF2_HMAC_SHA512,
        }
    }

    const fn block(self) -> u64 {
        match self {
            Self::Sha1 => 20,
            Self::Sha256 => 32,
            Self::Sha512 => 64,
        }
    }

    /// By the first word of a text, and whether it is one of Django's.
    fn of_word(word: &str) -> Option<Self> {
        Some(match word {
            "pbkdf2" | "pbkdf2-sha1" | "pbkdf2_sha1" => Self::Sha1,
            "pbkdf2-sha256" | "pbkdf2_sha256" => Self::Sha256,
            "pbkdf2-sha512" | "pbkdf2_sha512" => Self::Sha512,
            _ => return None,
        })
    }
}

/// One PBKDF2 hash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pbkdf2 {
    digest: Digest,
    iterations: NonZeroU32,
    salt: Vec<u8>,
    tag: Vec<u8>,
}

impl Pbkdf2 {
    pub const fn name(&self) -> &'static str {
        self.digest.name()
    }

    pub fn read(text: &str) -> Reading<Self> {
        let phc = text.strip_prefix('$');
        let mut parts = phc.unwrap_or(text).split('$');
        let digest = Digest::of_word(parts.next()?)?;
        let rest: Vec<&str> = parts.collect();
        Some(Self::parse(digest, phc.is_some(), &rest))
    }

    fn parse(digest: Digest, phc: bool, parts: &[&str]) -> Result<Self, FormatFault> {
        let name = digest.name();
        let &[cost, salt, tag] = parts else {
            return Err(FormatFault::Malformed {
                name,
                why: "iterations, salt and hash have to follow, with $ between",
            });
        };
        let salt = if phc {
            text::decode(salt)
        } else {
            Some(salt.as_bytes().to_vec())
        };
        let tag = text::decode(tag);
        let says = text::param(cost, "l").map(str::parse::<usize>);
        if says.is_some_and(|says| says.ok() != tag.as_ref().map(Vec::len)) {
            return Err(FormatFault::Malformed {
                name,
                why: "the hash does not have the length l",
            });
        }
        let iterations = text::param(cost, "i").unwrap_or(cost);
        Self::of_parts(digest, iterations.parse().ok(), salt, tag)
    }

    /// From its parts, as Keycloak keeps them.
    pub fn of_parts(
        digest: Digest,
        iterations: Option<NonZeroU32>,
        salt: Option<Vec<u8>>,
        tag: Option<Vec<u8>>,
    ) -> Result<Self, FormatFault> {
        let name = digest.name();
        let iterations = iterations.ok_or(FormatFault::Malformed {
            name,
            why: "the iterations have to be a number, 1 or more",
        })?;
        let (salt, tag) = (text::salt(name, salt)?, text::tag(name, tag)?);
        let blocks = (tag.len() as u64).div_ceil(digest.block());
        if u64::from(iterations.get()) * blocks > MAX_WORK {
            return Err(FormatFault::TooCostly {
                name,
                cost: format!("{iterations} iterations, {} bytes", tag.len()),
                limit: LIMIT,
            });
        }
        Ok(Self {
            digest,
            iterations,
            salt,
            tag,
        })
    }

    pub fn to_text(&self) -> String {
        format!(
            "$pbkdf2-{digest}$i={iterations},l={length}${salt}${tag}",
            digest = self.digest.word(),
            iterations = self.iterations,
            length = self.tag.len(),
            salt = text::encode(&self.salt),
            tag = text::encode(&self.tag),
        )
    }

    pub fn matches(&self, typed: &[u8]) -> bool {
        let algorithm = self.digest.algorithm();
        pbkdf2::verify(algorithm, self.iterations, &self.salt, typed, &self.tag).is_ok()
    }
}
