//! scrypt (RFC 7914): `$scrypt$ln=17,r=8,p=1$<salt>$<hash>` as passlib and others write it, and
//! Django's `scrypt$<N>$<salt as it is>$<r>$<p>$<hash>`.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use scrypt::Params;
use zeroize::Zeroizing;

use super::{FormatFault, Reading, text};

pub const NAME: &str = "scrypt";
/// N times r: 256 MiB.
const MAX_MEMORY: u64 = 1 << 21;
/// N times r times p: about a second.
const MAX_WORK: u64 = 1 << 22;
pub const LIMIT: &str = "N·r = 2097152 (256 MiB) and N·r·p = 4194304";

/// What it costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cost {
    /// The logarithm of N to base 2.
    pub log_n: u8,
    /// The size of a block in 128 bytes.
    pub r: u32,
    /// How often it is done.
    pub p: u32,
}

impl Cost {
    /// Within the bounds.
    pub fn checked(self, name: &'static str) -> Result<Self, FormatFault> {
        let Self { log_n, r, p } = self;
        let malformed = FormatFault::Malformed {
            name,
            why: "N has to be a power of 2 from 2 on, r and p 1 or more",
        };
        if !(1..=63).contains(&log_n) || r == 0 || p == 0 {
            return Err(malformed);
        }
        let memory = (1_u64 << log_n).saturating_mul(u64::from(r));
        if memory > MAX_MEMORY || memory.saturating_mul(u64::from(p)) > MAX_WORK {
            return Err(FormatFault::TooCostly {
                name,
                cost: format!("ln={log_n}, r={r}, p={p}"),
                limit: LIMIT,
            });
        }
        // The library's own bounds are far wider.
        Params::new(log_n, r, p).map_err(|_| malformed)?;
        Ok(self)
    }

    /// `length` bytes of output; `None` only beyond the bounds.
    pub fn derive(self, typed: &[u8], salt: &[u8], length: usize) -> Option<Zeroizing<Vec<u8>>> {
        let params = Params::new(self.log_n, self.r, self.p).ok()?;
        let mut output = Zeroizing::new(vec![0; length]);
        scrypt::scrypt(typed, salt, &params, &mut output).ok()?;
        Some(output)
    }
}

/// One scrypt hash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scrypt {
    cost: Cost,
    salt: Vec<u8>,
    tag: Vec<u8>,
}

impl Scrypt {
    pub fn read(text: &str) -> Reading<Self> {
        let parts: Vec<&str> = text.split('$').collect();
        Some(match parts.as_slice() {
            ["", "scrypt", cost, salt, tag] => {
                let of = |name| text::param(cost, name);
                let log_n = of("ln").and_then(|text| text.parse().ok());
                Self::of_parts(log_n, of("r"), of("p"), text::decode(salt), tag)
            }
            ["scrypt", n, salt, r, p, tag] => {
                let n: Option<u64> = n.parse().ok();
                let log_n = n.filter(|n| n.is_power_of_two()).map(u64::ilog2);
                let log_n = log_n.and_then(|log_n| u8::try_from(log_n).ok());
                let salt = salt.as_bytes().to_vec();
                Self::of_parts(log_n, Some(r), Some(p), Some(salt), tag)
            }
            ["" | "scrypt", "scrypt", ..] | ["scrypt", ..] => Err(FormatFault::Malformed {
                name: NAME,
                why: "the form is $scrypt$ln=…,r=…,p=…$salt$hash, or scrypt$N$salt$r$p$hash",
            }),
            _ => return None,
        })
    }

    fn of_parts(
        log_n: Option<u8>,
        r: Option<&str>,
        p: Option<&str>,
        salt: Option<Vec<u8>>,
        tag: &str,
    ) -> Result<Self, FormatFault> {
        let number = |text: Option<&str>| text.and_then(|text| text.parse().ok()).unwrap_or(0);
        let cost = Cost {
            log_n: log_n.unwrap_or(0),
            r: number(r),
            p: number(p),
        };
        Ok(Self {
            cost: cost.checked(NAME)?,
            salt: text::salt(NAME, salt)?,
            tag: text::tag(NAME, text::decode(tag))?,
        })
    }

    pub fn to_text(&self) -> String {
        let Cost { log_n, r, p } = self.cost;
        let (salt, tag) = (text::encode(&self.salt), text::encode(&self.tag));
        format!("$scrypt$ln={log_n},r={r},p={p}${salt}${tag}")
    }

    pub fn matches(&self, typed: &[u8]) -> bool {
        let computed = self.cost.derive(typed, &self.salt, self.tag.len());
        computed.is_some_and(|tag| verify_slices_are_equal(&tag, &self.tag).is_ok())
    }
}
