//! What a certificate says.

use std::{net::IpAddr, path::Path};

use aws_lc_rs::digest;
use chrono::{DateTime, Utc};
use rcgen::{KeyPair, PublicKeyData};
use x509_parser::prelude::{FromDer, GeneralName, ParsedExtension, X509Certificate};

use super::model::{TlsError, read};

/// A certificate, for people and programs.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Certificate {
    /// Whose it is.
    pub subject: String,
    /// Who signed it.
    pub issuer: String,
    /// Host names and addresses that it is good for.
    pub names: Vec<String>,
    /// From when.
    pub not_before: DateTime<Utc>,
    /// Until when.
    pub not_after: DateTime<Utc>,
    /// Whole days until then; negative afterwards.
    pub days_left: i64,
    /// SHA-256 of it, in hexadecimal.
    pub fingerprint: String,
    /// Whether the key beside it is its own. `None` if no key was looked at.
    pub key_matches: Option<bool>,
    /// Whether others than its owner may read the key, which PostgreSQL refuses.
    pub key_is_open: Option<bool>,
    /// Whether it may sign others.
    pub is_authority: bool,
}

impl Certificate {
    /// Whether a server can be run with it at `now`.
    pub fn is_usable(&self, now: DateTime<Utc>) -> bool {
        (self.not_before..=self.not_after).contains(&now)
            && self.key_matches != Some(false)
            && self.key_is_open != Some(true)
    }
}

/// Reads a certificate and, if it is named, the key that should be its own.
///
/// # Errors
///
/// A file that cannot be read, or holds something else.
pub fn look(path: &Path, key: Option<&Path>, now: DateTime<Utc>) -> Result<Certificate, TlsError> {
    let text = read(path)?;
    let wrong = |why: String| TlsError::Content {
        path: path.to_owned(),
        expected: "certificate",
        why,
    };
    let (_, pem) = x509_parser::pem::parse_x509_pem(text.as_bytes())
        .map_err(|error| wrong(error.to_string()))?;
    let (_, certificate) =
        X509Certificate::from_der(&pem.contents).map_err(|error| wrong(error.to_string()))?;
    let validity = certificate.validity();
    let time = |time: x509_parser::time::ASN1Time| {
        DateTime::from_timestamp(time.timestamp(), 0)
            .ok_or_else(|| wrong("its dates are out of range".to_owned()))
    };
    let (not_before, not_after) = (time(validity.not_before)?, time(validity.not_after)?);
    let key_matches = key
        .map(|key| -> Result<bool, TlsError> {
            let pair = read_key(key)?;
            let raw = certificate.public_key().subject_public_key.data.as_ref();
            Ok(pair.der_bytes() == raw)
        })
        .transpose()?;
    Ok(Certificate {
        subject: certificate.subject().to_string(),
        issuer: certificate.issuer().to_string(),
        names: names(&certificate),
        not_before,
        not_after,
        days_left: (not_after - now).num_days(),
        fingerprint: fingerprint(&pem.contents),
        key_matches,
        key_is_open: key.map(is_open),
        is_authority: certificate.is_ca(),
    })
}

pub(super) fn read_key(path: &Path) -> Result<KeyPair, TlsError> {
    KeyPair::from_pem(&read(path)?).map_err(|error| TlsError::Content {
        path: path.to_owned(),
        expected: "private key",
        why: error.to_string(),
    })
}

#[cfg(unix)]
fn is_open(path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    // A key of root's may be readable for the server's group.
    std::fs::metadata(path).is_ok_and(|found| {
        let allowed = if found.uid() == 0 { 0o640 } else { 0o600 };
        found.mode() & 0o777 & !allowed != 0
    })
}

#[cfg(not(unix))]
fn is_open(_: &Path) -> bool {
    false
}

fn names(certificate: &X509Certificate<'_>) -> Vec<String> {
    let mut names = Vec::new();
    for extension in certificate.extensions() {
        let ParsedExtension::SubjectAlternativeName(found) = extension.parsed_extension() else {
            continue;
        };
        for name in &found.general_names {
            match name {
                GeneralName::DNSName(name) => names.push((*name).to_owned()),
                GeneralName::IPAddress(bytes) => names.extend(address(bytes)),
                other => names.push(other.to_string()),
            }
        }
    }
    names
}

fn address(bytes: &[u8]) -> Option<String> {
    let address = match bytes.len() {
        4 => IpAddr::from(<[u8; 4]>::try_from(bytes).ok()?),
        _ => IpAddr::from(<[u8; 16]>::try_from(bytes).ok()?),
    };
    Some(address.to_string())
}

fn fingerprint(der: &[u8]) -> String {
    let hash = digest::digest(&digest::SHA256, der);
    let pairs: Vec<_> = hash
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02X}"))
        .collect();
    pairs.join(":")
}
