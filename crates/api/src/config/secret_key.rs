//! Key material: how it is read from text, made, and kept out of sight.

use std::fmt;
use std::fs;
use std::io;
use std::path::Path;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use thiserror::Error;
use zeroize::Zeroizing;

use crate::files::write_private;

/// The fewest bytes that a key has.
const MIN_BYTES: usize = 32;
/// More than this is a file in the wrong place rather than a key.
const MAX_BYTES: usize = 1024;
/// 32 random bytes have fewer different values than this in less than one of 10^10 keys.
const MIN_DIFFERENT: usize = 16;
/// Words of placeholders. Six letters turn up by chance in one of 10^7 base64 keys.
const PLACEHOLDERS: [&str; 6] = [
    "change",
    "secret",
    "password",
    "example",
    "placeholder",
    "replace",
];

/// At least 32 bytes of key material, wiped when dropped and never printed.
#[derive(Clone)]
pub struct SecretKey(Zeroizing<Vec<u8>>);

/// Why a text is no key. Says nothing of the text itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum KeyFault {
    /// Neither hex nor base64.
    #[error("is neither hexadecimal nor base64")]
    Encoding,
    /// Fewer than 32 bytes.
    #[error("has {0} bytes; at least 32 are needed")]
    Short(usize),
    /// More than 1024 bytes.
    #[error("has more than 1024 bytes")]
    Long,
    /// Bytes that no random generator made.
    #[error("is not random: it repeats itself or is a placeholder")]
    Predictable,
}

impl SecretKey {
    /// Reads hexadecimal or base64 (either alphabet, padded or not) of 32 to 1024 bytes.
    ///
    /// A text of hexadecimal digits only is hexadecimal, although it would be base64 too.
    ///
    /// # Errors
    ///
    /// What is wrong with it, including bytes that are plainly not random.
    pub fn parse(text: &str) -> Result<Self, KeyFault> {
        let text = text.trim();
        let bytes = Zeroizing::new(decode(text).ok_or(KeyFault::Encoding)?);
        if bytes.len() < MIN_BYTES {
            return Err(KeyFault::Short(bytes.len()));
        }
        if bytes.len() > MAX_BYTES {
            return Err(KeyFault::Long);
        }
        if is_predictable(text, &bytes) {
            return Err(KeyFault::Predictable);
        }
        Ok(Self(bytes))
    }

    /// A new key of 32 random bytes.
    ///
    /// # Errors
    ///
    /// The system has no randomness to give.
    pub fn generate() -> io::Result<Self> {
        loop {
            let mut bytes = Zeroizing::new(vec![0; MIN_BYTES]);
            aws_lc_rs::rand::fill(&mut bytes).map_err(|_| io::Error::other("no random bytes"))?;
            let key = Self(bytes);
            // One in millions happens to spell a placeholder, and would be refused when read.
            if !is_predictable(&key.to_text(), key.expose()) {
                return Ok(key);
            }
        }
    }

    /// The bytes; keep them out of anything that is printed.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// The key as [`Self::parse`] reads it: base64 without padding, safe in URLs and shells.
    pub fn to_text(&self) -> Zeroizing<String> {
        Zeroizing::new(URL_SAFE_NO_PAD.encode(self.expose()))
    }

    /// Whether both are the same, in a time that tells nothing of either.
    pub fn equals(&self, other: &Self) -> bool {
        verify_slices_are_equal(self.expose(), other.expose()).is_ok()
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

fn decode(text: &str) -> Option<Vec<u8>> {
    if text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return hex(text.as_bytes());
    }
    let text = text.trim_end_matches('=');
    STANDARD_NO_PAD
        .decode(text)
        .or_else(|_| URL_SAFE_NO_PAD.decode(text))
        .ok()
}

fn hex(digits: &[u8]) -> Option<Vec<u8>> {
    digits
        .chunks(2)
        .map(|pair| {
            u8::from_str_radix(str::from_utf8(pair).ok().filter(|p| p.len() == 2)?, 16).ok()
        })
        .collect()
}

fn is_predictable(text: &str, bytes: &[u8]) -> bool {
    let lower = Zeroizing::new(text.to_ascii_lowercase());
    let different = bytes.iter().collect::<std::collections::HashSet<_>>().len();
    let steps: std::collections::HashSet<u8> = bytes
        .windows(2)
        .map(|pair| pair[1].wrapping_sub(pair[0]))
        .collect();
    different < MIN_DIFFERENT
        || steps.len() == 1
        || PLACEHOLDERS.iter().any(|word| lower.contains(word))
}

/// The two keys of a development machine, `secret_key` and `csrf_secret_key` in `dir`, which are
/// made (readable for the owner only) when they are missing. Processes that start at the same time
/// end up with the same keys.
///
/// # Errors
///
/// A file that cannot be read or made, or that holds no key.
pub fn secrets_for_development(dir: &Path) -> io::Result<(SecretKey, SecretKey)> {
    fs::create_dir_all(dir)?;
    let secret_key = read_or_make(dir, "secret_key")?;
    let csrf = read_or_make(dir, "csrf_secret_key")?;
    Ok((secret_key, csrf))
}

fn read_or_make(dir: &Path, name: &str) -> io::Result<SecretKey> {
    let path = dir.join(name);
    if !path.try_exists()? {
        let key = SecretKey::generate()?;
        let draft = dir.join(format!(".{name}.{}", uuid::Uuid::now_v7()));
        write_private(&draft, key.to_text().as_bytes())?;
        // A link fails where the name is taken, so the first of several processes wins whole.
        let linked = fs::hard_link(&draft, &path);
        fs::remove_file(&draft)?;
        if let Err(error) = linked
            && error.kind() != io::ErrorKind::AlreadyExists
        {
            return Err(error);
        }
    }
    let text = Zeroizing::new(fs::read_to_string(&path)?);
    SecretKey::parse(&text).map_err(|fault| {
        io::Error::new(
            io::ErrorKind::InvalidData,
            format!("{} {fault}", path.display()),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn to_hex(bytes: &[u8]) -> String {
        let digits: Vec<_> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        digits.concat()
    }

    #[test]
    fn a_key_is_read_from_hex_and_from_every_base64() {
        let key = SecretKey::generate().unwrap();
        let hex = to_hex(key.expose());
        let padded = base64::engine::general_purpose::STANDARD.encode(key.expose());
        for text in [hex.to_uppercase(), hex, padded, key.to_text().to_string()] {
            assert!(SecretKey::parse(&text).unwrap().equals(&key), "{text}");
        }
    }

    #[test]
    fn a_weak_key_is_refused() {
        let counting = to_hex(&(0..32).collect::<Vec<_>>());
        for (text, fault) in [
            ("", KeyFault::Short(0)),
            ("not a key", KeyFault::Encoding),
            (
                "0123456789abcdef0123456789abcdef0123456789abcdef",
                KeyFault::Short(24),
            ),
            ("abc", KeyFault::Encoding),
            (&"a".repeat(64), KeyFault::Predictable),
            (&"5e1f".repeat(16), KeyFault::Predictable),
            (&counting, KeyFault::Predictable),
            (
                "please-change-this-key-before-you-go-live-0123456",
                KeyFault::Encoding,
            ),
            (
                "please-Change-this-key-before-you-go-live-012345",
                KeyFault::Predictable,
            ),
            (&"b7".repeat(2000), KeyFault::Long),
        ] {
            assert_eq!(SecretKey::parse(text).unwrap_err(), fault, "{text}");
        }
    }

    #[test]
    fn a_key_does_not_print() {
        let key = SecretKey::generate().unwrap();
        assert_eq!(format!("{key:?}"), "[secret]");
    }

    #[test]
    fn development_keys_are_made_once_and_private() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("data");
        let (secret, csrf) = secrets_for_development(&folder).unwrap();
        let (again, csrf_again) = secrets_for_development(&folder).unwrap();
        assert!(secret.equals(&again) && csrf.equals(&csrf_again) && !secret.equals(&csrf));
        #[cfg(unix)]
        for entry in fs::read_dir(&folder).unwrap() {
            let mode = std::os::unix::fs::PermissionsExt::mode(
                &entry.unwrap().metadata().unwrap().permissions(),
            );
            assert_eq!(mode & 0o777, 0o600);
        }
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 2);
    }

    #[test]
    fn processes_that_start_together_get_one_key() {
        let dir = tempfile::tempdir().unwrap();
        let keys: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8)
                .map(|_| scope.spawn(|| secrets_for_development(dir.path()).unwrap().0))
                .collect();
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap())
                .collect()
        });
        assert!(keys.iter().all(|key| key.equals(&keys[0])));
    }

    #[test]
    fn a_damaged_development_key_is_told_without_its_text() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("secret_key"), "hunter2 hunter2").unwrap();
        let error = secrets_for_development(dir.path()).unwrap_err().to_string();
        assert!(
            error.contains("secret_key") && !error.contains("hunter2"),
            "{error}"
        );
    }
}
