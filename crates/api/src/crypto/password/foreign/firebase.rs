//! Firebase's scrypt, as <https://github.com/firebase/scrypt> has it: the password's scrypt is the
//! key that AES-256-CTR encrypts the project's signer key with; the result is the hash.
//!
//! The parameters are the project's, not the hash's, so our text carries them:
//! `$firebase-scrypt$ln=14,r=8,sep=Bw,key=<signer key>$<salt>$<hash>`, where `ln` is the
//! project's `mem_cost`, `r` its `rounds` and `sep` its `base64_salt_separator`.

use aws_lc_rs::{
    cipher::{AES_256, EncryptingKey, EncryptionContext, UnboundCipherKey},
    constant_time::verify_slices_are_equal,
    iv::FixedLength,
};

use super::{FormatFault, Reading, scrypt::Cost, text};

pub const NAME: &str = "Firebase scrypt";
/// So that the text fits its column.
const MAX_SALT: usize = 24;
const MAX_SEPARATOR: usize = 8;
const KEY_BYTES: usize = 32;

/// One hash of Firebase, with the parameters of its project.
#[derive(Clone, PartialEq, Eq)]
pub struct Firebase {
    cost: Cost,
    separator: Vec<u8>,
    signer_key: Vec<u8>,
    salt: Vec<u8>,
    tag: Vec<u8>,
}

impl std::fmt::Debug for Firebase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Firebase")
            .field("cost", &self.cost)
            .finish_non_exhaustive()
    }
}

impl Firebase {
    pub fn read(text: &str) -> Reading<Self> {
        let rest = text.strip_prefix("$firebase-scrypt$")?;
        Some(Self::parse(rest))
    }

    fn parse(rest: &str) -> Result<Self, FormatFault> {
        let malformed = |why| FormatFault::Malformed { name: NAME, why };
        let &[params, salt, tag] = rest.split('$').collect::<Vec<_>>().as_slice() else {
            return Err(malformed(
                "the form is $firebase-scrypt$ln=…,r=…,sep=…,key=…$salt$hash",
            ));
        };
        let number = |name| text::param(params, name).and_then(|text| text.parse().ok());
        let bytes = |name| text::param(params, name).and_then(text::decode);
        let cost = Cost {
            log_n: number("ln")
                .and_then(|n: u32| u8::try_from(n).ok())
                .unwrap_or(0),
            r: number("r").unwrap_or(0),
            p: 1,
        };
        let hash = Self {
            cost: cost.checked(NAME)?,
            separator: bytes("sep").ok_or_else(|| malformed("sep has to be base64"))?,
            signer_key: text::tag(NAME, bytes("key"))?,
            salt: text::salt(NAME, text::decode(salt))?,
            tag: text::tag(NAME, text::decode(tag))?,
        };
        if hash.tag.len() != hash.signer_key.len() {
            return Err(malformed("the hash has to be as long as the signer key"));
        }
        if hash.salt.len() > MAX_SALT || hash.separator.len() > MAX_SEPARATOR {
            return Err(malformed("the salt has at most 24 bytes, the separator 8"));
        }
        Ok(hash)
    }

    pub fn to_text(&self) -> String {
        let [separator, key, salt, tag] =
            [&self.separator, &self.signer_key, &self.salt, &self.tag]
                .map(|part| text::encode(part));
        let Cost { log_n, r, .. } = self.cost;
        format!("$firebase-scrypt$ln={log_n},r={r},sep={separator},key={key}${salt}${tag}")
    }

    pub fn matches(&self, typed: &[u8]) -> bool {
        let salt = [self.salt.as_slice(), &self.separator].concat();
        let computed = self.cost.derive(typed, &salt, KEY_BYTES).and_then(|key| {
            let key = UnboundCipherKey::new(&AES_256, &key).ok()?;
            // The counter begins at zero: each key encrypts one text only.
            let counter = EncryptionContext::Iv128(FixedLength::from([0; 16]));
            let mut text = self.signer_key.clone();
            EncryptingKey::ctr(key)
                .ok()?
                .less_safe_encrypt(&mut text, counter)
                .ok()?;
            Some(text)
        });
        computed.is_some_and(|tag| verify_slices_are_equal(&tag, &self.tag).is_ok())
    }
}
