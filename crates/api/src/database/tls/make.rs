//! Making certificates.

use std::{fs, io, path::Path};

use chrono::{DateTime, TimeDelta, Utc};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, SigningKey,
};
use x509_parser::time::ASN1Time;

use super::{
    look::{look, read_key},
    model::{Folder, TlsError, read, writing},
};
use crate::files;

/// How long the authority lives: longer than the servers that it is made for.
const AUTHORITY_DAYS: i64 = 3650;
/// Clocks differ, and a certificate that is not valid yet is refused.
const BACKDATED: TimeDelta = TimeDelta::hours(1);
/// As much as a common name holds (X.520).
const LONGEST_NAME: usize = 64;

/// A server certificate that was made.
#[derive(Debug)]
pub struct Renewed {
    /// Host names and addresses that it is good for.
    pub names: Vec<String>,
    /// Until when.
    pub not_after: DateTime<Utc>,
    /// Whether it ends early because the authority does.
    pub cut: bool,
}

/// Makes an authority and a server certificate for `names` that is good for `days`.
///
/// # Errors
///
/// There is one already and `force` is false; a bad name; a file that cannot be written.
pub fn init(
    folder: &Folder,
    names: &[String],
    days: u32,
    force: bool,
    now: DateTime<Utc>,
) -> Result<Renewed, TlsError> {
    for path in [
        folder.root(),
        folder.root_key(),
        folder.server(),
        folder.server_key(),
    ] {
        if path.exists() && !force {
            return Err(TlsError::Exists(path));
        }
    }
    // All is made before anything is written.
    let root_key = generate()?;
    let root_params = authority(now)?;
    let root = root_params.self_signed(&root_key).map_err(make)?;
    let end = now + TimeDelta::days(AUTHORITY_DAYS);
    let issuer = Issuer::new(root_params, &root_key);
    let server_key = generate()?;
    let (server, renewed) = server_certificate(&issuer, &server_key, names, days, end, now)?;

    let clients = folder.for_clients();
    for path in [folder.path(), clients.parent().unwrap_or(folder.path())] {
        fs::create_dir_all(path).map_err(writing(path))?;
    }
    private(&folder.root_key(), &root_key.serialize_pem())?;
    private(&folder.server_key(), &server_key.serialize_pem())?;
    public(&folder.root(), &root.pem())?;
    public(&clients, &root.pem())?;
    public(&folder.server(), &server)?;
    Ok(renewed)
}

/// Makes a new server certificate by the same authority: for the same names unless there are
/// others, and with the same key unless a new one is wanted. With the same key one file changes,
/// so that a server that reads just then finds the old pair or the new one.
///
/// # Errors
///
/// A file that cannot be read or written; an authority that has expired.
pub fn renew(
    folder: &Folder,
    names: &[String],
    days: u32,
    new_key: bool,
    now: DateTime<Utc>,
) -> Result<Renewed, TlsError> {
    let root = look(&folder.root(), Some(&folder.root_key()), now)?;
    if root.key_matches == Some(false) {
        return Err(TlsError::OtherKey {
            key: folder.root_key(),
            certificate: folder.root(),
        });
    }
    if root.not_after <= now {
        return Err(TlsError::AuthorityExpired(folder.root()));
    }
    let names = if names.is_empty() {
        look(&folder.server(), None, now)?.names
    } else {
        names.to_vec()
    };
    let root_key = read_key(&folder.root_key())?;
    let root_pem = read(&folder.root())?;
    let issuer = Issuer::from_ca_cert_pem(&root_pem, &root_key).map_err(make)?;
    let server_key = if new_key {
        generate()?
    } else {
        read_key(&folder.server_key())?
    };
    let (server, renewed) =
        server_certificate(&issuer, &server_key, &names, days, root.not_after, now)?;
    if new_key {
        private(&folder.server_key(), &server_key.serialize_pem())?;
    }
    public(&folder.server(), &server)?;
    Ok(renewed)
}

fn generate() -> Result<KeyPair, TlsError> {
    KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).map_err(make)
}

fn authority(now: DateTime<Utc>) -> Result<CertificateParams, TlsError> {
    let mut params = CertificateParams::default();
    let mut name = DistinguishedName::new();
    // Two authorities of one installation must not be taken for each other.
    let number = uuid::Uuid::now_v7().simple().to_string();
    name.push(
        DnType::CommonName,
        format!("Gatepost database authority {}", &number[..12]),
    );
    params.distinguished_name = name;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    valid(&mut params, now, now + TimeDelta::days(AUTHORITY_DAYS))?;
    Ok(params)
}

fn server_certificate(
    issuer: &Issuer<'_, impl SigningKey>,
    key: &KeyPair,
    names: &[String],
    days: u32,
    end: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Result<(String, Renewed), TlsError> {
    let local = ["localhost", "127.0.0.1", "::1"].map(str::to_owned);
    let names = if names.is_empty() { &local } else { names };
    for name in names {
        if !is_host(name) {
            return Err(TlsError::Name(name.clone()));
        }
    }
    let mut params = CertificateParams::new(names).map_err(make)?;
    let mut subject = DistinguishedName::new();
    if let Some(name) = names.iter().find(|name| name.len() <= LONGEST_NAME) {
        subject.push(DnType::CommonName, name.as_str());
    }
    params.distinguished_name = subject;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    let wanted = now + TimeDelta::days(days.into());
    let not_after = wanted.min(end);
    valid(&mut params, now, not_after)?;
    let certificate = params.signed_by(key, issuer).map_err(make)?;
    let renewed = Renewed {
        names: names.to_vec(),
        not_after,
        cut: not_after < wanted,
    };
    Ok((certificate.pem(), renewed))
}

/// A host name (RFC 1123), perhaps with `*.` before it, or an address.
fn is_host(name: &str) -> bool {
    if name.parse::<std::net::IpAddr>().is_ok() {
        return true;
    }
    let labels = name.strip_prefix("*.").unwrap_or(name);
    let is_label = |label: &str| {
        let bytes = label.as_bytes();
        (1..=63).contains(&bytes.len())
            && bytes
                .iter()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(byte))
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    name.len() <= 253 && labels.split('.').all(is_label)
}

fn valid(
    params: &mut CertificateParams,
    now: DateTime<Utc>,
    until: DateTime<Utc>,
) -> Result<(), TlsError> {
    let time = |time: DateTime<Utc>| {
        let time = ASN1Time::from_timestamp(time.timestamp()).map_err(make)?;
        Ok(time.to_datetime())
    };
    params.not_before = time(now - BACKDATED)?;
    params.not_after = time(until)?;
    Ok(())
}

fn make(error: impl std::fmt::Display) -> TlsError {
    TlsError::Make(error.to_string())
}

fn private(path: &Path, text: &str) -> Result<(), TlsError> {
    write(path, text, files::replace_private)
}

fn public(path: &Path, text: &str) -> Result<(), TlsError> {
    write(path, text, files::replace_public)
}

fn write(
    path: &Path,
    text: &str,
    with: fn(&Path, &[u8]) -> io::Result<()>,
) -> Result<(), TlsError> {
    with(path, text.as_bytes()).map_err(writing(path))
}
