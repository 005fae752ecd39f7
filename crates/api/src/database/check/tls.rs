//! TLS with the server, watched: what it shows is kept, also when it is refused.

use std::{
    fs, io,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use aws_lc_rs::digest::{SHA256, digest};
use chrono::{DateTime, Utc};
use rustls::{
    AlertDescription, CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore,
    SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{
        CryptoProvider, aws_lc_rs::default_provider, verify_tls12_signature, verify_tls13_signature,
    },
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject as _},
};
use tokio::time::{Instant, timeout_at};
use tokio_rustls::{TlsConnector, client::TlsStream};
use x509_parser::{extensions::GeneralName, prelude::*};

use super::{
    class::{Class, Phase},
    report::{Certificate, Finding, Tls},
    text::printable,
    wire::Stream,
};
use crate::database::url::{SYSTEM_ROOTS, Ssl, SslMode};

/// What the certificate has to show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Demand {
    Nothing,
    Authority,
    Name,
}

/// A chain of certificates and the key of the first.
type ClientCertificate = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

/// The files of the URL, read.
pub struct Files {
    roots: RootCertStore,
    client: Option<ClientCertificate>,
    demand: Demand,
}

impl Files {
    /// Reads what `ssl` names. Only the root certificates that are named are trusted; `system`, and
    /// `verify-full` without any, mean those of the operating system.
    ///
    /// # Errors
    ///
    /// The first file that cannot be used.
    pub fn read(ssl: &Ssl) -> Result<Self, Box<Finding>> {
        let mut roots = RootCertStore::empty();
        match &ssl.root_cert {
            Some(path) if path.as_os_str() == SYSTEM_ROOTS => trust_the_systems(&mut roots),
            Some(path) => {
                for certificate in certificates("sslrootcert", path)? {
                    roots
                        .add(certificate)
                        .map_err(|error| file_fault("sslrootcert", path, &error))?;
                }
            }
            None if ssl.mode == Some(SslMode::VerifyFull) => trust_the_systems(&mut roots),
            None => {}
        }
        let client = match (&ssl.cert, &ssl.key) {
            (Some(cert), Some(key)) => {
                let chain = certificates("sslcert", cert)?;
                let key_der = PrivateKeyDer::from_pem_file(key)
                    .map_err(|error| file_fault("sslkey", key, &error))?;
                Some((chain, key_der))
            }
            _ => None,
        };
        let demand = match ssl.mode {
            Some(SslMode::VerifyFull) => Demand::Name,
            Some(SslMode::VerifyCa) => Demand::Authority,
            Some(SslMode::Require) if ssl.root_cert.is_some() => Demand::Authority,
            _ => Demand::Nothing,
        };
        if demand != Demand::Nothing && roots.is_empty() {
            let what = "no root certificate is named, so no server can be verified";
            return Err(Box::new(
                Finding::error(Phase::Url, Class::CertificateFile)
                    .saying(what)
                    .with_fix("Name the authority's certificate in sslrootcert or DATABASE_SSL_ROOT_CERT, or say sslrootcert=system for the authorities that this machine trusts."),
            ));
        }
        Ok(Self {
            roots,
            client,
            demand,
        })
    }

    /// Whether there is a certificate to show to the server.
    pub fn has_client_certificate(&self) -> bool {
        self.client.is_some()
    }
}

fn trust_the_systems(roots: &mut RootCertStore) {
    let pem = migration::system_roots();
    let found = CertificateDer::pem_slice_iter(&pem).filter_map(Result::ok);
    roots.add_parsable_certificates(found);
}

fn certificates(
    parameter: &str,
    path: &Path,
) -> Result<Vec<CertificateDer<'static>>, Box<Finding>> {
    let bytes = fs::read(path).map_err(|error| file_fault(parameter, path, &error))?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    let found = found.map_err(|error| file_fault(parameter, path, &error))?;
    if found.is_empty() {
        return Err(file_fault(parameter, path, &"it holds no PEM certificate"));
    }
    Ok(found)
}

fn file_fault(parameter: &str, path: &Path, why: &dyn std::fmt::Display) -> Box<Finding> {
    let what = format!("{parameter} {}: {why}", path.display());
    Box::new(Finding::error(Phase::Url, Class::CertificateFile).because(what))
}

/// Checks as rustls does, and remembers what it saw.
#[derive(Debug)]
struct Witness {
    /// None where there is no root to trust.
    inner: Option<Arc<WebPkiServerVerifier>>,
    provider: Arc<CryptoProvider>,
    demand: Demand,
    seen: Mutex<Option<(CertificateDer<'static>, Option<Error>)>>,
}

impl ServerCertVerifier for Witness {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verdict = match &self.inner {
            Some(inner) => inner
                .verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
                .err(),
            None => Some(CertificateError::UnknownIssuer.into()),
        };
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        *seen = Some((end_entity.clone().into_owned(), verdict.clone()));
        let is_refused = match (&verdict, self.demand) {
            (None, _) | (_, Demand::Nothing) => false,
            (Some(error), Demand::Authority) => class_of(error) != Class::WrongName,
            (Some(_), Demand::Name) => true,
        };
        match verdict {
            Some(error) if is_refused => Err(error),
            _ => Ok(ServerCertVerified::assertion()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(
            message,
            cert,
            dss,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(
            message,
            cert,
            dss,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

/// Why there is no encrypted stream.
pub enum NoTls {
    /// It did not come about in time.
    Silent,
    /// It failed.
    Failed(io::Error),
    /// Nothing was tried: a name or key that TLS cannot use.
    Unusable(Error),
}

/// Speaks TLS on `stream`, and notes in `facts` what was seen, whatever comes of it.
///
/// # Errors
///
/// See [`NoTls`].
pub async fn handshake<S: Stream + 'static>(
    stream: S,
    host: &str,
    files: &Files,
    now: DateTime<Utc>,
    deadline: Instant,
    facts: &mut Tls,
) -> Result<TlsStream<S>, NoTls> {
    let provider = Arc::new(default_provider());
    // Without a root there is nothing to build it of, and every certificate is unknown.
    let inner = WebPkiServerVerifier::builder_with_provider(
        Arc::new(files.roots.clone()),
        Arc::clone(&provider),
    )
    .build()
    .ok();
    let witness = Arc::new(Witness {
        inner,
        provider: Arc::clone(&provider),
        demand: files.demand,
        seen: Mutex::default(),
    });
    let verifier: Arc<dyn ServerCertVerifier> = Arc::clone(&witness) as _;
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(NoTls::Unusable)?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    let config = match &files.client {
        Some((chain, key)) => builder
            .with_client_auth_cert(chain.clone(), key.clone_key())
            .map_err(NoTls::Unusable)?,
        None => builder.with_no_client_auth(),
    };
    let name = ServerName::try_from(host.to_owned())
        .map_err(|error| NoTls::Unusable(Error::General(error.to_string())))?;
    let handshake = TlsConnector::from(Arc::new(config)).connect(name, stream);
    let result = timeout_at(deadline, handshake).await;
    let seen = witness.seen.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((der, verdict)) = seen.as_ref() {
        facts.certificate = describe(der, now);
        facts.trusted = verdict.is_none();
        facts.problem = verdict
            .as_ref()
            .map(|error| class_of(error).title().to_owned());
    }
    drop(seen);
    let stream = result.map_err(|_| NoTls::Silent)?.map_err(NoTls::Failed)?;
    let (_, session) = stream.get_ref();
    facts.used = true;
    facts.version = session.protocol_version().and_then(|version| {
        version
            .as_str()
            .map(|name| name.replace("TLSv1_", "TLSv1."))
    });
    facts.cipher = session.negotiated_cipher_suite().and_then(|suite| {
        let name = suite.suite().as_str()?;
        Some(name.replace("TLS13_", "TLS_"))
    });
    Ok(stream)
}

/// The error of rustls in one of a stream, if it is one.
pub fn inner(error: &io::Error) -> Option<&Error> {
    error.get_ref()?.downcast_ref()
}

/// The class of a failure of TLS.
pub fn class_of(error: &Error) -> Class {
    match error {
        Error::InvalidCertificate(fault) => match fault {
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                Class::CertificateExpired
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                Class::CertificateNotYetValid
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                Class::WrongName
            }
            _ => Class::UnknownAuthority,
        },
        Error::AlertReceived(
            AlertDescription::CertificateRequired
            | AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown
            | AlertDescription::DecryptError
            | AlertDescription::UnknownCA
            | AlertDescription::AccessDenied,
        ) => Class::ClientCertificate,
        Error::InconsistentKeys(_) => Class::CertificateFile,
        _ => Class::TlsVersion,
    }
}

/// What a certificate says, if it can be read.
pub fn describe(der: &[u8], now: DateTime<Utc>) -> Option<Certificate> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    let validity = certificate.validity();
    let at = |time: ASN1Time| DateTime::from_timestamp(time.timestamp(), 0);
    let not_after = at(validity.not_after);
    let names = certificate
        .subject_alternative_name()
        .ok()
        .flatten()
        .map(|extension| {
            extension
                .value
                .general_names
                .iter()
                .filter_map(name)
                .collect()
        });
    let sha256: Vec<_> = digest(&SHA256, der)
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02X}"))
        .collect();
    Some(Certificate {
        subject: printable(&certificate.subject().to_string()),
        issuer: printable(&certificate.issuer().to_string()),
        names: names.unwrap_or_default(),
        not_before: at(validity.not_before),
        not_after,
        days_left: not_after.map(|end| (end - now).num_days()),
        sha256: sha256.join(":"),
        der: der.to_vec(),
    })
}

fn name(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some(printable(name)),
        GeneralName::IPAddress(bytes) => match bytes.len() {
            4 => <[u8; 4]>::try_from(*bytes)
                .ok()
                .map(|octets| std::net::Ipv4Addr::from(octets).to_string()),
            16 => <[u8; 16]>::try_from(*bytes)
                .ok()
                .map(|octets| std::net::Ipv6Addr::from(octets).to_string()),
            _ => None,
        },
        _ => None,
    }
}
