//! Argon2 (RFC 9106) as PHC strings: `$argon2id$v=19$m=19456,t=2,p=1$<salt>$<hash>`.
//!
//! Without `v=` it is version 1.0 (0x10), which has other tags.

use argon2::{Algorithm, Params, Version, password_hash::phc::PasswordHash};

use super::{FormatFault, Reading, text};

/// Stored hashes beyond these bounds are refused, whoever wrote them: one login must not take the
/// machine's memory or its time.
pub const MAX_MEMORY_KIB: u32 = 256 * 1024;
/// Passes over the memory.
pub const MAX_TIME: u32 = 10;

/// One Argon2 hash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Argon2Hash {
    /// Which of the three.
    pub algorithm: Algorithm,
    /// 1.0 or 1.3.
    pub version: Version,
    /// Memory, passes, lanes.
    pub params: Params,
    /// 8 bytes or more.
    pub salt: Vec<u8>,
    /// 16 to 64 bytes.
    pub tag: Vec<u8>,
}

const fn name(algorithm: Algorithm) -> &'static str {
    match algorithm {
        Algorithm::Argon2d => "Argon2d",
        Algorithm::Argon2i => "Argon2i",
        Algorithm::Argon2id => "Argon2id",
    }
}

impl Argon2Hash {
    pub const fn name(&self) -> &'static str {
        name(self.algorithm)
    }

    pub fn read(text: &str) -> Reading<Self> {
        let algorithm = match text.strip_prefix('$')?.split('$').next()? {
            "argon2d" => Algorithm::Argon2d,
            "argon2i" => Algorithm::Argon2i,
            "argon2id" => Algorithm::Argon2id,
            _ => return None,
        };
        Some(Self::parse(algorithm, text))
    }

    fn parse(algorithm: Algorithm, text: &str) -> Result<Self, FormatFault> {
        let name = name(algorithm);
        let malformed = |why| FormatFault::Malformed { name, why };
        let form = "the form is $argon2id$v=19$m=…,t=…,p=…$salt$hash";
        let hash = PasswordHash::new(text).map_err(|_| malformed(form))?;
        let version = match hash.version {
            None | Some(0x10) => Version::V0x10,
            Some(0x13) => Version::V0x13,
            Some(_) => return Err(malformed("the version has to be 16 or 19")),
        };
        if hash
            .params
            .iter()
            .any(|(key, _)| matches!(key.as_str(), "keyid" | "data"))
        {
            return Err(malformed("keyid and data are not supported"));
        }
        let params = Params::try_from(&hash)
            .map_err(|_| malformed("m has to be 8 times p or more, t and p 1 or more"))?;
        let (Some(salt), Some(tag)) = (hash.salt, hash.hash) else {
            return Err(malformed(form));
        };
        if salt.len() < argon2::MIN_SALT_LEN {
            return Err(malformed("the salt has to be 8 bytes or more"));
        }
        Self::bounded(Self {
            algorithm,
            version,
            params,
            salt: salt.to_vec(),
            tag: text::tag(name, Some(tag.as_bytes().to_vec()))?,
        })
    }

    /// From its parts, as Keycloak keeps them.
    pub fn of_parts(
        algorithm: Algorithm,
        version: Version,
        [memory_kib, time, lanes]: [u32; 3],
        salt: Vec<u8>,
        tag: Vec<u8>,
    ) -> Result<Self, FormatFault> {
        let params = Params::new(memory_kib, time, lanes, Some(tag.len())).map_err(|_| {
            FormatFault::Malformed {
                name: name(algorithm),
                why: "memory has to be 8 times the lanes or more, passes and lanes 1 or more",
            }
        })?;
        let hash = Self {
            algorithm,
            version,
            params,
            salt,
            tag,
        };
        Self::parse(algorithm, &hash.to_text())
    }

    fn bounded(self) -> Result<Self, FormatFault> {
        let (memory, time) = (self.params.m_cost(), self.params.t_cost());
        if memory > MAX_MEMORY_KIB || time > MAX_TIME {
            return Err(FormatFault::TooCostly {
                name: self.name(),
                cost: format!("m={memory}, t={time}"),
                limit: "m=262144 and t=10",
            });
        }
        Ok(self)
    }

    pub fn to_text(&self) -> String {
        let version = u32::from(self.version);
        let (memory, time) = (self.params.m_cost(), self.params.t_cost());
        format!(
            "${algorithm}$v={version}$m={memory},t={time},p={lanes}${salt}${tag}",
            algorithm = self.algorithm.as_str(),
            lanes = self.params.p_cost(),
            salt = text::encode(&self.salt),
            tag = text::encode(&self.tag),
        )
    }
}
