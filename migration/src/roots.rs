//! The authorities that the system trusts, for `sslrootcert=system`.

use base64::{Engine as _, engine::general_purpose::STANDARD};

/// All of them, as PEM. Empty where the system has none: then nothing is trusted.
///
/// `SSL_CERT_FILE` and `SSL_CERT_DIR` name others, as they do for OpenSSL.
#[must_use]
pub fn system_roots() -> Vec<u8> {
    let found = rustls_native_certs::load_native_certs();
    for error in &found.errors {
        tracing::debug!(%error, "a certificate of the system cannot be read");
    }
    if found.certs.is_empty() {
        tracing::warn!("the system trusts no certificate authority: give `sslrootcert` a file");
    }
    let mut pem = String::new();
    for certificate in found.certs {
        pem.push_str("-----BEGIN CERTIFICATE-----\n");
        pem.push_str(&STANDARD.encode(&certificate));
        pem.push_str("\n-----END CERTIFICATE-----\n");
    }
    pem.into_bytes()
}
