//! From text to [`DatabaseUrl`].

use std::fmt::Write as _;

use super::options::{self, Parameters};
use super::{DatabaseUrl, UrlFault};

const PORT: u16 = 5432;
const SCHEMES: [&str; 2] = ["postgres", "postgresql"];
/// The drivers that predecessors wrote into the scheme.
const DIALECTS: [&str; 3] = ["asyncpg", "psycopg2", "psycopg"];

pub(super) fn parse(text: &str) -> Result<DatabaseUrl, UrlFault> {
    let (scheme, rest) = text.split_once("://").ok_or(UrlFault::Scheme)?;
    let dialect = dialect(scheme)?;
    if text.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err(UrlFault::Unescaped("it has a space or a control character"));
    }
    if rest.contains('#') {
        return Err(UrlFault::Unescaped("it has a bare `#`"));
    }
    let (before_query, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (authority, path) = before_query.split_once('/').unwrap_or((before_query, ""));
    if path.contains('@') {
        return Err(UrlFault::Unescaped("an `@` comes after the first `/`"));
    }
    if path.contains('/') {
        return Err(UrlFault::Unescaped(
            "the name of the database has a bare `/`",
        ));
    }
    let (credentials, address) = split_credentials(authority)?;
    let (user, password) = credentials
        .split_once(':')
        .map_or((credentials, None), |(user, password)| {
            (user, Some(password))
        });
    let mut parameters = Parameters::read(query)?;
    let addresses = addresses(
        address,
        parameters.take("host"),
        parameters.take("port").as_deref(),
    )?;
    let addresses = addresses
        .iter()
        .map(|(host, port)| (host.as_str(), *port))
        .collect();
    let user = parameters
        .take("user")
        .map_or_else(|| decode(user, "user"), Ok)?;
    let password = match parameters.take("password") {
        Some(password) => Some(password),
        None => password
            .map(|password| decode(password, "password"))
            .transpose()?,
    };
    let database = match parameters.take("dbname") {
        Some(name) => name,
        None if path.is_empty() => user.clone(),
        None => decode(path, "database")?,
    };
    let mut url =
        DatabaseUrl::from_addresses(addresses, &user, password.map(Into::into), &database)?;
    url.dialect = dialect;
    options::apply(&mut url, parameters)?;
    Ok(url)
}

fn dialect(scheme: &str) -> Result<Option<String>, UrlFault> {
    let (scheme, dialect) = scheme
        .split_once('+')
        .map_or((scheme, None), |(scheme, dialect)| (scheme, Some(dialect)));
    let is_known = SCHEMES
        .iter()
        .any(|known| known.eq_ignore_ascii_case(scheme))
        && dialect.is_none_or(|dialect| DIALECTS.contains(&dialect));
    if is_known {
        Ok(dialect.map(ToOwned::to_owned))
    } else {
        Err(UrlFault::Scheme)
    }
}

/// Two `@` are ambiguous: parsers differ in which one they take, so one has to be encoded.
fn split_credentials(authority: &str) -> Result<(&str, &str), UrlFault> {
    match authority.split_once('@') {
        Some((_, address)) if address.contains('@') => Err(UrlFault::Unescaped(
            "it has more than one `@` before the host",
        )),
        Some(parts) => Ok(parts),
        None => Ok(("", authority)),
    }
}

/// The places, as libpq reads them: `h1:1,h2:2`, or what `host=h1,h2` and `port=1,2` say instead,
/// where one port holds for all hosts.
fn addresses(
    authority: &str,
    hosts: Option<String>,
    ports: Option<&str>,
) -> Result<Vec<(String, u16)>, UrlFault> {
    let written: Vec<_> = authority
        .split(',')
        .map(split_port)
        .collect::<Result<_, _>>()?;
    let hosts: Vec<String> = match hosts {
        Some(hosts) => hosts.split(',').map(ToOwned::to_owned).collect(),
        None => written
            .iter()
            .map(|(host, _)| decode(host, "host"))
            .collect::<Result<_, _>>()?,
    };
    let ports: Vec<u16> = match ports {
        Some(ports) => ports
            .split(',')
            .map(|port| {
                if port.is_empty() {
                    Ok(PORT)
                } else {
                    parse_port(port)
                }
            })
            .collect::<Result<_, _>>()?,
        None => written
            .iter()
            .map(|(_, port)| port.map_or(Ok(PORT), parse_port))
            .collect::<Result<_, _>>()?,
    };
    let ports = match ports.as_slice() {
        [port] => vec![*port; hosts.len()],
        several if several.len() == hosts.len() => ports,
        several => {
            return Err(UrlFault::Ports {
                hosts: hosts.len(),
                ports: several.len(),
            });
        }
    };
    Ok(hosts.into_iter().zip(ports).collect())
}

fn split_port(address: &str) -> Result<(&str, Option<&str>), UrlFault> {
    if let Some(rest) = address.strip_prefix('[') {
        let (host, after) = rest.split_once(']').ok_or(UrlFault::Host)?;
        if !host.contains(':') {
            return Err(UrlFault::Host);
        }
        return match after.strip_prefix(':') {
            Some(port) => Ok((host, Some(port).filter(|port| !port.is_empty()))),
            None if after.is_empty() => Ok((host, None)),
            None => Err(UrlFault::Host),
        };
    }
    match address.split_once(':') {
        Some((_, port)) if port.contains(':') => Err(UrlFault::Port),
        Some((host, port)) => Ok((host, Some(port).filter(|port| !port.is_empty()))),
        None => Ok((address, None)),
    }
}

fn parse_port(text: &str) -> Result<u16, UrlFault> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse()
        .ok()
        .filter(|port| digits && *port != 0)
        .ok_or(UrlFault::Port)
}

/// Undoes percent-encoding (RFC 3986, section 2.1); a `+` is a `+`, as in libpq.
pub(super) fn decode(text: &str, what: &'static str) -> Result<String, UrlFault> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        rest = tail;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let (digits, tail) = rest.split_at_checked(2).ok_or(UrlFault::Encoding(what))?;
        let digits = str::from_utf8(digits)
            .ok()
            .filter(|pair| pair.bytes().all(|byte| byte.is_ascii_hexdigit()));
        let byte = digits
            .and_then(|pair| u8::from_str_radix(pair, 16).ok())
            .filter(|byte| *byte != 0);
        bytes.push(byte.ok_or(UrlFault::Encoding(what))?);
        rest = tail;
    }
    String::from_utf8(bytes).map_err(|_| UrlFault::Encoding(what))
}

/// Encodes everything but unreserved characters (RFC 3986, section 2.3).
pub(super) fn encode(text: &str) -> String {
    text.bytes().fold(String::new(), |mut encoded, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            write!(encoded, "%{byte:02X}").expect("a String takes all that is written");
        }
        encoded
    })
}
