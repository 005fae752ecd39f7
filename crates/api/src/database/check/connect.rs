//! From the places where a server may be to a session: P2 to P5, with libpq's second tries.

use std::net::IpAddr;

use super::{
    Target,
    class::{Class, Phase},
    login::{self, Client},
    reach::{self, Encryption, Line, Place, Settings},
    report::{Finding, Report, Stopped, Tls},
    session,
    text::identifier,
    tls::{self, Files},
    wire::{Fault, ServerError, Wire},
};
use crate::database::url::{Host, SslMode};

/// What every connection of one check has in common.
pub struct Connector<'a> {
    /// What is checked.
    pub target: &'a Target<'a>,
    /// The files of its URL.
    pub files: &'a Files,
    /// Where its host is.
    pub places: &'a [Place],
}

/// How a session came about, to open another one in the same way.
pub struct Way {
    place: Place,
    encryption: Encryption,
}

impl Way {
    fn new(place: Place, encryption: Encryption) -> Self {
        Self { place, encryption }
    }
}

/// What libpq tries after a refusal with `allow` and `prefer`.
fn second_try(mode: SslMode, server: Option<&ServerError>, report: &Report) -> Option<Encryption> {
    server.filter(|error| error.sqlstate == "28000")?;
    match mode {
        SslMode::Allow => Some(Encryption::Demanded),
        SslMode::Prefer if report.tls.used => Some(Encryption::Never),
        _ => None,
    }
}

impl Connector<'_> {
    /// Opens a session, and tells in `report` all about it.
    pub async fn connect(&self, report: &mut Report) -> Result<(Wire, Way), Stopped> {
        let patience = self.target.patience;
        let line = reach::first(self.places, patience, report).await?;
        let (place, own) = (line.place.clone(), line.own);
        let wanted = Encryption::of(self.target.url);
        let mode = self.target.url.ssl().mode.unwrap_or(SslMode::Prefer);
        let first = if mode == SslMode::Allow {
            Encryption::Never
        } else {
            wanted
        };
        let (failure, server) = match self.attempt(line, first, report).await {
            Ok(wire) => return Ok((wire, Way::new(place, first))),
            Err(refused) => refused,
        };
        if let Some(second) = second_try(mode, server.as_ref(), report)
            && let Ok(line) = reach::open(&place, patience).await
        {
            report.tls.used = false;
            if let Ok(wire) = self.attempt(line, second, report).await {
                return Ok((wire, Way::new(place, second)));
            }
        }
        let failure = self
            .looked_at_again(failure, server, &place, own, report)
            .await;
        Err(report.stop(failure))
    }

    /// Another session of the same kind; `None` if none came about.
    pub async fn another(&self, way: &Way) -> Option<Wire> {
        let line = reach::open(&way.place, self.target.patience).await.ok()?;
        let mut facts = Tls::default();
        let settings = self.settings();
        let encrypted = reach::encrypt(line, way.encryption, &settings, &mut facts).await;
        let mut wire = encrypted.ok()?;
        let url = self.target.url;
        let parameters = login::parameters(url, self.target.schema);
        login::log_in(&mut wire, &parameters, url.user(), url.password())
            .await
            .ok()?;
        Some(wire)
    }

    fn settings(&self) -> Settings<'_> {
        let host = match self.target.url.host() {
            Host::Name(name) => name.clone(),
            Host::Socket(_) => "localhost".to_owned(),
        };
        Settings {
            host,
            files: self.files,
            now: self.target.clock.now(),
            patience: self.target.patience,
        }
    }

    /// One try at P3 to P5. With a refusal of the server comes what it said.
    async fn attempt(
        &self,
        line: Line,
        encryption: Encryption,
        report: &mut Report,
    ) -> Result<Wire, (Finding, Option<ServerError>)> {
        let own = line.own;
        let settings = self.settings();
        let mut wire = reach::encrypt(line, encryption, &settings, &mut report.tls)
            .await
            .map_err(|finding| (finding, None))?;
        if report.tls.offered.is_some() {
            report.passed.push(Phase::SslRequest);
        }
        if report.tls.used {
            report.passed.push(Phase::Tls);
        }
        let url = self.target.url;
        let parameters = login::parameters(url, self.target.schema);
        match login::log_in(&mut wire, &parameters, url.user(), url.password()).await {
            Ok(method) => {
                report.authentication = Some(method.to_owned());
                self.judge_method(method, report);
                report.passed.push(Phase::Login);
                Ok(wire)
            }
            Err(Fault::Server(error)) => {
                let client = Client {
                    url,
                    own,
                    encrypted: report.tls.used,
                };
                Err((login::refusal((*error).clone(), &client), Some(*error)))
            }
            Err(fault) => Err((self.no_login(fault), None)),
        }
    }

    fn no_login(&self, fault: Fault) -> Finding {
        let user = identifier(self.target.url.user());
        match fault {
            Fault::NoPassword => Finding::error(Phase::Login, Class::PasswordMissing),
            Fault::Method(method) => Finding::error(Phase::Login, Class::MethodUnsupported)
                .because(format!("it asks for {method}"))
                .with_fix(format!(
                    "Ask for scram-sha-256 in pg_hba.conf. For that the password has to be stored so: \
                     SET password_encryption = 'scram-sha-256'; then \\password {user}"
                )),
            Fault::Io(error) => match tls::inner(&error) {
                // Our side of TLS was done: what the server still complains of is our certificate.
                Some(inner @ rustls::Error::AlertReceived(_)) => {
                    Finding::error(Phase::Login, Class::ClientCertificate).because(inner)
                }
                Some(inner) => Finding::error(Phase::Login, tls::class_of(inner)).because(inner),
                None if error.kind() == std::io::ErrorKind::InvalidInput
                    || error.kind() == std::io::ErrorKind::Other =>
                {
                    let what = format!("the proof of the password did not fit: {error}");
                    Finding::error(Phase::Login, Class::PasswordRefused).because(what)
                }
                None => session::failure(Phase::Login, Fault::Io(error)),
            },
            other => session::failure(Phase::Login, other),
        }
    }

    fn judge_method(&self, method: &str, report: &mut Report) {
        let finding = Finding::warning(Phase::Login, Class::MethodUnsupported);
        let user = identifier(self.target.url.user());
        match method {
            "md5" => report.add(finding.saying("the server asks for md5, which is broken and leaves PostgreSQL")
                .with_fix(format!(
                    "In postgresql.conf password_encryption = 'scram-sha-256', then \\password {user}, then scram-sha-256 in pg_hba.conf."
                ))),
            "none" if matches!(self.target.url.host(), Host::Socket(_)) => report.add(Finding::info(
                Phase::Login,
                "the server asked for no password: it knows the user of this process (peer), or trusts everybody (trust)",
            )),
            "none" if !self.files.has_client_certificate() => report.add(finding
                .saying("the server lets this client in without a password (trust)")),
            _ => {}
        }
    }

    /// Refusals that say too little are tried once more with one thing changed.
    async fn looked_at_again(
        &self,
        failure: Finding,
        server: Option<ServerError>,
        place: &Place,
        own: Option<IpAddr>,
        report: &Report,
    ) -> Finding {
        let Some(error) = server else { return failure };
        let url = self.target.url;
        let parameters = login::parameters(url, self.target.schema);
        let asks_hba = matches!(failure.code, Some(Class::NoHbaEntry | Class::HbaReject));
        if asks_hba && !report.tls.used && own.is_some() {
            let settings = self.settings();
            if reach::would_talk_encrypted(place, &settings, &parameters).await {
                return Finding::error(Phase::Login, Class::TlsDemanded).with_server(error);
            }
        }
        let refused_at_the_door = failure.code == Some(Class::PoolerUpstream);
        if refused_at_the_door && parameters.len() > 2 && self.takes_less(place).await {
            return Finding::error(Phase::Login, Class::StartupParameter).with_server(error);
        }
        failure
    }

    /// Whether the other side goes on when it hears of nothing but the user and the database.
    async fn takes_less(&self, place: &Place) -> bool {
        let Ok(line) = reach::open(place, self.target.patience).await else {
            return false;
        };
        let wanted = Encryption::of(self.target.url);
        let mut facts = Tls::default();
        let settings = self.settings();
        let Ok(mut wire) = reach::encrypt(line, wanted, &settings, &mut facts).await else {
            return false;
        };
        let url = self.target.url;
        let parameters = login::parameters(url, "public");
        let bare: Vec<_> = parameters.into_iter().take(2).collect();
        let result = login::log_in(&mut wire, &bare, url.user(), url.password()).await;
        !matches!(result, Err(Fault::Server(error)) if error.sqlstate == "08P01")
    }
}
