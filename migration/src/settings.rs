//! Which database is meant: the settings of the API, as far as they concern a connection.

use std::{collections::BTreeMap, fs, str::FromStr};

use sqlx::{
    ConnectOptions,
    postgres::{PgConnectOptions, PgSslMode},
};
use url::Url;

/// The names of one database, in the order in which they are looked for.
const URLS: [&str; 3] = [
    "MIGRATION_DATABASE_URL",
    "DATABASE_URL",
    "SQLALCHEMY_DATABASE_URL",
];

/// Two spellings of the parts of a URL: host, port, user, password, database.
const PARTS: [[&str; 5]; 2] = [
    [
        "POSTGRES_HOST",
        "POSTGRES_PORT",
        "POSTGRES_USER",
        "POSTGRES_PASSWORD",
        "POSTGRES_DB",
    ],
    ["DB_HOST", "DB_PORT", "DB_USER", "DB_PASSWORD", "DB_NAME"],
];

/// What the drivers of other languages put into the scheme.
const SCHEMES: [&str; 5] = [
    "postgres",
    "postgresql",
    "postgresql+asyncpg",
    "postgresql+psycopg2",
    "postgresql+psycopg",
];

/// What `sslrootcert` calls the authorities that the system trusts.
const SYSTEM_ROOTS: &str = "system";

const PARAMETERS: [&str; 7] = [
    "sslmode",
    "sslrootcert",
    "sslcert",
    "sslkey",
    "application_name",
    "host",
    "options",
];

/// What the API heeds and means nothing here: waiting is limited to ten seconds, the primary is
/// looked for in any case, and nothing is prepared that a server could mix up.
const OF_THE_API: [&str; 3] = [
    "connect_timeout",
    "target_session_attrs",
    "statement-cache-capacity",
];

/// What the program was told.
#[derive(Debug)]
pub(crate) struct Settings {
    /// One for each host: the primary is among them.
    pub(crate) options: Vec<PgConnectOptions>,
    pub(crate) schema: String,
    /// Gets its rights after each `up`: `DATABASE_API_ROLE`, else the user of the API's URL.
    pub(crate) api_role: Option<String>,
}

/// A variable and what is wrong with it. Never says a value that may hold a password.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name}: {fault}")]
pub(crate) struct Fault {
    name: String,
    fault: String,
}

fn fault(name: &str, fault: impl Into<String>) -> Fault {
    Fault {
        name: name.to_owned(),
        fault: fault.into(),
    }
}

/// Reads the process environment; `url` is what stands on the command line.
pub(crate) fn read_environment(url: Option<&str>) -> Result<Settings, Fault> {
    let variables = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    read(&Environment(variables.collect()), url)
}

/// The variables by name; an empty one counts as unset.
struct Environment(BTreeMap<String, String>);

impl Environment {
    fn plain(&self, name: &str) -> Option<&str> {
        let value = self.0.get(name)?;
        (!value.is_empty()).then_some(value.as_str())
    }

    /// A variable or, by `NAME_FILE`, the content of a file.
    fn get(&self, name: &str) -> Result<Option<String>, Fault> {
        let twin = format!("{name}_FILE");
        let text = match (self.plain(name), self.plain(&twin)) {
            (Some(_), Some(_)) => {
                return Err(fault(name, format!("set either this or {twin}, not both")));
            }
            (Some(text), None) => text.to_owned(),
            (None, Some(path)) => fs::read_to_string(path)
                .map_err(|error| fault(&twin, format!("cannot read {path}: {error}")))?
                .trim_end_matches(['\r', '\n'])
                .to_owned(),
            (None, None) => return Ok(None),
        };
        self.expand(name, &text, 0).map(Some)
    }

    /// Puts other variables in the place of `${NAME}`.
    fn expand(&self, name: &str, text: &str, depth: usize) -> Result<String, Fault> {
        if depth > 8 {
            return Err(fault(name, "refers to itself"));
        }
        let Some((before, rest)) = text.split_once("${") else {
            return Ok(text.to_owned());
        };
        let (other, after) = rest
            .split_once('}')
            .ok_or_else(|| fault(name, "has ${ without }"))?;
        let value = self
            .plain(other)
            .ok_or_else(|| fault(name, format!("refers to {other}, which is not set")))?;
        let value = self.expand(other, value, depth + 1)?;
        Ok(format!(
            "{before}{value}{}",
            self.expand(name, after, depth)?
        ))
    }
}

fn read(environment: &Environment, url: Option<&str>) -> Result<Settings, Fault> {
    let (name, url) = match url {
        Some(url) => ("--database-url", url.to_owned()),
        None => find_url(environment)?,
    };
    let schema = environment
        .get("DATABASE_SCHEMA")?
        .unwrap_or_else(|| "public".to_owned());
    if schema.len() > 63 {
        return Err(fault("DATABASE_SCHEMA", "has more than 63 bytes"));
    }
    let quoted = format!("\"{}\"", schema.replace('"', "\"\""));
    refuse_pooler(name, &url)?;
    let options = hosts(&url)
        .iter()
        .map(|url| {
            Ok(with_tls(environment, name, &parse(name, url)?)?
                .disable_statement_logging()
                .application_name("gatepost-migrate")
                .options([("search_path", quoted.as_str())]))
        })
        .collect::<Result<Vec<_>, Fault>>()?;
    let api_role = match environment.get("DATABASE_API_ROLE")? {
        Some(role) => Some(role),
        None => other_user(environment, options[0].get_username())?,
    };
    Ok(Settings {
        options,
        schema,
        api_role,
    })
}

/// The role of the API, when its URL stands beside the owner's and names another one.
fn other_user(environment: &Environment, owner: &str) -> Result<Option<String>, Fault> {
    for name in ["DATABASE_URL", "SQLALCHEMY_DATABASE_URL"] {
        let Some(url) = environment.get(name)? else {
            continue;
        };
        let url = hosts(&url).swap_remove(0);
        let options = PgConnectOptions::from_str(parse(name, &url)?.as_str())
            .map_err(|error| fault(name, format!("is not understood: {error}")))?;
        let user = options.get_username();
        return Ok((user != owner).then(|| user.to_owned()));
    }
    Ok(None)
}

fn find_url(environment: &Environment) -> Result<(&'static str, String), Fault> {
    for name in URLS {
        if let Some(url) = environment.get(name)? {
            return Ok((name, url));
        }
    }
    for [host, port, user, password, database] in PARTS {
        let Some(address) = environment.get(host)? else {
            continue;
        };
        let mut url = Url::parse("postgres://localhost").expect("a URL");
        let wrong = |name| fault(name, "does not fit into a URL");
        if address.starts_with('/') {
            url.query_pairs_mut().append_pair("host", &address);
        } else {
            url.set_host(Some(&address)).map_err(|_| wrong(host))?;
        }
        if let Some(text) = environment.get(port)? {
            let number = text
                .parse()
                .map_err(|_| fault(port, "must be from 1 to 65535"))?;
            url.set_port(Some(number)).map_err(|()| wrong(port))?;
        }
        let text = environment
            .get(user)?
            .ok_or_else(|| fault(user, "is not set"))?;
        url.set_username(&text).map_err(|()| wrong(user))?;
        let text = environment.get(password)?;
        url.set_password(text.as_deref())
            .map_err(|()| wrong(password))?;
        let text = environment
            .get(database)?
            .ok_or_else(|| fault(database, "is not set"))?;
        // A `/` of the name must not end it; `%` must not be read as the start of an escape.
        url.set_path(&text.replace('%', "%25").replace('/', "%2F"));
        return Ok((host, url.into()));
    }
    Err(fault(
        "DATABASE_URL",
        "is not set, for example postgres://user:password@host:5432/gatepost",
    ))
}

/// The URL for each of its hosts (`h1:5432,h2:5432`) alone.
fn hosts(text: &str) -> Vec<String> {
    let Some((scheme, rest)) = text.split_once("://") else {
        return vec![text.to_owned()];
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, after) = rest.split_at(end);
    let (user, places) = authority
        .rsplit_once('@')
        .map_or((String::new(), authority), |(user, places)| {
            (format!("{user}@"), places)
        });
    let alone = |place| format!("{scheme}://{user}{place}{after}");
    places.split(',').map(alone).collect()
}

/// The lock that keeps two migrations apart outlives a transaction.
fn refuse_pooler(name: &str, url: &str) -> Result<(), Fault> {
    let query = url.split_once('?').map_or("", |(_, query)| query);
    if query
        .split('&')
        .any(|pair| pair == "statement-cache-capacity=0")
    {
        return Err(fault(
            name,
            "leads to a pooler in transaction mode (statement-cache-capacity=0): \
             set MIGRATION_DATABASE_URL to the address of the server itself",
        ));
    }
    Ok(())
}

fn parse(name: &str, text: &str) -> Result<Url, Fault> {
    let (scheme, rest) = text
        .split_once("://")
        .ok_or_else(|| fault(name, "must begin with postgres://"))?;
    if !SCHEMES.contains(&scheme) {
        return Err(fault(name, "must begin with postgres:// or postgresql://"));
    }
    // The library's messages quote nothing of the URL.
    let mut url = Url::parse(&format!("postgres://{rest}"))
        .map_err(|error| fault(name, format!("is not a URL: {error}")))?;
    if url.username().is_empty() {
        return Err(fault(name, "names no user"));
    }
    if url.path().len() < 2 {
        return Err(fault(name, "names no database"));
    }
    for (key, value) in url.query_pairs() {
        let is_place = key == "host" && value.contains(',');
        let is_target = key == "target_session_attrs";
        if is_place || (is_target && !["any", "primary", "read-write"].contains(&&*value)) {
            return Err(fault(
                name,
                format!(
                    "has a {key} that does not fit: name the hosts as h1:5432,h2:5432, and any, primary or read-write"
                ),
            ));
        }
        if !OF_THE_API.contains(&&*key) && !PARAMETERS.contains(&&*key) {
            return Err(fault(
                name,
                format!(
                    "has a parameter {key:?}; known are {}",
                    PARAMETERS.join(", ")
                ),
            ));
        }
    }
    let kept: Vec<_> = url
        .query_pairs()
        .filter(|(key, _)| !OF_THE_API.contains(&&**key))
        .map(|(key, value)| (key.into_owned(), value.into_owned()))
        .collect();
    url.query_pairs_mut().clear().extend_pairs(kept);
    if url.port().is_none() {
        // Otherwise the driver would take PGPORT.
        url.set_port(Some(5432))
            .map_err(|()| fault(name, "names no host"))?;
    }
    Ok(url)
}

/// Whoever the URL names, the variables beside it say how the server must prove itself.
fn with_tls(environment: &Environment, name: &str, url: &Url) -> Result<PgConnectOptions, Fault> {
    let mut options = PgConnectOptions::from_str(url.as_str())
        .map_err(|error| fault(name, format!("is not understood: {error}")))?;
    let in_url = |key: &str| url.query_pairs().any(|(name, _)| name == key);
    let local = in_url("host")
        || matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"))
        || url.host_str().is_some_and(|host| host.starts_with("%2F"));
    if !in_url("sslmode") {
        let mode = match environment.get("DATABASE_SSL_MODE")? {
            Some(text) => PgSslMode::from_str(&text).map_err(|_| {
                fault(
                    "DATABASE_SSL_MODE",
                    "must be disable, allow, prefer, require, verify-ca or verify-full",
                )
            })?,
            None if environment.plain("ENVIRONMENT") == Some("production") && !local => {
                PgSslMode::VerifyFull
            }
            None => PgSslMode::Prefer,
        };
        options = options.ssl_mode(mode);
    }
    // Not left out: the driver has no authorities of its own.
    let is_system = |text: &str| text == SYSTEM_ROOTS;
    let root = url
        .query_pairs()
        .find(|(key, _)| key == "sslrootcert")
        .map(|(_, value)| value.into_owned())
        .or_else(|| {
            environment
                .plain("DATABASE_SSL_ROOT_CERT")
                .map(ToOwned::to_owned)
        });
    if root.as_deref().is_none_or(is_system) {
        let pem = match options.get_ssl_mode() {
            PgSslMode::VerifyFull => migration::system_roots(),
            _ => Vec::new(),
        };
        options = options.ssl_root_cert_from_pem(pem);
    }
    for (key, variable) in [
        ("sslrootcert", "DATABASE_SSL_ROOT_CERT"),
        ("sslcert", "DATABASE_SSL_CERT"),
        ("sslkey", "DATABASE_SSL_KEY"),
    ] {
        let Some(path) = environment.plain(variable) else {
            continue;
        };
        if in_url(key) || is_system(path) {
            continue;
        }
        options = match key {
            "sslrootcert" => options.ssl_root_cert(path),
            "sslcert" => options.ssl_client_cert(path),
            _ => options.ssl_client_key(path),
        };
    }
    Ok(options)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(pairs: &[(&str, &str)]) -> Environment {
        let pairs = pairs
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
        Environment(pairs.collect())
    }

    fn read_pairs(pairs: &[(&str, &str)]) -> Result<Settings, Fault> {
        read(&environment(pairs), None)
    }

    #[test]
    fn the_owners_url_is_preferred_to_the_apis() {
        let settings = read_pairs(&[
            ("DATABASE_URL", "postgres://api@db/one"),
            (
                "MIGRATION_DATABASE_URL",
                "postgresql+asyncpg://owner@db:6543/two",
            ),
        ])
        .unwrap();
        assert_eq!(settings.options[0].get_username(), "owner");
        assert_eq!(settings.options[0].get_database(), Some("two"));
        assert_eq!(settings.options[0].get_port(), 6543);
    }

    #[test]
    fn the_role_of_the_api_is_the_one_of_its_url() {
        let urls = [
            ("DATABASE_URL", "postgres://api@db/one"),
            ("MIGRATION_DATABASE_URL", "postgres://owner@db/one"),
        ];
        let role = |pairs: &[(&str, &str)]| read_pairs(pairs).unwrap().api_role;
        assert_eq!(role(&urls).as_deref(), Some("api"));
        assert_eq!(role(&urls[..1]), None);
        let said = [urls[0], urls[1], ("DATABASE_API_ROLE", "other")];
        assert_eq!(role(&said).as_deref(), Some("other"));
    }

    #[test]
    fn a_url_is_read_from_a_file_and_other_variables_are_put_in() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("url");
        fs::write(&file, "postgresql://owner:${SECRET}@db/gatepost\n").unwrap();
        let file = file.to_str().unwrap();
        let settings =
            read_pairs(&[("DATABASE_URL_FILE", file), ("SECRET", "pass%20word")]).unwrap();
        assert_eq!(settings.options[0].get_database(), Some("gatepost"));
        let both = [
            ("DATABASE_URL_FILE", file),
            ("DATABASE_URL", "postgres://a@b/c"),
        ];
        assert_eq!(read_pairs(&both).unwrap_err().name, "DATABASE_URL");
    }

    #[test]
    fn a_reference_to_itself_is_a_fault() {
        let pairs = [
            ("DATABASE_URL", "postgres://${A}"),
            ("A", "${B}"),
            ("B", "${A}"),
        ];
        assert!(read_pairs(&pairs).is_err());
    }

    #[test]
    fn the_parts_make_a_url_whatever_they_contain() {
        let settings = read_pairs(&[
            ("DB_HOST", "db.internal"),
            ("DB_USER", "a@b"),
            ("DB_PASSWORD", "p:/?#@%"),
            ("DB_NAME", "a/b%c"),
        ])
        .unwrap();
        assert_eq!(settings.options[0].get_host(), "db.internal");
        assert_eq!(settings.options[0].get_username(), "a@b");
        assert_eq!(settings.options[0].get_database(), Some("a/b%c"));
    }

    #[test]
    fn a_far_server_must_prove_itself_in_production() {
        let mode = |more: &[(&str, &str)]| {
            let pairs = [&[("ENVIRONMENT", "production")], more].concat();
            read_pairs(&pairs).unwrap().options[0].get_ssl_mode()
        };
        let far = ("DATABASE_URL", "postgres://u@db.example.com/d");
        assert!(matches!(mode(&[far]), PgSslMode::VerifyFull));
        let said = ("DATABASE_SSL_MODE", "require");
        assert!(matches!(mode(&[far, said]), PgSslMode::Require));
        let near = ("DATABASE_URL", "postgres://u@localhost/d");
        assert!(matches!(mode(&[near]), PgSslMode::Prefer));
    }

    #[test]
    fn several_hosts_are_looked_through() {
        let read = |url| read_pairs(&[("DATABASE_URL", url)]);
        let settings =
            read("postgres://u:p@h1:1,h2/d?target_session_attrs=read-write&sslmode=disable")
                .unwrap();
        let places: Vec<_> = settings
            .options
            .iter()
            .map(|options| (options.get_host().to_owned(), options.get_port()))
            .collect();
        assert_eq!(places, [("h1".to_owned(), 1), ("h2".to_owned(), 5432)]);
        assert!(read("postgres://u@h/d?target_session_attrs=standby").is_err());
        assert!(read("postgres://u@h/d?host=h1,h2").is_err());
        let pooled = read("postgres://u@h/d?statement-cache-capacity=0").unwrap_err();
        assert!(
            pooled.to_string().contains("MIGRATION_DATABASE_URL"),
            "{pooled}"
        );
    }

    #[test]
    fn no_fault_tells_the_password() {
        for url in [
            "mysql://u:hunter2@h/d",
            "postgres://u:hunter2@h:port/d",
            "postgres://u:hunter2@h/d?sslmod=require",
            "postgres://u:hunter2@h/d?sslmode=maybe",
            "postgres://u:hunter2@h/",
            "postgres://:hunter2@h/d",
            "u:hunter2@h/d",
        ] {
            let fault = read_pairs(&[("DATABASE_URL", url)]).unwrap_err();
            assert!(!format!("{fault} {fault:?}").contains("hunter2"), "{fault}");
        }
    }
}
