//! From the text of a variable to a value. Each error is the rest of a sentence that starts with
//! the variable's name.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use ipnet::IpNet;
use url::Url;

use super::settings::TestHost;

/// A number within bounds.
pub(super) fn number<T>(range: RangeInclusive<T>) -> impl Fn(&str) -> Result<T, String>
where
    T: FromStr + PartialOrd + Display,
{
    move |text| {
        text.parse()
            .ok()
            .filter(|number| range.contains(number))
            .ok_or_else(|| {
                format!(
                    "is `{text}`; it has to be a number from {} to {}",
                    range.start(),
                    range.end()
                )
            })
    }
}

/// `true` or `false`, or another common spelling of them.
pub(super) fn flag(text: &str) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" | "on" => Ok(true),
        "false" | "0" | "no" | "off" => Ok(false),
        _ => Err(format!("is `{text}`; it has to be true or false")),
    }
}

/// One of a few words.
pub(super) fn choice<T: Copy>(
    choices: &'static [(&'static str, T)],
) -> impl Fn(&str) -> Result<T, String> {
    move |text| {
        let chosen = choices
            .iter()
            .find(|(word, _)| word.eq_ignore_ascii_case(text));
        chosen.map(|(_, value)| *value).ok_or_else(|| {
            let words: Vec<_> = choices.iter().map(|(word, _)| *word).collect();
            format!("is `{text}`; it has to be one of {}", words.join(", "))
        })
    }
}

/// Seconds, or a number with `s`, `m`, `h` or `d`; the bounds are in seconds.
pub(super) fn duration(range: RangeInclusive<u64>) -> impl Fn(&str) -> Result<Duration, String> {
    move |text| {
        let seconds = seconds(text).ok_or_else(|| {
            format!("is `{text}`; it has to be a number of seconds, or a number with s, m, h or d")
        })?;
        if range.contains(&seconds) {
            return Ok(Duration::from_secs(seconds));
        }
        Err(format!(
            "is `{text}`; it has to be from {} to {} seconds",
            range.start(),
            range.end()
        ))
    }
}

fn seconds(text: &str) -> Option<u64> {
    let unit = |unit: char| match unit {
        's' => Some(1),
        'm' => Some(60),
        'h' => Some(3600),
        'd' => Some(86_400),
        _ => None,
    };
    let (digits, factor) = match text.char_indices().next_back()? {
        (_, last) if last.is_ascii_digit() => (text, 1),
        (at, last) => (&text[..at], unit(last)?),
    };
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    digits.parse::<u64>().ok()?.checked_mul(factor)
}

/// The entries of a list, separated by commas or spaces.
pub(super) fn list(text: &str) -> impl Iterator<Item = &str> {
    text.split([',', ' ']).filter(|entry| !entry.is_empty())
}

/// Networks and single addresses.
pub(super) fn networks(text: &str) -> Result<Vec<IpNet>, String> {
    list(text)
        .map(|entry| {
            let network = entry
                .parse::<IpNet>()
                .or_else(|_| entry.parse::<std::net::IpAddr>().map(IpNet::from))
                .map_err(|_| {
                    format!("has `{entry}`, which is neither an IP address nor a network")
                })?;
            if network.prefix_len() == 0 {
                return Err(format!(
                    "has `{entry}`, which trusts everybody; name your proxies"
                ));
            }
            Ok(network.trunc())
        })
        .collect()
}

/// Hosts, each with a port or without, for tests of connections.
pub(super) fn test_hosts(text: &str) -> Result<Vec<TestHost>, String> {
    let fault = |entry: &str| {
        format!(
            "has `{entry}`, which is no host, no IP address and no `host:port` ([…]:port for IPv6)"
        )
    };
    list(text)
        .map(|entry| {
            let whole = (entry.starts_with('/') || host(entry).is_ok()).then_some((entry, None));
            let (name, port) = whole
                .or_else(|| {
                    let (name, port) = entry.rsplit_once(':')?;
                    Some((name, Some(port)))
                })
                .ok_or_else(|| fault(entry))?;
            let name = name.trim_start_matches('[').trim_end_matches(']');
            let port = port
                .map(str::parse::<u16>)
                .transpose()
                .map_err(|_| fault(entry))?;
            if !name.starts_with('/') {
                host(name).map_err(|_| fault(entry))?;
            }
            Ok(TestHost {
                host: name.to_owned(),
                port: port.filter(|port| *port != 0),
            })
        })
        .collect()
}

/// An http or https URL of nothing but scheme, host and port.
pub(super) fn origin(text: &str) -> Result<Url, String> {
    let url = http_url(text)?;
    if url.path() != "/" || url.query().is_some() {
        return Err(format!(
            "is `{text}`; it has to end after the host and port"
        ));
    }
    Ok(url)
}

/// An http or https URL without credentials.
pub(super) fn http_url(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| format!("is not a URL: {error}"))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err("has a user or password, which does not belong there".into());
    }
    if !matches!(url.scheme(), "http" | "https") || url.fragment().is_some() {
        return Err(format!("is `{text}`; it has to be an http or https URL"));
    }
    Ok(url)
}

/// Origins, each as a browser writes it.
pub(super) fn origins(text: &str) -> Result<Vec<String>, String> {
    list(text)
        .map(|entry| match origin(entry) {
            Ok(url) => Ok(url.origin().ascii_serialization()),
            Err(_) => Err(format!(
                "has `{entry}`, which is not an exact origin (scheme://host or scheme://host:port)"
            )),
        })
        .collect()
}

/// An address to bind or a host's name.
pub(super) fn host(text: &str) -> Result<String, String> {
    let is_name = text
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte));
    if is_name || text.parse::<std::net::IpAddr>().is_ok() {
        return Ok(text.to_owned());
    }
    Err(format!(
        "is `{text}`; it has to be an IP address or a host's name, without a port"
    ))
}

/// A file that can be read.
pub(super) fn file(text: &str) -> Result<PathBuf, String> {
    match std::fs::File::open(text).and_then(|file| file.metadata()) {
        Ok(metadata) if metadata.is_file() => Ok(text.into()),
        Ok(_) => Err(format!("is {text}, which is not a file")),
        Err(error) => Err(format!("is {text}, which cannot be read: {error}")),
    }
}

/// A folder that can be read.
pub(super) fn folder(text: &str) -> Result<PathBuf, String> {
    std::fs::read_dir(text)
        .map(|_| text.into())
        .map_err(|error| format!("is {text}, which cannot be read as a folder: {error}"))
}

/// An identifier that `PostgreSQL` takes without quotes.
pub(super) fn identifier(text: &str) -> Result<String, String> {
    let starts = text.starts_with(|first: char| first.is_ascii_lowercase() || first == '_');
    let fits = text.len() <= 63
        && text
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
    if starts && fits && !text.starts_with("pg_") {
        return Ok(text.to_owned());
    }
    Err(format!(
        "is `{text}`; it has to be a name of a-z, 0-9 and _, of 63 characters at most, not starting with a digit or pg_"
    ))
}

/// Two counts with a comma between.
pub(super) fn pair_of_limits(text: &str) -> Result<(u32, u32), String> {
    let parse = || {
        let (first, second) = text.split_once(',')?;
        let limit = |text: &str| {
            text.trim()
                .parse()
                .ok()
                .filter(|limit| (1..=1_000_000).contains(limit))
        };
        Some((limit(first)?, limit(second)?))
    };
    let limits: (u32, u32) = parse()
        .ok_or_else(|| format!("is `{text}`; it has to be two numbers with a comma between"))?;
    if limits.0 > limits.1 {
        return Err(format!(
            "is `{text}`; the second number, for the whole address, has to be the larger one"
        ));
    }
    Ok(limits)
}

/// Domains in lower case.
pub(super) fn domains(text: &str) -> Result<Vec<String>, String> {
    list(text)
        .map(|entry| {
            let domain = entry.to_lowercase();
            let fits = domain.split('.').all(|label| {
                !label.is_empty() && label.chars().all(|c| c.is_alphanumeric() || c == '-')
            });
            if fits {
                Ok(domain)
            } else {
                Err(format!("has `{entry}`, which is not a domain"))
            }
        })
        .collect()
}

/// A filter of log events. A single word has to be a level: as a filter, a misspelt one would name
/// a module and silence everything else.
pub(super) fn log_filter(text: &str) -> Result<String, String> {
    const LEVELS: [&str; 6] = ["error", "warn", "info", "debug", "trace", "off"];
    for directive in text.split(',') {
        let level = directive
            .rsplit_once('=')
            .map_or(directive, |(_, level)| level);
        if !LEVELS
            .iter()
            .any(|known| known.eq_ignore_ascii_case(level.trim()))
        {
            return Err(format!(
                "has `{directive}`; a level is one of {}",
                LEVELS.join(", ")
            ));
        }
    }
    tracing_subscriber::EnvFilter::try_new(text)
        .map(|_| text.to_owned())
        .map_err(|error| format!("is `{text}`: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_seconds_or_carry_a_unit() {
        for (text, seconds) in [
            ("90", 90),
            ("90s", 90),
            ("15m", 900),
            ("1h", 3600),
            ("30d", 2_592_000),
        ] {
            assert_eq!(
                duration(0..=u64::MAX)(text),
                Ok(Duration::from_secs(seconds)),
                "{text}"
            );
        }
        for text in [
            "",
            "m",
            "1.5h",
            "-1",
            "+1",
            "1w",
            "1 h",
            "99999999999999999999",
            "99999999999999999d",
            "1ä",
        ] {
            assert!(duration(0..=u64::MAX)(text).is_err(), "{text}");
        }
        assert!(duration(1..=60)("2m").is_err());
    }

    #[test]
    fn a_proxy_is_an_address_or_a_network_but_not_everybody() {
        let networks_of = |text| {
            networks(text).map(|all| all.iter().map(ToString::to_string).collect::<Vec<_>>())
        };
        assert_eq!(
            networks_of("10.1.2.3/8, ::1").unwrap(),
            ["10.0.0.0/8", "::1/128"]
        );
        assert!(networks_of("0.0.0.0/0").is_err());
        assert!(networks_of("::/0").is_err());
        assert!(networks_of("proxy.example.com").is_err());
    }

    #[test]
    fn an_origin_is_exact() {
        assert_eq!(
            origins("https://App.example.com:443,http://a:3000/").unwrap(),
            ["https://app.example.com", "http://a:3000"]
        );
        for text in [
            "*",
            "null",
            "https://a/path",
            "https://a?x",
            "ftp://a",
            "https://u:p@a",
            "a.example.com",
        ] {
            assert!(origins(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_misspelt_level_is_refused() {
        assert!(log_filter("info,gatepost=debug,sqlx=WARN").is_ok());
        for text in ["inof", "gatepost=inof", "info,", "loud"] {
            assert!(log_filter(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_schema_needs_no_quotes() {
        assert!(identifier("gatepost_2").is_ok());
        for text in [
            "Gatepost",
            "2x",
            "pg_catalog",
            "a-b",
            "a\"b",
            &"a".repeat(64),
        ] {
            assert!(identifier(text).is_err(), "{text}");
        }
    }

    #[test]
    fn limits_come_in_pairs() {
        assert_eq!(pair_of_limits("10, 100"), Ok((10, 100)));
        for text in ["10", "100,10", "0,10", "a,b", "1,2,3"] {
            assert!(pair_of_limits(text).is_err(), "{text}");
        }
    }
}
