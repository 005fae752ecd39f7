//! One key pair of any of our algorithms.

use std::collections::BTreeMap;

use aws_lc_rs::{
    digest::{SHA256, digest},
    rand::SystemRandom,
    rsa::KeySize,
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _,
        RSA_PKCS1_SHA256, RsaKeyPair,
    },
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::{Algorithm, KeysError};

/// A private key, read once: reading an RSA key for each signature takes longer than signing.
pub(super) struct KeyPair {
    inner: Inner,
    kid: String,
    jwk: Value,
}

enum Inner {
    Ed25519(Ed25519KeyPair),
    P256(EcdsaKeyPair),
    Rsa(RsaKeyPair),
}

impl KeyPair {
    /// Makes a new key, and its PKCS#8 form to be sealed. RSA takes a good part of a second.
    pub(super) fn generate(algorithm: Algorithm) -> Result<(Self, Zeroizing<Vec<u8>>), KeysError> {
        use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};

        let failed = |_| KeysError::Crypto("no key can be made");
        let (inner, pkcs8) = match algorithm {
            Algorithm::EdDSA => {
                let pair = Ed25519KeyPair::generate().map_err(failed)?;
                let pkcs8 = pair.to_pkcs8().map_err(failed)?.as_ref().to_vec();
                (Inner::Ed25519(pair), pkcs8)
            }
            Algorithm::ES256 => {
                let pair =
                    EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).map_err(failed)?;
                let pkcs8 = pair.to_pkcs8v1().map_err(failed)?.as_ref().to_vec();
                (Inner::P256(pair), pkcs8)
            }
            Algorithm::RS256 => {
                let pair = RsaKeyPair::generate(KeySize::Rsa2048).map_err(failed)?;
                let der: Pkcs8V1Der<'_> = pair.as_der().map_err(failed)?;
                let pkcs8 = der.as_ref().to_vec();
                (Inner::Rsa(pair), pkcs8)
            }
        };
        Ok((Self::new(inner), Zeroizing::new(pkcs8)))
    }

    /// Reads what [`generate`](Self::generate) wrote; `None` if it is no key of this algorithm.
    pub(super) fn from_pkcs8(algorithm: Algorithm, pkcs8: &[u8]) -> Option<Self> {
        let inner = match algorithm {
            Algorithm::EdDSA => Ed25519KeyPair::from_pkcs8(pkcs8).map(Inner::Ed25519),
            Algorithm::ES256 => {
                EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8).map(Inner::P256)
            }
            Algorithm::RS256 => RsaKeyPair::from_pkcs8(pkcs8).map(Inner::Rsa),
        };
        inner.ok().map(Self::new)
    }

    fn new(inner: Inner) -> Self {
        let required = public_members(&inner);
        let kid = thumbprint(&required);
        let mut jwk = json!(required);
        jwk["alg"] = json!(inner.algorithm().as_str());
        jwk["kid"] = json!(kid);
        jwk["use"] = json!("sig");
        Self { inner, kid, jwk }
    }

    pub(super) const fn algorithm(&self) -> Algorithm {
        self.inner.algorithm()
    }

    pub(super) fn kid(&self) -> &str {
        &self.kid
    }

    /// The public half (RFC 7517), with `kid`, `alg` and `use`.
    pub(super) fn jwk(&self) -> Value {
        self.jwk.clone()
    }

    pub(super) fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeysError> {
        let failed = |_| KeysError::Crypto("the signature failed");
        match &self.inner {
            Inner::Ed25519(pair) => Ok(pair.try_sign(message).map_err(failed)?.as_ref().to_vec()),
            Inner::P256(pair) => {
                let signature = pair.sign(&SystemRandom::new(), message).map_err(failed)?;
                Ok(signature.as_ref().to_vec())
            }
            Inner::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(
                    &RSA_PKCS1_SHA256,
                    &SystemRandom::new(),
                    message,
                    &mut signature,
                )
                .map_err(failed)?;
                Ok(signature)
            }
        }
    }
}

impl Inner {
    const fn algorithm(&self) -> Algorithm {
        match self {
            Self::Ed25519(_) => Algorithm::EdDSA,
            Self::P256(_) => Algorithm::ES256,
            Self::Rsa(_) => Algorithm::RS256,
        }
    }
}

/// A key's members by name.
pub(super) type Members = BTreeMap<&'static str, String>;

/// The members that a thumbprint covers (RFC 7638, 3.2; RFC 8037, 2).
fn public_members(inner: &Inner) -> Members {
    let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let name = str::to_owned;
    match inner {
        Inner::Ed25519(pair) => Members::from([
            ("kty", name("OKP")),
            ("crv", name("Ed25519")),
            ("x", text(pair.public_key().as_ref())),
        ]),
        Inner::P256(pair) => {
            // SEC 1, 2.3.3: 0x04, then the two coordinates of 32 bytes.
            let (x, y) = pair.public_key().as_ref()[1..].split_at(32);
            Members::from([
                ("kty", name("EC")),
                ("crv", name("P-256")),
                ("x", text(x)),
                ("y", text(y)),
            ])
        }
        Inner::Rsa(pair) => {
            let public = pair.public_key();
            let n = public.modulus().big_endian_without_leading_zero();
            let e = public.exponent().big_endian_without_leading_zero();
            Members::from([("kty", name("RSA")), ("n", text(n)), ("e", text(e))])
        }
    }
}

/// RFC 7638: SHA-256 of the required members as JSON, in the order of their names, without spaces.
pub(super) fn thumbprint(required: &Members) -> String {
    let json = serde_json::to_vec(required).expect("a map of strings is JSON");
    URL_SAFE_NO_PAD.encode(digest(&SHA256, &json))
}
