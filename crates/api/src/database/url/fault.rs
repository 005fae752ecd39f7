//! What can be wrong with a URL.

use thiserror::Error;

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
    /// As many ports as hosts, or one for all.
    #[error("names {hosts} hosts and {ports} ports; give one port for all hosts, or one for each")]
    Ports {
        /// How many hosts there are.
        hosts: usize,
        /// How many ports.
        ports: usize,
    },
    /// A session that could not write.
    #[error(
        "asks for target_session_attrs={0}, but this program writes to its database: use read-write or primary"
    )]
    CannotWrite(&'static str),
    /// `any` and several hosts: the first that answers may be a standby.
    #[error(
        "names several hosts and target_session_attrs=any, which could be a standby; use read-write"
    )]
    AnyOfSeveral,
    /// Startup settings that a pooler in transaction mode refuses.
    #[error(
        "has `options` and statement-cache-capacity=0, which means a pooler in transaction mode: \
         that refuses startup options; set them for the role (ALTER ROLE … SET …)"
    )]
    OptionsThroughPooler,
    /// No authority that could vouch for the server, as libpq has it.
    #[error(
        "has sslmode={0}, which needs `sslrootcert=` with the file of the authority that signed the server's certificate"
    )]
    NoRootCert(&'static str),
    /// Any public authority's certificate for any name would do.
    #[error(
        "has sslrootcert=system and the weak sslmode={0}: any certificate of any public authority would do; use verify-full"
    )]
    WeakWithSystem(&'static str),
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
