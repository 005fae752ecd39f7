//! Where the files are, and what can be wrong with them.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use zeroize::Zeroizing;

/// The folder of the certificates.
#[derive(Clone, Debug)]
pub struct Folder(PathBuf);

impl Folder {
    /// `path` does not need to exist.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// The authority's certificate.
    pub fn root(&self) -> PathBuf {
        self.0.join("root.crt")
    }

    /// The authority's key.
    pub fn root_key(&self) -> PathBuf {
        self.0.join("root.key")
    }

    /// The server's certificate.
    pub fn server(&self) -> PathBuf {
        self.0.join("server.crt")
    }

    /// The server's key.
    pub fn server_key(&self) -> PathBuf {
        self.0.join("server.key")
    }

    /// What clients get.
    pub fn for_clients(&self) -> PathBuf {
        self.0.join("clients/root.crt")
    }
}

/// Why there is no certificate. For the person at the terminal.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// There are certificates, and clients trust them.
    #[error(
        "{} exists. `renew` makes a new server certificate by the same authority; --force replaces \
         the authority too, and every client then needs the new root.crt", .0.display()
    )]
    Exists(PathBuf),
    /// A file cannot be used.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// With which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file holds something else.
    #[error("{} holds no {expected} in PEM (a text that begins with -----BEGIN): {why}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What it should hold.
        expected: &'static str,
        /// What is wrong.
        why: String,
    },
    /// The key is that of another certificate.
    #[error("{} is not the key of {}", key.display(), certificate.display())]
    OtherKey {
        /// The key.
        key: PathBuf,
        /// The certificate.
        certificate: PathBuf,
    },
    /// The authority's own time is over.
    #[error(
        "the authority in {} has expired: `init --force` makes a new one, which every client has to get",
        .0.display()
    )]
    AuthorityExpired(PathBuf),
    /// A name that cannot stand in a certificate.
    #[error("{0:?} is neither a host name nor an address")]
    Name(String),
    /// The library refused.
    #[error("cannot make the certificate: {0}")]
    Make(String),
}

pub(super) fn read(path: &Path) -> Result<Zeroizing<String>, TlsError> {
    let failed = |source| TlsError::Io {
        action: "read",
        path: path.to_owned(),
        source,
    };
    let bytes = Zeroizing::new(fs::read(path).map_err(failed)?);
    match str::from_utf8(&bytes) {
        Ok(text) => Ok(Zeroizing::new(text.to_owned())),
        Err(_) => Err(TlsError::Content {
            path: path.to_owned(),
            expected: "certificate or key",
            why: "it is no text; a certificate in DER becomes one by `openssl x509 -inform der`"
                .to_owned(),
        }),
    }
}

pub(super) fn writing(path: &Path) -> impl FnOnce(io::Error) -> TlsError {
    let path = path.to_owned();
    move |source| TlsError::Io {
        action: "write",
        path,
        source,
    }
}
