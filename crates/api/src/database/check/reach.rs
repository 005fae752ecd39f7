//! From a name to a stream: P1 to P4.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use chrono::{DateTime, Utc};
use tokio::{
    net::{TcpStream, UnixStream, lookup_host},
    time::{Instant, timeout, timeout_at},
};

use super::{
    class::{Class, Phase},
    report::{Finding, Report, Stopped, Tls},
    tls::{self, Files, NoTls},
    wire::{Fault, Stream, Wire},
};
use crate::database::url::{DatabaseUrl, Host, SslMode};

/// Where a server is, found out.
#[derive(Clone, Debug)]
pub enum Place {
    /// An address.
    Address(SocketAddr),
    /// The file of a socket.
    Socket(PathBuf),
}

/// Looks the host up, unless `known` says what its name stands for.
pub async fn resolve(
    url: &DatabaseUrl,
    known: Option<&[IpAddr]>,
    patience: Duration,
    report: &mut Report,
) -> Result<Vec<Place>, Stopped> {
    let port = url.port();
    let name = match url.host() {
        Host::Socket(folder) => {
            let file = folder.join(format!(".s.PGSQL.{port}"));
            return Ok(vec![Place::Socket(file)]);
        }
        Host::Name(name) => name,
    };
    let found: io::Result<Vec<SocketAddr>> = match known {
        Some(known) => Ok(known.iter().map(|ip| SocketAddr::new(*ip, port)).collect()),
        None => match timeout(patience, lookup_host((name.as_str(), port))).await {
            Ok(found) => found.map(Iterator::collect),
            Err(_) => Err(io::ErrorKind::TimedOut.into()),
        },
    };
    let finding = Finding::error(Phase::Name, Class::NameUnknown);
    match found {
        Ok(found) if !found.is_empty() => {
            report.addresses = found.iter().map(|place| place.ip().to_string()).collect();
            report.end(Phase::Name)?;
            Ok(found.into_iter().map(Place::Address).collect())
        }
        Err(error) if error.kind() == io::ErrorKind::TimedOut => {
            let what = format!("{name}: the name server does not answer");
            Err(report.stop(finding.because(what)))
        }
        Ok(_) | Err(_) => Err(report.stop(finding.because(name))),
    }
}

/// A stream to a server, and the address that we have on it.
pub struct Line {
    stream: Box<dyn Stream>,
    /// The client's own address, if it is no socket file.
    pub own: Option<IpAddr>,
    /// Where it leads.
    pub place: Place,
}

/// Opens a stream to `place`.
pub async fn open(place: &Place, patience: Duration) -> Result<Line, Finding> {
    let opening = async {
        Ok::<_, io::Error>(match place {
            Place::Address(address) => {
                let stream = TcpStream::connect(address).await?;
                let own = stream.local_addr()?.ip();
                (Box::new(stream) as Box<dyn Stream>, Some(own))
            }
            Place::Socket(file) => (Box::new(UnixStream::connect(file).await?) as _, None),
        })
    };
    match timeout(patience, opening).await {
        Ok(Ok((stream, own))) => Ok(Line {
            stream,
            own,
            place: place.clone(),
        }),
        Ok(Err(error)) => Err(not_opened(place, &error)),
        Err(_) => Err(not_opened(place, &io::ErrorKind::TimedOut.into())),
    }
}

fn not_opened(place: &Place, error: &io::Error) -> Finding {
    let class = match (place, error.kind()) {
        (_, io::ErrorKind::ConnectionRefused) => Class::Refused,
        (Place::Socket(_), _) => Class::SocketMissing,
        (Place::Address(_), _) => Class::Unreachable,
    };
    let what = match place {
        Place::Address(address) => format!("{address} ({})", error.kind()),
        Place::Socket(file) => format!("{} ({})", file.display(), error.kind()),
    };
    Finding::error(Phase::Connect, class).because(what)
}

/// Opens a stream to the first of `places` that takes one.
pub async fn first(
    places: &[Place],
    patience: Duration,
    report: &mut Report,
) -> Result<Line, Stopped> {
    let mut failure = None;
    for place in places {
        match open(place, patience).await {
            Ok(line) => {
                report.end(Phase::Connect)?;
                return Ok(line);
            }
            Err(finding) => failure = failure.or(Some(finding)),
        }
    }
    let failure = failure.unwrap_or_else(|| Finding::error(Phase::Connect, Class::Unreachable));
    Err(report.stop(failure))
}

/// How a stream is to be encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encryption {
    /// Not at all; the server is not asked.
    Never,
    /// If the server offers it.
    IfOffered,
    /// Or the check ends.
    Demanded,
}

impl Encryption {
    /// What the URL asks for. A socket is never encrypted, as in libpq.
    pub fn of(url: &DatabaseUrl) -> Self {
        if matches!(url.host(), Host::Socket(_)) {
            return Self::Never;
        }
        match url.ssl().mode.unwrap_or(SslMode::Prefer) {
            SslMode::Disable => Self::Never,
            SslMode::Allow | SslMode::Prefer => Self::IfOffered,
            SslMode::Require | SslMode::VerifyCa | SslMode::VerifyFull => Self::Demanded,
        }
    }
}

/// What encrypting needs to know.
pub struct Settings<'a> {
    /// The name that the certificate has to be for.
    pub host: String,
    /// The files of the URL.
    pub files: &'a Files,
    /// The time.
    pub now: DateTime<Utc>,
    /// How long each step may take.
    pub patience: Duration,
}

/// Makes a conversation of a line: asks for TLS as `encryption` says, and speaks it if it is offered.
///
/// # Errors
///
/// The failure, of P3 or P4.
pub async fn encrypt(
    line: Line,
    encryption: Encryption,
    settings: &Settings<'_>,
    facts: &mut Tls,
) -> Result<Wire, Finding> {
    let patience = settings.patience;
    let mut stream = line.stream;
    if encryption == Encryption::Never {
        return Ok(Wire::new(stream, patience));
    }
    let deadline = Instant::now() + patience;
    match Wire::ssl_request(&mut stream, deadline).await {
        Ok(b'S') => facts.offered = Some(true),
        Ok(b'N') => {
            facts.offered = Some(false);
            return if encryption == Encryption::Demanded {
                Err(Finding::error(Phase::SslRequest, Class::TlsNotOffered))
            } else {
                Ok(Wire::new(stream, patience))
            };
        }
        // A server that is too busy to fork answers with an error at once.
        Ok(b'E') => return Err(Finding::error(Phase::SslRequest, Class::TooManyConnections)),
        Ok(byte) => {
            let what = format!(
                "it answers 0x{byte:02x} ({})",
                char::from(byte).escape_default()
            );
            return Err(Finding::error(Phase::SslRequest, Class::NotPostgres).because(what));
        }
        Err(Fault::Silent) => return Err(silent(Phase::SslRequest, patience)),
        Err(_) => {
            let what = "it ends the connection without an answer";
            return Err(Finding::error(Phase::SslRequest, Class::Silent).because(what));
        }
    }
    let deadline = Instant::now() + patience;
    let host = &settings.host;
    match tls::handshake(stream, host, settings.files, settings.now, deadline, facts).await {
        Ok(stream) => Ok(Wire::new(Box::new(stream), patience)),
        Err(fault) => Err(no_tls(fault, settings, facts)),
    }
}

fn silent(phase: Phase, patience: Duration) -> Finding {
    let what = format!("nothing within {} s", patience.as_secs_f32());
    Finding::error(phase, Class::Silent).because(what)
}

fn no_tls(fault: NoTls, settings: &Settings<'_>, facts: &Tls) -> Finding {
    let error = match fault {
        NoTls::Silent => return silent(Phase::Tls, settings.patience),
        NoTls::Unusable(error) => {
            return Finding::error(Phase::Url, Class::CertificateFile).because(error);
        }
        NoTls::Failed(error) => error,
    };
    let class = tls::inner(&error).map_or(Class::TlsVersion, tls::class_of);
    let finding = Finding::error(Phase::Tls, class);
    let Some(certificate) = &facts.certificate else {
        return finding.because(error);
    };
    let date = |time: Option<DateTime<Utc>>| {
        time.map_or_else(
            || "?".to_owned(),
            |time| time.format("%F %T UTC").to_string(),
        )
    };
    finding.because(match class {
        Class::WrongName => format!(
            "{} is asked for, and it is for {}",
            settings.host,
            certificate.names.join(", ")
        ),
        Class::CertificateExpired => format!("on {}", date(certificate.not_after)),
        Class::CertificateNotYetValid => format!("from {} on", date(certificate.not_before)),
        Class::UnknownAuthority => format!(
            "issuer {}, SHA-256 {}",
            certificate.issuer, certificate.sha256
        ),
        _ => error.to_string(),
    })
}

/// Whether the server would go on talking on an encrypted line, where it refused a plain one.
pub async fn would_talk_encrypted(
    place: &Place,
    settings: &Settings<'_>,
    parameters: &[(String, String)],
) -> bool {
    let asking = async {
        let line = open(place, settings.patience).await.ok()?;
        let mut facts = Tls::default();
        let encrypted = encrypt(line, Encryption::Demanded, settings, &mut facts).await;
        let mut wire = encrypted.ok()?;
        let deadline = wire.deadline();
        let sent = wire.send(deadline, |out| {
            let parameters = parameters.iter().map(|(k, v)| (k.as_str(), v.as_str()));
            postgres_protocol::message::frontend::startup_message(parameters, out)
        });
        sent.await.ok()?;
        match wire.receive(deadline).await {
            Ok(_) => Some(true),
            Err(Fault::Server(error)) => Some(error.sqlstate != "28000"),
            Err(_) => None,
        }
    };
    let deadline = Instant::now() + settings.patience * 2;
    matches!(timeout_at(deadline, asking).await, Ok(Some(true)))
}
