//! The database section: the URL under its many names, TLS, and the pool.

use secrecy::SecretString;

use super::parse;
use super::reader::{Found, Reader};
use super::report::Source;
use super::settings::{DatabaseConfig, Environment};
use crate::database::url::{DatabaseUrl, SYSTEM_ROOTS, Ssl, SslMode, UrlFault};

const URL: &str = "DATABASE_URL";
const FORMER_URL: &str = "SQLALCHEMY_DATABASE_URL";
const MIGRATION_URL: &str = "MIGRATION_DATABASE_URL";
const LISTEN_URL: &str = "DATABASE_LISTEN_URL";
const STARTUP_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(30);

/// The names of one family of single parts.
struct Parts {
    host: &'static str,
    port: &'static str,
    user: &'static str,
    password: &'static str,
    database: &'static str,
}

const PARTS: [Parts; 2] = [
    Parts {
        host: "POSTGRES_HOST",
        port: "POSTGRES_PORT",
        user: "POSTGRES_USER",
        password: "POSTGRES_PASSWORD",
        database: "POSTGRES_DB",
    },
    Parts {
        host: "DB_HOST",
        port: "DB_PORT",
        user: "DB_USER",
        password: "DB_PASSWORD",
        database: "DB_NAME",
    },
];

impl Parts {
    fn others(&self) -> [&'static str; 4] {
        [self.port, self.user, self.password, self.database]
    }
}

pub(super) fn read(env: &mut Reader<'_>, environment: Environment) -> DatabaseConfig {
    refuse_what_the_driver_takes_over(env);
    let found = find_url(env);
    if found.is_none() && environment == Environment::Production && !any_url_is_set(env) {
        env.fault(URL, "is required in production");
    }
    let migration = find_direct_url(env, MIGRATION_URL);
    let listen = find_direct_url(env, LISTEN_URL);
    let tls = Tls::read(env);
    let (url, source) = found.unzip();
    let given = url
        .as_ref()
        .map(|url| url.ssl().clone())
        .unwrap_or_default();
    let url = url.and_then(|url| tls.apply(env, URL, url, environment));
    let mut direct = |name, found: Option<(DatabaseUrl, Source)>| {
        let (url, source) = found?;
        let url = tls.apply(env, name, url, environment)?;
        env.show(name, url.to_string(), source);
        Some(url)
    };
    let migration_url = direct(MIGRATION_URL, migration);
    let listen_url = direct(LISTEN_URL, listen);
    if let Some((url, source)) = url.as_ref().zip(source) {
        env.show(URL, url.to_string(), source);
        tls.show(env, url.ssl(), &given);
    }
    let auto_migrate = env.get("AUTO_MIGRATE", parse::flag);
    if auto_migrate && migration_url.is_none() && url.as_ref().is_some_and(DatabaseUrl::is_pooled) {
        env.fault(
            MIGRATION_URL,
            "is missing: AUTO_MIGRATE is on, and migrations do not work through a pooler in transaction mode",
        );
    }
    let (min_size, max_size) = pool_size(env);
    let acquire_timeout = env.get("DATABASE_ACQUIRE_TIMEOUT", parse::duration(1..=600));
    DatabaseConfig {
        url,
        migration_url,
        listen_url,
        schema: env.get("DATABASE_SCHEMA", parse::identifier),
        min_size,
        max_size,
        acquire_timeout,
        startup_timeout: acquire_timeout.max(STARTUP_TIMEOUT),
        max_lifetime: env.get("DATABASE_MAX_LIFETIME", parse::duration(10..=604_800)),
        idle_timeout: env.get("DATABASE_IDLE_TIMEOUT", parse::duration(1..=604_800)),
        statement_timeout: env.get("DATABASE_STATEMENT_TIMEOUT", parse::duration(1..=3600)),
        auto_migrate,
        echo: env.get("POSTGRES_ECHO", parse::flag),
        test_allowed_hosts: env.optional("DATABASE_TEST_ALLOWED_HOSTS", parse::test_hosts),
    }
}

/// The driver reads these by itself, and nothing can be set to undo it.
fn refuse_what_the_driver_takes_over(env: &mut Reader<'_>) {
    for (name, parameter) in [
        ("PGOPTIONS", "options"),
        ("PGSSLCERT", "sslcert"),
        ("PGSSLKEY", "sslkey"),
    ] {
        if env.is_set(name) {
            let problem = format!(
                "would change the connection unseen; unset it and write `{parameter}=` in {URL}"
            );
            env.fault_without_example(name, &problem);
        }
    }
}

fn any_url_is_set(env: &Reader<'_>) -> bool {
    env.is_set(URL)
        || env.is_set(FORMER_URL)
        || PARTS.iter().any(|parts| {
            env.is_set(parts.host) || parts.others().iter().any(|name| env.is_set(name))
        })
}

/// The first of the four ways to say where the database is. The others are warned about.
fn find_url(env: &mut Reader<'_>) -> Option<(DatabaseUrl, Source)> {
    let found = if env.is_set(URL) {
        let found = env.find(URL);
        warn_of_unused(env, URL, &[FORMER_URL]);
        found.and_then(|found| parse_url(env, URL, found))
    } else if env.is_set(FORMER_URL) {
        env.warn(
            FORMER_URL,
            format!("is the former name of {URL}; rename it"),
        );
        let found = env.find(FORMER_URL);
        found.and_then(|found| parse_url(env, FORMER_URL, found))
    } else {
        return find_parts(env);
    };
    for parts in &PARTS {
        warn_of_unused(env, "the URL", &[parts.host]);
    }
    found
}

fn warn_of_unused(env: &mut Reader<'_>, used: &str, names: &[&str]) {
    for name in names {
        if env.is_set(name) && !env.is_referenced(name) {
            env.warn(
                name,
                format!("is not read, because {used} says where the database is"),
            );
        }
    }
}

/// A URL that leads to the server itself: what it is for outlives a transaction.
fn find_direct_url(env: &mut Reader<'_>, name: &'static str) -> Option<(DatabaseUrl, Source)> {
    let found = env.find(name)?;
    let (url, source) = parse_url(env, name, found)?;
    if url.is_pooled() {
        env.fault(
            name,
            "has statement-cache-capacity=0, which means a pooler in transaction mode; give the address of the server itself",
        );
        return None;
    }
    Some((url, source))
}

fn parse_url(env: &mut Reader<'_>, name: &str, found: Found) -> Option<(DatabaseUrl, Source)> {
    match DatabaseUrl::parse(found.text.trim()) {
        Ok(url) => {
            if let Some(dialect) = url.dialect() {
                env.warn(name, format!("names the driver `+{dialect}`, which means nothing here; postgresql:// is enough"));
            }
            Some((url, found.source))
        }
        Err(fault) => {
            env.fault(name, &fault.to_string());
            None
        }
    }
}

fn find_parts(env: &mut Reader<'_>) -> Option<(DatabaseUrl, Source)> {
    let [first, second] = &PARTS;
    let parts = if env.is_set(first.host) {
        warn_of_unused(env, first.host, &[second.host]);
        first
    } else if env.is_set(second.host) {
        second
    } else {
        for parts in &PARTS {
            if let Some(name) = parts.others().into_iter().find(|name| env.is_set(name)) {
                env.fault(
                    parts.host,
                    &format!("is missing, although {name} is set and {URL} is not"),
                );
            }
        }
        return None;
    };
    let text = |text: &str| Ok(text.to_owned());
    let host = env.optional(parts.host, text)?;
    let port = env.get(parts.port, parse::number(1..=u16::MAX));
    let user = env.optional(parts.user, text);
    if user.is_none() && !env.is_set(parts.user) {
        env.fault(
            parts.user,
            &format!("is missing, although {} is set", parts.host),
        );
    }
    let user = user?;
    let password = env.optional(parts.password, |password| Ok(SecretString::from(password)));
    let database = env
        .optional(parts.database, text)
        .unwrap_or_else(|| user.clone());
    match DatabaseUrl::from_parts(&host, port, &user, password, &database) {
        Ok(url) => Some((
            url,
            Source::Variable(format!("{} and its relatives", parts.host)),
        )),
        Err(fault) => {
            env.fault(parts.host, &fault.to_string());
            None
        }
    }
}

/// The `DATABASE_SSL_*` variables, which win over the URL.
struct Tls {
    ssl: Ssl,
}

impl Tls {
    fn read(env: &mut Reader<'_>) -> Self {
        let mode = |text: &str| text.parse::<SslMode>().map_err(|fault| fault.to_string());
        Self {
            ssl: Ssl {
                mode: env.optional("DATABASE_SSL_MODE", mode),
                root_cert: env.optional("DATABASE_SSL_ROOT_CERT", |text: &str| {
                    if text == SYSTEM_ROOTS {
                        Ok(text.into())
                    } else {
                        parse::file(text)
                    }
                }),
                cert: env.optional("DATABASE_SSL_CERT", parse::file),
                key: env.optional("DATABASE_SSL_KEY", parse::file),
            },
        }
    }

    /// The URL with the mode in effect.
    fn apply(
        &self,
        env: &mut Reader<'_>,
        name: &'static str,
        url: DatabaseUrl,
        environment: Environment,
    ) -> Option<DatabaseUrl> {
        let given = url.ssl().clone();
        for path in [&given.root_cert, &given.cert, &given.key]
            .into_iter()
            .flatten()
            .filter(|path| path.as_os_str() != SYSTEM_ROOTS)
        {
            if let Err(problem) = parse::file(&path.to_string_lossy()) {
                env.fault_without_example(name, &format!("names a file that {problem}"));
                return None;
            }
        }
        let is_remote_production = environment == Environment::Production && !url.is_local();
        let default = if is_remote_production {
            SslMode::VerifyFull
        } else {
            SslMode::Prefer
        };
        let ours = self.ssl.clone();
        let mode = ours.mode.or(given.mode).unwrap_or(default);
        let ssl = Ssl {
            mode: Some(mode),
            root_cert: ours.root_cert.or(given.root_cert),
            cert: ours.cert.or(given.cert),
            key: ours.key.or(given.key),
        };
        warn_of_weak_mode(env, name, mode, &ssl, &url, is_remote_production);
        url.with_ssl(ssl)
            .and_then(|url| url.check_ssl().map(|()| url))
            .map_err(|fault| {
                if fault == UrlFault::HalfACertificate {
                    let problem = "and DATABASE_SSL_KEY belong together; one is missing";
                    env.fault("DATABASE_SSL_CERT", problem);
                } else {
                    env.fault(name, &fault.to_string());
                }
            })
            .ok()
    }

    /// What holds where no variable says so: `given` by the URL, or by default.
    fn show(&self, env: &mut Reader<'_>, effective: &Ssl, given: &Ssl) {
        if let (None, Some(mode)) = (self.ssl.mode, effective.mode) {
            let source = if given.mode.is_some() {
                Source::Url
            } else {
                Source::Default
            };
            env.show("DATABASE_SSL_MODE", mode.as_str(), source);
        }
        for (name, ours, effective) in [
            (
                "DATABASE_SSL_ROOT_CERT",
                &self.ssl.root_cert,
                &effective.root_cert,
            ),
            ("DATABASE_SSL_CERT", &self.ssl.cert, &effective.cert),
            ("DATABASE_SSL_KEY", &self.ssl.key, &effective.key),
        ] {
            if let (None, Some(path)) = (ours, effective) {
                env.show(name, path.display().to_string(), Source::Url);
            }
        }
    }
}

fn warn_of_weak_mode(
    env: &mut Reader<'_>,
    name: &str,
    mode: SslMode,
    ssl: &Ssl,
    url: &DatabaseUrl,
    is_remote_production: bool,
) {
    let checks_authority =
        mode == SslMode::VerifyCa || (mode == SslMode::Require && ssl.root_cert.is_some());
    let mode_name = mode.as_str();
    if ssl.root_cert.is_some()
        && matches!(mode, SslMode::Disable | SslMode::Allow | SslMode::Prefer)
    {
        env.warn(
            name,
            format!(
                "has a root certificate that sslmode={mode_name} does not use; use verify-full"
            ),
        );
    } else if checks_authority && !url.is_local() {
        env.warn(
            name,
            format!("with sslmode={mode_name} takes any certificate of that authority, whatever its name; use verify-full"),
        );
    } else if is_remote_production && mode != SslMode::VerifyFull {
        env.warn(
            name,
            format!("with sslmode={mode_name} verifies nothing: whoever is between can read and change everything; use verify-full"),
        );
    }
}

/// `DATABASE_MIN_SIZE` and `DATABASE_MAX_SIZE`, or the older pair, whose defaults are those of `SQLAlchemy`.
fn pool_size(env: &mut Reader<'_>) -> (u32, u32) {
    const MAX: &str = "DATABASE_MAX_SIZE";
    const MIN: &str = "DATABASE_MIN_SIZE";
    const OLDER: [&str; 2] = ["POSTGRES_POOL_SIZE", "POSTGRES_MAX_OVERFLOW"];
    let size = || parse::number(1..=10_000);
    let older = OLDER.iter().any(|name| env.is_set(name));
    let max = if older && !env.is_set(MAX) {
        let pool = env.optional(OLDER[0], size()).unwrap_or(5);
        let overflow = env
            .optional(OLDER[1], parse::number(0..=10_000))
            .unwrap_or(10);
        env.show(
            MAX,
            (pool + overflow).to_string(),
            Source::Variable(OLDER.join(" + ")),
        );
        pool + overflow
    } else {
        for name in OLDER {
            if env.is_set(name) {
                env.warn(name, format!("is not read, because {MAX} is set"));
            }
        }
        env.get(MAX, size())
    };
    let min = env.get(MIN, parse::number(0..=10_000));
    if min <= max {
        return (min, max);
    }
    if env.is_set(MIN) {
        env.fault(
            MIN,
            &format!("is {min}, more than the {max} connections there are at most"),
        );
    }
    env.show(MIN, max.to_string(), Source::Default);
    (max, max)
}
