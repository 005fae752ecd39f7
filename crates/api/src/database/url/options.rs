//! The parameters after the `?`: which there are, and what each does.

use std::path::PathBuf;
use std::time::Duration;

use super::parse::{decode, encode};
use super::{DatabaseUrl, Ssl, Target, UrlFault};
use crate::config::spelling::closest;

/// Those with an effect.
const SUPPORTED: [&str; 15] = [
    "host",
    "port",
    "user",
    "password",
    "dbname",
    "sslmode",
    "sslrootcert",
    "sslcert",
    "sslkey",
    "application_name",
    "connect_timeout",
    "options",
    "target_session_attrs",
    "channel_binding",
    "statement-cache-capacity",
];

/// Those of libpq that the driver does not know.
const UNSUPPORTED: [&str; 29] = [
    "hostaddr",
    "passfile",
    "require_auth",
    "client_encoding",
    "fallback_application_name",
    "keepalives",
    "keepalives_idle",
    "keepalives_interval",
    "keepalives_count",
    "tcp_user_timeout",
    "replication",
    "gssencmode",
    "gsslib",
    "gssdelegation",
    "krbsrvname",
    "sslnegotiation",
    "sslcompression",
    "sslpassword",
    "sslcertmode",
    "sslcrl",
    "sslcrldir",
    "sslsni",
    "requirepeer",
    "ssl_min_protocol_version",
    "ssl_max_protocol_version",
    "min_protocol_version",
    "max_protocol_version",
    "service",
    "load_balance_hosts",
];

/// What other drivers call a thing, where the letters alone would not tell.
const ELSEWHERE: [(&str, &str); 4] = [
    ("ssl", "sslmode"),
    ("ssl-ca", "sslrootcert"),
    ("database", "dbname"),
    ("username", "user"),
];

/// Parameters that have been read and not yet taken.
pub(super) struct Parameters(Vec<(&'static str, String)>);

impl Parameters {
    pub(super) fn read(query: &str) -> Result<Self, UrlFault> {
        let mut known: Vec<(&'static str, String)> = Vec::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').ok_or(UrlFault::Unescaped(
                "what follows the `?` is not a list of name=value",
            ))?;
            let name = known_name(name)?;
            if known.iter().any(|(taken, _)| *taken == name) {
                return Err(UrlFault::RepeatedParameter(name));
            }
            known.push((name, decode(value, name)?));
        }
        Ok(Self(known))
    }

    pub(super) fn take(&mut self, name: &str) -> Option<String> {
        let at = self.0.iter().position(|(known, _)| *known == name)?;
        Some(self.0.swap_remove(at).1)
    }
}

/// Only names that resemble a known one are told: any other may be the rest of a password.
fn known_name(name: &str) -> Result<&'static str, UrlFault> {
    if let Some(known) = SUPPORTED.into_iter().find(|known| *known == name) {
        return Ok(known);
    }
    if let Some(known) = UNSUPPORTED.into_iter().find(|known| *known == name) {
        return Err(UrlFault::UnsupportedParameter(known));
    }
    let elsewhere = ELSEWHERE
        .into_iter()
        .find(|(other, _)| *other == name)
        .map(|(_, ours)| ours);
    let plain = name.to_ascii_lowercase().replace('-', "_");
    let same = SUPPORTED
        .into_iter()
        .find(|known| *known == plain || known.replace('_', "") == plain.replace('_', ""));
    let meant = elsewhere.or(same).or_else(|| closest(name, SUPPORTED));
    Err(UrlFault::UnknownParameter(
        meant.map(|meant| (name.to_owned(), meant)),
    ))
}

/// Applies what is left after the address and the credentials were taken.
pub(super) fn apply(url: &mut DatabaseUrl, mut parameters: Parameters) -> Result<(), UrlFault> {
    let ssl = Ssl {
        mode: parameters
            .take("sslmode")
            .map(|mode| mode.parse())
            .transpose()?,
        root_cert: parameters.take("sslrootcert").map(PathBuf::from),
        cert: parameters.take("sslcert").map(PathBuf::from),
        key: parameters.take("sslkey").map(PathBuf::from),
    };
    *url = url.clone().with_ssl(ssl)?;
    url.application_name = parameters
        .take("application_name")
        .map(application_name)
        .transpose()?;
    url.connect_timeout = parameters
        .take("connect_timeout")
        .map(|text| seconds(&text))
        .transpose()?;
    if let Some(text) = parameters.take("options") {
        url.options = settings(&text)?;
    }
    url.target = parameters
        .take("target_session_attrs")
        .map(|text| target(&text))
        .transpose()?;
    if url.target == Some(Target::Any) && url.addresses.len() > 1 {
        return Err(UrlFault::AnyOfSeveral);
    }
    url.statement_cache = parameters
        .take("statement-cache-capacity")
        .map(|text| capacity(&text))
        .transpose()?;
    if url.is_pooled() && !url.options.is_empty() {
        return Err(UrlFault::OptionsThroughPooler);
    }
    expect(
        parameters.take("channel_binding"),
        &["disable", "prefer"],
        "channel_binding",
        "`disable` or `prefer`, as the driver has no channel binding; `sslmode=verify-full` proves the server instead",
    )
}

fn target(text: &str) -> Result<Target, UrlFault> {
    match text {
        "any" => Ok(Target::Any),
        "read-write" => Ok(Target::ReadWrite),
        "primary" => Ok(Target::Primary),
        "read-only" => Err(UrlFault::CannotWrite("read-only")),
        "standby" => Err(UrlFault::CannotWrite("standby")),
        "prefer-standby" => Err(UrlFault::CannotWrite("prefer-standby")),
        _ => Err(UrlFault::Value {
            name: "target_session_attrs",
            expected: "read-write, primary or any",
        }),
    }
}

fn capacity(text: &str) -> Result<usize, UrlFault> {
    let capacity = text.parse().ok().filter(|number| *number <= 10_000);
    capacity.ok_or(UrlFault::Value {
        name: "statement-cache-capacity",
        expected: "a number from 0 to 10000; 0 means a pooler in transaction mode",
    })
}

fn expect(
    value: Option<String>,
    taken: &[&str],
    name: &'static str,
    expected: &'static str,
) -> Result<(), UrlFault> {
    match value {
        Some(value) if !taken.contains(&value.as_str()) => Err(UrlFault::Value { name, expected }),
        _ => Ok(()),
    }
}

/// The server cuts longer names (NAMEDATALEN) and replaces what is not printable ASCII.
fn application_name(name: String) -> Result<String, UrlFault> {
    let fits =
        (1..=63).contains(&name.len()) && name.bytes().all(|byte| (b' '..=b'~').contains(&byte));
    if fits {
        return Ok(name);
    }
    Err(UrlFault::Value {
        name: "application_name",
        expected: "1 to 63 printable ASCII characters",
    })
}

fn seconds(text: &str) -> Result<Duration, UrlFault> {
    let seconds = text
        .parse()
        .ok()
        .filter(|seconds| (1..=600).contains(seconds));
    seconds.map(Duration::from_secs).ok_or(UrlFault::Value {
        name: "connect_timeout",
        expected: "seconds, from 1 to 600",
    })
}

/// `-c name=value` and `--name=value`, with `\` before a space or a `\` that belongs to a value.
fn settings(text: &str) -> Result<Vec<(String, String)>, UrlFault> {
    let fault = || UrlFault::Value {
        name: "options",
        expected: "a list of `-c name=value`, percent-encoded (`options=-c%20work_mem%3D8MB`)",
    };
    if text.chars().any(char::is_control) {
        return Err(fault());
    }
    let mut words = words(text).into_iter();
    let mut settings = Vec::new();
    while let Some(word) = words.next() {
        let setting = match word.strip_prefix("--").or_else(|| word.strip_prefix("-c")) {
            Some("") => words.next().ok_or_else(fault)?,
            Some(setting) => setting.to_owned(),
            None => return Err(fault()),
        };
        let (name, value) = setting.split_once('=').ok_or_else(fault)?;
        let is_name = name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"_.".contains(&byte));
        if name.is_empty() || !is_name {
            return Err(fault());
        }
        if name.to_ascii_lowercase().starts_with("app.") {
            return Err(UrlFault::ReservedSetting);
        }
        settings.push((name.to_owned(), value.to_owned()));
    }
    Ok(settings)
}

fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => word.get_or_insert_default().extend(characters.next()),
            space if space.is_ascii_whitespace() => words.extend(word.take()),
            other => word.get_or_insert_default().push(other),
        }
    }
    words.extend(word);
    words
}

/// The parameters as they stand in a URL.
pub(super) fn to_query(url: &DatabaseUrl) -> String {
    let path = |path: &Option<PathBuf>| {
        path.as_ref()
            .map(|path| path.to_string_lossy().into_owned())
    };
    let settings = (!url.options.is_empty()).then(|| {
        let escaped = |text: &str| text.replace('\\', r"\\").replace(' ', r"\ ");
        let settings: Vec<_> = url
            .options
            .iter()
            .map(|(name, value)| format!("-c {name}={}", escaped(value)))
            .collect();
        settings.join(" ")
    });
    [
        ("sslmode", url.ssl.mode.map(|mode| mode.as_str().to_owned())),
        ("sslrootcert", path(&url.ssl.root_cert)),
        ("sslcert", path(&url.ssl.cert)),
        ("sslkey", path(&url.ssl.key)),
        ("application_name", url.application_name.clone()),
        (
            "connect_timeout",
            url.connect_timeout
                .map(|timeout| timeout.as_secs().to_string()),
        ),
        ("options", settings),
        (
            "target_session_attrs",
            url.target.map(|target| target.as_str().to_owned()),
        ),
        (
            "statement-cache-capacity",
            url.statement_cache.map(|capacity| capacity.to_string()),
        ),
    ]
    .into_iter()
    .filter_map(|(name, value)| Some(format!("{name}={}", encode(&value?))))
    .collect::<Vec<_>>()
    .join("&")
}
