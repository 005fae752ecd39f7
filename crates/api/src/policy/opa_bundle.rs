//! The policy as a signed bundle for OPA servers.
//!
//! See <https://www.openpolicyagent.org/docs/management-bundles>: a gzipped tar with the Rego
//! files, `data.json`, `.manifest`, and `.signatures.json`, which holds one JWT over the SHA-256
//! of every other file.
use std::io::{self, Write};

use aws_lc_rs::{
    agreement::{self, ECDH_P256},
    digest,
    error::Unspecified,
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _},
};
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use flate2::{Compression, write::GzEncoder};
use serde_json::{Value, json};

use super::bundle::Bundle;

/// The scope that stands in the signature: what OPA's `signing.scope` may demand.
pub const SCOPE: &str = "gatepost";
/// A tar is made of blocks of this size, in bytes.
const BLOCK: usize = 512;
/// What comes before the point in a `SubjectPublicKeyInfo` of P-256 (RFC 5480).
const SPKI_P256: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a,
    0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];

/// Signs bundles by ES256, with a key that follows from `SECRET_KEY`: all instances have the same,
/// and OPA servers, which know the public half by their configuration, outlive rotations of the
/// keys that sign access tokens.
pub struct BundleKey {
    pair: EcdsaKeyPair,
    kid: String,
}

/// Why there is no bundle.
#[derive(Debug, thiserror::Error)]
pub enum PackFault {
    /// The cryptographic library failed.
    #[error("the bundle cannot be signed")]
    Crypto(#[from] Unspecified),
    /// The data has what canonical JSON cannot hold, or memory ran out.
    #[error("the bundle cannot be written: {0}")]
    Write(#[from] io::Error),
    /// A path is longer than a tar can hold.
    #[error("{0}: longer than the 255 bytes that a bundle can hold")]
    Path(String),
}

impl BundleKey {
    /// The key that follows from `secret`, 32 bytes that nobody else knows.
    ///
    /// # Errors
    ///
    /// [`PackFault::Crypto`].
    pub fn new(secret: &[u8; 32]) -> Result<Self, PackFault> {
        // Not every number is below the order of the curve: the chance of the first one not
        // being so is 2^-32.
        for attempt in 0..=u8::MAX {
            let mut input = secret.to_vec();
            input.push(attempt);
            let scalar = digest::digest(&digest::SHA256, &input);
            let Ok(private) = agreement::PrivateKey::from_private_key(&ECDH_P256, scalar.as_ref())
            else {
                continue;
            };
            let public = private.compute_public_key()?;
            let pair = EcdsaKeyPair::from_private_key_and_public_key(
                &ECDSA_P256_SHA256_FIXED_SIGNING,
                scalar.as_ref(),
                public.as_ref(),
            )
            .map_err(|_| Unspecified)?;
            let hash = digest::digest(&digest::SHA256, public.as_ref());
            let kid = URL_SAFE_NO_PAD.encode(&hash.as_ref()[..12]);
            return Ok(Self { pair, kid });
        }
        Err(Unspecified.into())
    }

    /// Its id, which stands in the signature's header.
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// The public half as OPA's configuration takes it: PEM.
    pub fn public_pem(&self) -> String {
        let mut der = SPKI_P256.to_vec();
        der.extend_from_slice(self.pair.public_key().as_ref());
        let text = STANDARD.encode(der);
        let mut pem = "-----BEGIN PUBLIC KEY-----\n".to_owned();
        for line in text.as_bytes().chunks(64) {
            pem.push_str(&String::from_utf8_lossy(line));
            pem.push('\n');
        }
        pem.push_str("-----END PUBLIC KEY-----\n");
        pem
    }

    fn sign(&self, payload: &Value) -> Result<String, PackFault> {
        let header = json!({"alg": "ES256", "kid": self.kid, "typ": "JWT"});
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let message = format!("{}.{}", part(&header), part(payload));
        let signature = self.pair.sign(&SystemRandom::new(), message.as_bytes())?;
        Ok(format!(
            "{message}.{}",
            URL_SAFE_NO_PAD.encode(signature.as_ref())
        ))
    }
}

/// The policy's entity tag: another policy or another key has another one.
pub fn etag(bundle: &Bundle, key: &BundleKey) -> String {
    format!("\"{}.{}\"", bundle.digest(), key.kid)
}

/// The bundle as it is sent: a gzipped tar. Its revision is the policy's digest.
///
/// # Errors
///
/// [`PackFault`].
pub fn pack(bundle: &Bundle, key: &BundleKey) -> Result<Vec<u8>, PackFault> {
    let manifest = json!({
        "revision": bundle.digest(),
        "roots": bundle.roots(),
        "rego_version": 1,
    });
    let mut files = vec![
        (".manifest".to_owned(), canonical(&manifest)?),
        ("data.json".to_owned(), canonical(bundle.data())?),
    ];
    files.extend(
        bundle
            .modules()
            .iter()
            .map(|(path, text)| (path.clone(), text.clone())),
    );
    let hashes: Vec<Value> = files
        .iter()
        .map(|(name, text)| json!({"name": name, "hash": sha256(text), "algorithm": "SHA-256"}))
        .collect();
    let signature = key.sign(&json!({"files": hashes, "scope": SCOPE}))?;
    let signatures = json!({"signatures": [signature]}).to_string();
    files.push((".signatures.json".to_owned(), signatures));
    let mut zip = GzEncoder::new(Vec::new(), Compression::default());
    for (path, text) in &files {
        write_file(&mut zip, path, text.as_bytes())?;
    }
    // Two empty blocks end a tar.
    zip.write_all(&[0; 2 * BLOCK])?;
    Ok(zip.finish()?)
}

/// JSON as OPA hashes it: sorted keys, no space, and what its encoder always escapes, escaped.
fn canonical(value: &Value) -> Result<String, PackFault> {
    let text = serde_json_canonicalizer::to_string(value).map_err(io::Error::other)?;
    Ok(text
        .replace('\u{2028}', "\\u2028")
        .replace('\u{2029}', "\\u2029"))
}

fn sha256(text: &str) -> String {
    use std::fmt::Write as _;

    let hash = digest::digest(&digest::SHA256, text.as_bytes());
    hash.as_ref().iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

/// One file of a tar (POSIX ustar): a header of one block, and the content in whole blocks.
fn write_file(to: &mut impl Write, path: &str, content: &[u8]) -> Result<(), PackFault> {
    let too_long = || PackFault::Path(path.to_owned());
    let (prefix, name) = if path.len() <= 100 {
        ("", path)
    } else {
        // The name holds 100 bytes; folders that it has no place for go before it.
        let cut = path
            .match_indices('/')
            .map(|(at, _)| at)
            .find(|at| path.len() - at - 1 <= 100 && *at <= 155)
            .ok_or_else(too_long)?;
        (&path[..cut], &path[cut + 1..])
    };
    let mut header = [0_u8; BLOCK];
    let mut put = |at: usize, text: &str| {
        header[at..at + text.len()].copy_from_slice(text.as_bytes());
    };
    put(0, name);
    put(100, "0000644\0");
    put(108, "0000000\0");
    put(116, "0000000\0");
    put(124, &format!("{:011o}\0", content.len()));
    put(136, "00000000000\0");
    // The sum is taken with spaces where it will stand.
    put(148, "        ");
    put(156, "0");
    put(257, "ustar\0");
    put(263, "00");
    put(345, prefix);
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    let sum = format!("{sum:06o}\0 ");
    header[148..156].copy_from_slice(sum.as_bytes());
    to.write_all(&header)?;
    to.write_all(content)?;
    to.write_all(&vec![
        0;
        content.len().next_multiple_of(BLOCK) - content.len()
    ])?;
    Ok(())
}
