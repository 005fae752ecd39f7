//! An authority, and certificates of every kind.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, date_time_ymd};

/// A certificate and its key, as PEM.
pub struct Pair {
    pub certificate: String,
    pub key: String,
}

/// Years of validity: from, to.
pub const NOW: (i32, i32) = (2020, 2090);
pub const PAST: (i32, i32) = (2020, 2021);
pub const FUTURE: (i32, i32) = (2080, 2090);

/// An authority of the tests' own.
pub struct Authority {
    pub certificate: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    pub fn make() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap().pem();
        Self {
            certificate,
            issuer: Issuer::new(params, key),
        }
    }

    /// One for `name`, valid in `years`.
    pub fn issue(&self, name: &str, years: (i32, i32)) -> Pair {
        let (params, key) = request(name, years);
        Pair {
            certificate: params.signed_by(&key, &self.issuer).unwrap().pem(),
            key: key.serialize_pem(),
        }
    }
}

/// One that vouches for itself.
pub fn self_signed(name: &str) -> Pair {
    let (params, key) = request(name, NOW);
    Pair {
        certificate: params.self_signed(&key).unwrap().pem(),
        key: key.serialize_pem(),
    }
}

fn request(name: &str, (from, to): (i32, i32)) -> (CertificateParams, KeyPair) {
    let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    params
        .distinguished_name
        .push(rcgen::DnType::CommonName, name);
    params.not_before = date_time_ymd(from, 1, 1);
    params.not_after = date_time_ymd(to, 1, 1);
    (params, KeyPair::generate().unwrap())
}

impl Pair {
    /// Writes `<stem>.crt` and `<stem>.key`, the key closed to others.
    pub fn write(&self, folder: &Path, stem: &str) {
        fs::write(folder.join(format!("{stem}.crt")), &self.certificate).unwrap();
        let key = folder.join(format!("{stem}.key"));
        fs::write(&key, &self.key).unwrap();
        fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    }
}
