//! Encryption at rest, and the keys that all come from `SECRET_KEY`.
//!
//! Each use has a label. HKDF-SHA-256 (RFC 5869) makes one key per label, so that no key serves two
//! purposes; AES-256-GCM seals, with the label authenticated, so that what was sealed for one use
//! does not open in another.

use std::fmt;

use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, LessSafeKey, MAX_TAG_LEN, NONCE_LEN, Nonce, UnboundKey},
    hkdf, rand,
};
use zeroize::Zeroizing;

/// Says how the rest is laid out: version, key id, nonce, ciphertext with tag.
const VERSION: u8 = 1;
const KEY_ID_LEN: usize = 4;
const HEADER_LEN: usize = 1 + KEY_ID_LEN;
/// Separates our keys from those that others derive from the same secret.
const SALT: &[u8] = b"gatepost v1";
const KEY_ID_LABEL: &str = "key id";
const SEAL_LABEL: &str = "seal ";

/// Why sealed bytes do not open. Says nothing about their content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnsealError {
    /// Too short, or of a version that this program does not know.
    #[error("not sealed by this version of the program")]
    Malformed,
    /// Sealed under neither `SECRET_KEY` nor `SECRET_KEY_PREVIOUS`.
    #[error("sealed under another secret: set SECRET_KEY_PREVIOUS to the one before")]
    UnknownKey,
    /// Altered, or sealed for another purpose.
    #[error("altered, or sealed for another purpose")]
    Altered,
}

/// Seals and opens with keys derived from `SECRET_KEY`, and derives keys for other uses.
#[derive(Clone)]
pub struct Sealer {
    current: Secret,
    previous: Option<Secret>,
}

#[derive(Clone)]
struct Secret {
    id: [u8; KEY_ID_LEN],
    prk: hkdf::Prk,
}

impl Sealer {
    /// Takes `SECRET_KEY` and, while it is being replaced, `SECRET_KEY_PREVIOUS`.
    ///
    /// `secret` should be 32 random bytes or more; that is checked where settings are read.
    #[must_use]
    pub fn new(secret: &[u8], previous: Option<&[u8]>) -> Self {
        Self {
            current: Secret::new(secret),
            previous: previous.map(Secret::new),
        }
    }

    /// The key for `label`, always from the current secret.
    #[must_use]
    pub fn derive(&self, label: &str) -> Zeroizing<[u8; 32]> {
        self.current.derive(&["use ", label])
    }

    /// Seals `plaintext` for the use that `label` names.
    ///
    /// The nonce is random; 2^32 seals under one label stay within NIST SP 800-38D, 8.3.
    ///
    /// # Panics
    ///
    /// If the system has no random numbers, or for a plaintext of more than 64 GiB.
    #[must_use]
    pub fn seal(&self, label: &str, plaintext: &[u8]) -> Vec<u8> {
        let mut nonce = [0; NONCE_LEN];
        rand::fill(&mut nonce).expect("the system has random numbers");
        let mut sealed = Vec::with_capacity(HEADER_LEN + NONCE_LEN + plaintext.len() + MAX_TAG_LEN);
        sealed.push(VERSION);
        sealed.extend_from_slice(&self.current.id);
        sealed.extend_from_slice(&nonce);
        sealed.extend_from_slice(plaintext);
        let aad = associated_data(self.current.id, label);
        let tag = self
            .current
            .key(label)
            .seal_in_place_separate_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(aad),
                &mut sealed[HEADER_LEN + NONCE_LEN..],
            )
            .expect("AES-GCM takes up to 64 GiB");
        sealed.extend_from_slice(tag.as_ref());
        sealed
    }

    /// Opens what [`seal`](Self::seal) made for the same `label`, under either secret.
    ///
    /// # Errors
    ///
    /// [`UnsealError`], which says whether the secret or the bytes are to blame.
    pub fn open(&self, label: &str, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, UnsealError> {
        let id = key_id(sealed).ok_or(UnsealError::Malformed)?;
        let body = &sealed[HEADER_LEN..];
        if body.len() < NONCE_LEN + MAX_TAG_LEN {
            return Err(UnsealError::Malformed);
        }
        let (nonce, ciphertext) = body.split_at(NONCE_LEN);
        // Four bytes may agree by chance, so every secret that could be meant is tried.
        let mut fault = UnsealError::UnknownKey;
        for secret in self.secrets().filter(|secret| secret.id == id) {
            fault = UnsealError::Altered;
            let nonce = Nonce::try_assume_unique_for_key(nonce).or(Err(UnsealError::Malformed))?;
            let mut plaintext = Zeroizing::new(ciphertext.to_vec());
            let aad = Aad::from(associated_data(id, label));
            if let Ok(opened) = secret.key(label).open_in_place(nonce, aad, &mut plaintext) {
                let length = opened.len();
                plaintext.truncate(length);
                return Ok(plaintext);
            }
        }
        Err(fault)
    }

    /// Whether `sealed` was sealed under the current secret; if not, it should be sealed again.
    #[must_use]
    pub fn is_current(&self, sealed: &[u8]) -> bool {
        key_id(sealed) == Some(self.current.id)
    }

    /// What everything begins with that is sealed under the current secret.
    #[must_use]
    pub fn header(&self) -> [u8; HEADER_LEN] {
        let mut header = [VERSION; HEADER_LEN];
        header[1..].copy_from_slice(&self.current.id);
        header
    }

    fn secrets(&self) -> impl Iterator<Item = &Secret> {
        std::iter::once(&self.current).chain(self.previous.as_ref())
    }
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sealer([secret])")
    }
}

impl Secret {
    fn new(secret: &[u8]) -> Self {
        let prk = hkdf::Salt::new(hkdf::HKDF_SHA256, SALT).extract(secret);
        let mut id = [0; KEY_ID_LEN];
        expand(&prk, &[KEY_ID_LABEL], &mut id);
        Self { id, prk }
    }

    fn derive(&self, label: &[&str]) -> Zeroizing<[u8; 32]> {
        let mut key = Zeroizing::new([0; 32]);
        expand(&self.prk, label, key.as_mut());
        key
    }

    fn key(&self, label: &str) -> LessSafeKey {
        let key = self.derive(&[SEAL_LABEL, label]);
        LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key.as_ref()).expect("the key has 32 bytes"))
    }
}

struct OutputLen(usize);

impl hkdf::KeyType for OutputLen {
    fn len(&self) -> usize {
        self.0
    }
}

fn expand(prk: &hkdf::Prk, label: &[&str], out: &mut [u8]) {
    let info: Vec<&[u8]> = label.iter().map(|part| part.as_bytes()).collect();
    prk.expand(&info, OutputLen(out.len()))
        .and_then(|okm| okm.fill(out))
        .expect("HKDF-SHA-256 gives up to 8160 bytes");
}

fn key_id(sealed: &[u8]) -> Option<[u8; KEY_ID_LEN]> {
    let (version, rest) = sealed.split_first()?;
    (*version == VERSION)
        .then(|| rest.first_chunk().copied())
        .flatten()
}

fn associated_data(id: [u8; KEY_ID_LEN], label: &str) -> Vec<u8> {
    let mut data = Vec::with_capacity(HEADER_LEN + label.len());
    data.push(VERSION);
    data.extend_from_slice(&id);
    data.extend_from_slice(label.as_bytes());
    data
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const OLD: &[u8] = &[1; 32];
    const NEW: &[u8] = &[2; 32];

    #[test]
    fn what_was_sealed_opens_only_under_its_label() {
        let keys = Sealer::new(NEW, None);
        let sealed = keys.seal("a", b"attack at dawn");
        assert_eq!(*keys.open("a", &sealed).unwrap(), b"attack at dawn");
        assert_eq!(keys.open("b", &sealed), Err(UnsealError::Altered));
    }

    #[test]
    fn the_same_text_is_never_sealed_the_same() {
        let keys = Sealer::new(NEW, None);
        assert_ne!(keys.seal("a", b"text"), keys.seal("a", b"text"));
    }

    #[test]
    fn the_previous_secret_opens_until_it_is_dropped() {
        let sealed = Sealer::new(OLD, None).seal("a", b"text");
        let rotating = Sealer::new(NEW, Some(OLD));
        assert_eq!(*rotating.open("a", &sealed).unwrap(), b"text");
        assert!(!rotating.is_current(&sealed));
        let resealed = rotating.seal("a", b"text");
        assert!(rotating.is_current(&resealed));
        let rotated = Sealer::new(NEW, None);
        assert_eq!(*rotated.open("a", &resealed).unwrap(), b"text");
        assert_eq!(rotated.open("a", &sealed), Err(UnsealError::UnknownKey));
    }

    #[test]
    fn every_changed_byte_and_every_cut_is_noticed() {
        let keys = Sealer::new(NEW, Some(OLD));
        let sealed = keys.seal("a", b"text");
        for position in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[position] ^= 1;
            assert!(keys.open("a", &changed).is_err(), "byte {position}");
            assert!(keys.open("a", &sealed[..position]).is_err());
        }
    }

    #[test]
    fn keys_differ_by_label_and_by_secret_and_stay_the_same() {
        let key = |secret, label| *Sealer::new(secret, None).derive(label);
        assert_eq!(key(NEW, "a"), key(NEW, "a"));
        assert_ne!(key(NEW, "a"), key(NEW, "b"));
        assert_ne!(key(NEW, "a"), key(OLD, "a"));
        // Also from the key that seals under the same label.
        assert_ne!(key(NEW, "a"), *Secret::new(NEW).derive(&[SEAL_LABEL, "a"]));
    }

    #[test]
    fn derivation_is_hkdf_sha_256_and_stays_so() {
        // Python: hmac-sha256 extract with salt b"gatepost v1", one expand block of b"use test\x01".
        let expected = "5162f24d136a77976a5ba33a11ca29ebb80585f6593cac9397c9fa0b072922d2";
        let key = Sealer::new(NEW, None).derive("test");
        let hex = key.iter().fold(String::new(), |mut hex, byte| {
            use fmt::Write as _;
            write!(hex, "{byte:02x}").expect("a string takes it");
            hex
        });
        assert_eq!(hex, expected);
    }

    #[test]
    fn debug_shows_no_secret() {
        let keys = Sealer::new(b"very secret bytes", None);
        assert_eq!(format!("{keys:?}"), "Sealer([secret])");
    }

    proptest! {
        #[test]
        fn sealing_is_undone_by_opening(label in ".{0,20}", text in any::<Vec<u8>>()) {
            let keys = Sealer::new(NEW, None);
            prop_assert_eq!(&*keys.open(&label, &keys.seal(&label, &text)).unwrap(), &text);
        }

        #[test]
        fn foreign_bytes_never_open(bytes in any::<Vec<u8>>()) {
            prop_assert!(Sealer::new(NEW, Some(OLD)).open("a", &bytes).is_err());
        }
    }
}
