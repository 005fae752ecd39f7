//! `DATABASE_URL`: read strictly, printed without its password.
//!
//! The driver's own parser ignores what it does not know, logs it by value and fills gaps from the
//! environment, so a misspelt `sslmode` would quietly connect without verification.

mod fault;
mod options;
mod parse;
#[cfg(test)]
mod tests;

use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};
use sqlx::ConnectOptions as _;
use sqlx::postgres::{PgConnectOptions, PgSslMode};

pub use self::fault::UrlFault;

/// How long a connection may take to be made when the URL has no `connect_timeout`.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// One `PostgreSQL` database, where it is or may be, and how to log in to it.
#[derive(Clone)]
pub struct DatabaseUrl {
    /// Never empty.
    addresses: Vec<Address>,
    user: String,
    password: Option<SecretString>,
    database: String,
    ssl: Ssl,
    application_name: Option<String>,
    connect_timeout: Option<Duration>,
    options: Vec<(String, String)>,
    target: Option<Target>,
    statement_cache: Option<usize>,
    dialect: Option<String>,
}

/// Where one server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// Its name, address or socket.
    pub host: Host,
    /// The port, of a socket too.
    pub port: u16,
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

/// What `target_session_attrs` may ask for. The program writes, so a standby is never enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// Whatever the one host is.
    Any,
    /// A server that takes writes.
    ReadWrite,
    /// A server that follows no other. Served as [`Self::ReadWrite`], which is no less.
    Primary,
}

impl Target {
    fn as_str(self) -> &'static str {
        match self {
            Self::Any => "any",
            Self::ReadWrite => "read-write",
            Self::Primary => "primary",
        }
    }
}

/// The value of `sslrootcert` that stands for the authorities that the system trusts.
pub const SYSTEM_ROOTS: &str = "system";

/// Where a server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Host {
    /// A name or an IP address (without brackets).
    Name(String),
    /// The directory of a Unix socket.
    Socket(PathBuf),
}

/// The TLS settings of a connection, named as libpq names them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ssl {
    /// `sslmode`; `None` when the URL does not say.
    pub mode: Option<SslMode>,
    /// `sslrootcert`: a PEM file of the authorities to trust.
    pub root_cert: Option<PathBuf>,
    /// `sslcert`: a PEM file of the client's certificate.
    pub cert: Option<PathBuf>,
    /// `sslkey`: a PEM file of the key of `cert`.
    pub key: Option<PathBuf>,
}

/// The six modes of libpq (`PostgreSQL` manual, "SSL Support").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SslMode {
    /// Never TLS.
    Disable,
    /// TLS only if the server insists.
    Allow,
    /// TLS if the server offers it.
    Prefer,
    /// TLS with any certificate; with a root certificate as [`Self::VerifyCa`], as libpq does.
    Require,
    /// TLS with a certificate of a trusted authority, whatever its name.
    VerifyCa,
    /// TLS with a certificate of a trusted authority for this host.
    VerifyFull,
}

impl SslMode {
    /// All, from the weakest to the strongest.
    pub const ALL: [Self; 6] = [
        Self::Disable,
        Self::Allow,
        Self::Prefer,
        Self::Require,
        Self::VerifyCa,
        Self::VerifyFull,
    ];

    /// The name in a URL.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Disable => "disable",
            Self::Allow => "allow",
            Self::Prefer => "prefer",
            Self::Require => "require",
            Self::VerifyCa => "verify-ca",
            Self::VerifyFull => "verify-full",
        }
    }
}

impl FromStr for SslMode {
    type Err = UrlFault;

    fn from_str(text: &str) -> Result<Self, UrlFault> {
        Self::ALL
            .into_iter()
            .find(|mode| mode.as_str() == text)
            .ok_or(UrlFault::SslMode)
    }
}

impl DatabaseUrl {
    /// Reads a URL in libpq's syntax (`PostgreSQL` manual, "Connection URIs") with exactly one host,
    /// a user, and only parameters that have an effect. The database defaults to the user's name.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong; never a part of the password.
    pub fn parse(text: &str) -> Result<Self, UrlFault> {
        parse::parse(text)
    }

    /// The same from single values, none of them percent-encoded. A host that starts with `/` is
    /// the directory of a socket.
    ///
    /// # Errors
    ///
    /// A bad host, or an empty user or database.
    pub fn from_parts(
        host: &str,
        port: u16,
        user: &str,
        password: Option<SecretString>,
        database: &str,
    ) -> Result<Self, UrlFault> {
        Self::from_addresses(vec![(host, port)], user, password, database)
    }

    fn from_addresses(
        addresses: Vec<(&str, u16)>,
        user: &str,
        password: Option<SecretString>,
        database: &str,
    ) -> Result<Self, UrlFault> {
        let addresses = addresses
            .into_iter()
            .map(|(host, port)| {
                let host = Host::parse(host)?;
                if port == 0 {
                    return Err(UrlFault::Port);
                }
                Ok(Address { host, port })
            })
            .collect::<Result<Vec<_>, _>>()?;
        for (what, value) in [("user", user), ("database", database)] {
            if value.is_empty() {
                return Err(UrlFault::Missing(what));
            }
            if value.contains('\0') {
                return Err(UrlFault::Encoding(what));
            }
        }
        Ok(Self {
            addresses,
            user: user.to_owned(),
            password,
            database: database.to_owned(),
            ssl: Ssl::default(),
            application_name: None,
            connect_timeout: None,
            options: Vec::new(),
            target: None,
            statement_cache: None,
            dialect: None,
        })
    }

    /// Where the server listens; the first, if it may be at several places.
    pub fn host(&self) -> &Host {
        &self.addresses[0].host
    }

    /// The port that belongs to [`Self::host`].
    pub fn port(&self) -> u16 {
        self.addresses[0].port
    }

    /// Every place where the server may be, in the order in which they are preferred.
    pub fn addresses(&self) -> &[Address] {
        &self.addresses
    }

    /// The same for each place alone.
    pub fn each(&self) -> Vec<Self> {
        let alone = |address: &Address| Self {
            addresses: vec![address.clone()],
            ..self.clone()
        };
        self.addresses.iter().map(alone).collect()
    }

    /// Whether only a server that takes writes will do: asked for, or one of several is looked for.
    pub fn needs_primary(&self) -> bool {
        self.addresses.len() > 1 || matches!(self.target, Some(Target::ReadWrite | Target::Primary))
    }

    /// Whether a pooler in transaction mode stands between, so that nothing outlives a transaction:
    /// `statement-cache-capacity=0`.
    pub fn is_pooled(&self) -> bool {
        self.statement_cache == Some(0)
    }

    /// The role that logs in.
    pub fn user(&self) -> &str {
        &self.user
    }

    /// The password, decoded.
    pub fn password(&self) -> Option<&SecretString> {
        self.password.as_ref()
    }

    /// The database's name.
    pub fn database(&self) -> &str {
        &self.database
    }

    /// The TLS settings.
    pub fn ssl(&self) -> &Ssl {
        &self.ssl
    }

    /// The same with other TLS settings.
    ///
    /// # Errors
    ///
    /// [`UrlFault::HalfACertificate`].
    pub fn with_ssl(mut self, ssl: Ssl) -> Result<Self, UrlFault> {
        if ssl.cert.is_some() != ssl.key.is_some() {
            return Err(UrlFault::HalfACertificate);
        }
        self.ssl = ssl;
        Ok(self)
    }

    /// Whether the mode and the root certificate go together, once both are known: libpq refuses
    /// `verify-ca` without a file, and `system` with anything but `verify-full`.
    ///
    /// # Errors
    ///
    /// [`UrlFault::NoRootCert`], [`UrlFault::WeakWithSystem`].
    pub fn check_ssl(&self) -> Result<(), UrlFault> {
        let root = self.ssl.root_cert.as_deref();
        match self.ssl.mode {
            _ if self.is_socket() => Ok(()),
            Some(SslMode::VerifyCa) if root.is_none() => {
                Err(UrlFault::NoRootCert(SslMode::VerifyCa.as_str()))
            }
            Some(mode) if root == Some(Path::new(SYSTEM_ROOTS)) && mode != SslMode::VerifyFull => {
                Err(UrlFault::WeakWithSystem(mode.as_str()))
            }
            _ => Ok(()),
        }
    }

    /// The same server for another role in another database: what is to be known of the way there
    /// stays, a certificate and settings of this role go.
    #[must_use]
    pub fn for_role(&self, user: &str, password: SecretString, database: &str) -> Self {
        let mut other = self.to_database(database);
        user.clone_into(&mut other.user);
        other.password = Some(password);
        (other.ssl.cert, other.ssl.key) = (None, None);
        other.application_name = None;
        other.options.clear();
        other
    }

    /// The same for another database.
    #[must_use]
    pub fn to_database(&self, database: &str) -> Self {
        Self {
            database: database.to_owned(),
            ..self.clone()
        }
    }

    /// Host, port and database, for people.
    pub fn place(&self) -> String {
        let places: Vec<_> = self.addresses.iter().map(ToString::to_string).collect();
        format!("{}/{}", places.join(","), self.database)
    }

    /// How long a connection may take to be made: `connect_timeout`, else 5 s. The driver has no
    /// such limit; who connects has to keep it.
    pub fn connect_timeout(&self) -> Duration {
        self.connect_timeout.unwrap_or(CONNECT_TIMEOUT)
    }

    /// The driver that the scheme names (`asyncpg` of `postgresql+asyncpg://`), which means
    /// nothing here and deserves a notice.
    pub fn dialect(&self) -> Option<&str> {
        self.dialect.as_deref()
    }

    /// Whether nobody between here and the server could listen: a socket or a loopback address.
    pub fn is_local(&self) -> bool {
        self.addresses.iter().all(|address| address.host.is_local())
    }

    /// Whether every place is a Unix socket, over which there is no TLS.
    fn is_socket(&self) -> bool {
        let is_socket = |address: &Address| matches!(address.host, Host::Socket(_));
        self.addresses.iter().all(is_socket)
    }

    /// What the driver needs. `echo` logs every statement at level info; otherwise none is logged.
    ///
    /// Nothing comes from `PG*` variables or `~/.pgpass`, except that the driver leaves no way to
    /// take back `PGOPTIONS`, `PGSSLCERT` and `PGSSLKEY`; the configuration refuses those.
    /// The result's `Debug` shows the password. It is the first of [`Self::attempts`] at the first place.
    pub fn to_connect_options(&self, echo: bool) -> PgConnectOptions {
        self.connect_options(echo, self.first_mode())
    }

    /// What to try one after the other, and how each is called in a log: `prefer` goes on without
    /// TLS and `allow` with it, where the first attempt was refused.
    pub fn attempts(&self, echo: bool) -> Vec<(PgConnectOptions, &'static str)> {
        let first = (self.connect_options(echo, self.first_mode()), "");
        let second = match self.ssl.mode {
            _ if self.is_socket() => None,
            Some(SslMode::Prefer) | None => Some((PgSslMode::Disable, "without TLS")),
            Some(SslMode::Allow) => Some((PgSslMode::Require, "with TLS")),
            _ => None,
        };
        let second = second.map(|(mode, name)| (self.connect_options(echo, mode), name));
        [first].into_iter().chain(second).collect()
    }

    fn connect_options(&self, echo: bool, mode: PgSslMode) -> PgConnectOptions {
        let mut options = PgConnectOptions::new_without_pgpass()
            .port(self.port())
            .username(&self.user)
            .password(
                self.password
                    .as_ref()
                    .map_or("", |password| password.expose_secret()),
            )
            .database(&self.database)
            .application_name(self.application_name.as_deref().unwrap_or("gatepost"))
            // PgBouncer refuses this startup parameter, and PostgreSQL 12 made it unnecessary.
            .extra_float_digits(None)
            .ssl_mode(mode);
        options = match self.host() {
            Host::Name(name) => options.host(name),
            Host::Socket(directory) => options.host("localhost").socket(directory),
        };
        options = match &self.ssl.root_cert {
            Some(path) if path.as_os_str() != SYSTEM_ROOTS => options.ssl_root_cert(path),
            // Not left out: that would let PGSSLROOTCERT say it.
            _ if matches!(mode, PgSslMode::VerifyFull) => {
                options.ssl_root_cert_from_pem(migration::system_roots())
            }
            _ => options.ssl_root_cert_from_pem(Vec::new()),
        };
        if let Some(capacity) = self.statement_cache {
            options = options.statement_cache_capacity(capacity);
        }
        if let (Some(cert), Some(key)) = (&self.ssl.cert, &self.ssl.key) {
            options = options.ssl_client_cert(cert).ssl_client_key(key);
        }
        if !self.options.is_empty() {
            options = options.options(self.options.iter().map(|(name, value)| (name, value)));
        }
        match "info".parse() {
            Ok(level) if echo => options.log_statements(level),
            _ => options.disable_statement_logging(),
        }
    }

    fn first_mode(&self) -> PgSslMode {
        // libpq speaks no TLS over sockets; the driver would ask for it, and fail.
        if matches!(self.host(), Host::Socket(_)) {
            return PgSslMode::Disable;
        }
        match self.ssl.mode.unwrap_or(SslMode::Prefer) {
            SslMode::Disable | SslMode::Allow => PgSslMode::Disable,
            SslMode::Prefer => PgSslMode::Prefer,
            SslMode::Require if self.ssl.root_cert.is_none() => PgSslMode::Require,
            SslMode::Require | SslMode::VerifyCa => PgSslMode::VerifyCa,
            SslMode::VerifyFull => PgSslMode::VerifyFull,
        }
    }

    /// The whole URL with its password, as [`Self::parse`] reads it.
    pub fn to_secret_text(&self) -> SecretString {
        let password = self
            .password
            .as_ref()
            .map(|password| parse::encode(password.expose_secret()));
        self.text(password.as_deref()).into()
    }

    fn text(&self, password: Option<&str>) -> String {
        let user = parse::encode(&self.user);
        let password = password.map_or_else(String::new, |password| format!(":{password}"));
        let addresses: Vec<_> = self.addresses.iter().map(Address::encoded).collect();
        let addresses = addresses.join(",");
        let database = parse::encode(&self.database);
        let query = options::to_query(self);
        let mark = if query.is_empty() { "" } else { "?" };
        format!("postgres://{user}{password}@{addresses}/{database}{mark}{query}")
    }
}

/// The URL with `***` for the password.
impl fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text(self.password.as_ref().map(|_| "***")))
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DatabaseUrl({self})")
    }
}

impl Address {
    fn encoded(&self) -> String {
        format!("{}:{}", self.host.encoded(), self.port)
    }
}

impl Host {
    fn parse(text: &str) -> Result<Self, UrlFault> {
        if text.is_empty() {
            return Err(UrlFault::Missing("host"));
        }
        if text.starts_with('/') && !text.contains('\0') {
            return Ok(Self::Socket(Path::new(text).to_path_buf()));
        }
        let is_name = text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte));
        if is_name || text.parse::<IpAddr>().is_ok() {
            return Ok(Self::Name(text.to_owned()));
        }
        Err(UrlFault::Host)
    }

    fn is_local(&self) -> bool {
        match self {
            Self::Socket(_) => true,
            Self::Name(name) => {
                name.eq_ignore_ascii_case("localhost")
                    || name
                        .parse::<IpAddr>()
                        .is_ok_and(|address| address.is_loopback())
            }
        }
    }

    fn encoded(&self) -> String {
        match self {
            Self::Name(name) if name.contains(':') => format!("[{name}]"),
            Self::Name(name) => name.clone(),
            Self::Socket(directory) => parse::encode(&directory.to_string_lossy()),
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Socket(directory) => directory.display().fmt(f),
        }
    }
}
