//! `DATABASE_URL`: read strictly, printed without its password.
//!
//! The driver's own parser ignores what it does not know, logs it by value and fills gaps from the
//! environment, so a misspelt `sslmode` would quietly connect without verification.

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
use thiserror::Error;

/// How long a connection may take to be made when the URL has no `connect_timeout`.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// One `PostgreSQL` database, and how to log in to it.
#[derive(Clone)]
pub struct DatabaseUrl {
    host: Host,
    port: u16,
    user: String,
    password: Option<SecretString>,
    database: String,
    ssl: Ssl,
    application_name: Option<String>,
    connect_timeout: Option<Duration>,
    options: Vec<(String, String)>,
    dialect: Option<String>,
}

/// Where the server listens.
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
    /// TLS only if the server insists. Served as [`Self::Prefer`], which suits the same servers.
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

/// Why a text is no database URL. Holds no part of the text that could belong to a password.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum UrlFault {
    /// Not `postgres://` or one of its relatives.
    #[error("is not a PostgreSQL URL; it has to start with postgres:// or postgresql://")]
    Scheme,
    /// A character that splits the URL in the wrong place.
    #[error(
        "cannot be split: {0}; percent-encode it in the user or password \
         (`#` %23, `/` %2F, `?` %3F, `@` %40, `:` %3A, `%` %25, space %20)"
    )]
    Unescaped(&'static str),
    /// `%` without two hexadecimal digits, or bytes that are no UTF-8 text.
    #[error("has a bad percent-encoding in the {0}; a `%` itself is written %25")]
    Encoding(&'static str),
    /// A part that has to be there is not.
    #[error("names no {0}")]
    Missing(&'static str),
    /// A host that is neither a name, an address nor a socket directory.
    #[error("has a host that is neither a name, an IP address nor the directory of a socket")]
    Host,
    /// More than one host.
    #[error("names several hosts; one host is expected")]
    SeveralHosts,
    /// A port that is not from 1 to 65535.
    #[error(
        "has a port that is not a number from 1 to 65535; if the password has one of `/?#@:`, percent-encode it"
    )]
    Port,
    /// A parameter nobody knows; with its name and what was meant, if it looks like a known one.
    #[error("has a parameter that does not exist{}", did_you_mean(.0.as_ref()))]
    UnknownParameter(Option<(String, &'static str)>),
    /// A parameter of libpq that would have no effect here.
    #[error("has the parameter `{0}`, which is not supported; remove it")]
    UnsupportedParameter(&'static str),
    /// The same parameter twice.
    #[error("has the parameter `{0}` twice")]
    RepeatedParameter(&'static str),
    /// A parameter with a value that it does not take.
    #[error("has a bad `{name}`: it has to be {expected}")]
    Value {
        /// The parameter.
        name: &'static str,
        /// What it takes.
        expected: &'static str,
    },
    /// Not one of the six modes.
    #[error(
        "has a bad `sslmode`: it has to be disable, allow, prefer, require, verify-ca or verify-full"
    )]
    SslMode,
    /// A client certificate without its key, or the other way round.
    #[error("has only one of `sslcert` and `sslkey`; they belong together")]
    HalfACertificate,
    /// A server setting that would undo the separation of tenants.
    #[error("sets a parameter of the `app.` family in `options`; these belong to the program")]
    ReservedSetting,
}

fn did_you_mean(names: Option<&(String, &'static str)>) -> String {
    names.map_or_else(String::new, |(given, meant)| {
        format!(": `{given}`; did you mean `{meant}`?")
    })
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
        let host = Host::parse(host)?;
        for (what, value) in [("user", user), ("database", database)] {
            if value.is_empty() {
                return Err(UrlFault::Missing(what));
            }
            if value.contains('\0') {
                return Err(UrlFault::Encoding(what));
            }
        }
        Ok(Self {
            host,
            port: if port == 0 {
                return Err(UrlFault::Port);
            } else {
                port
            },
            user: user.to_owned(),
            password,
            database: database.to_owned(),
            ssl: Ssl::default(),
            application_name: None,
            connect_timeout: None,
            options: Vec::new(),
            dialect: None,
        })
    }

    /// Where the server listens.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// The port, of a socket too.
    pub fn port(&self) -> u16 {
        self.port
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
        format!("{}:{}/{}", self.host, self.port, self.database)
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
        match &self.host {
            Host::Socket(_) => true,
            Host::Name(name) => {
                name.eq_ignore_ascii_case("localhost")
                    || name
                        .parse::<IpAddr>()
                        .is_ok_and(|address| address.is_loopback())
            }
        }
    }

    /// What the driver needs. `echo` logs every statement at level info; otherwise none is logged.
    ///
    /// Nothing comes from `PG*` variables or `~/.pgpass`, except that the driver leaves no way to
    /// take back `PGOPTIONS`, `PGSSLCERT` and `PGSSLKEY`; the configuration refuses those.
    /// The result's `Debug` shows the password.
    pub fn to_connect_options(&self, echo: bool) -> PgConnectOptions {
        let mut options = PgConnectOptions::new_without_pgpass()
            .port(self.port)
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
            .ssl_mode(self.driver_ssl_mode());
        options = match &self.host {
            Host::Name(name) => options.host(name),
            Host::Socket(directory) => options.host("localhost").socket(directory),
        };
        options = match &self.ssl.root_cert {
            Some(path) => options.ssl_root_cert(path),
            // No authority beside the driver's own: this covers what PGSSLROOTCERT says.
            None => options.ssl_root_cert_from_pem(Vec::new()),
        };
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

    fn driver_ssl_mode(&self) -> PgSslMode {
        // libpq speaks no TLS over sockets; the driver would ask for it, and fail.
        if matches!(self.host, Host::Socket(_)) {
            return PgSslMode::Disable;
        }
        match self.ssl.mode.unwrap_or(SslMode::Prefer) {
            SslMode::Disable => PgSslMode::Disable,
            SslMode::Allow | SslMode::Prefer => PgSslMode::Prefer,
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
        let (host, port) = (self.host.encoded(), self.port);
        let database = parse::encode(&self.database);
        let query = options::to_query(self);
        let mark = if query.is_empty() { "" } else { "?" };
        format!("postgres://{user}{password}@{host}:{port}/{database}{mark}{query}")
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

impl Host {
    fn parse(text: &str) -> Result<Self, UrlFault> {
        if text.is_empty() {
            return Err(UrlFault::Missing("host"));
        }
        if text.starts_with('/') && !text.contains('\0') {
            return Ok(Self::Socket(Path::new(text).to_path_buf()));
        }
        if text.contains(',') {
            return Err(UrlFault::SeveralHosts);
        }
        let is_name = text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte));
        if is_name || text.parse::<IpAddr>().is_ok() {
            return Ok(Self::Name(text.to_owned()));
        }
        Err(UrlFault::Host)
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
