//! P5: the startup message, and proving who we are.

use std::net::IpAddr;

use fallible_iterator::FallibleIterator as _;
use postgres_protocol::{
    authentication::{
        md5_hash,
        sasl::{ChannelBinding, SCRAM_SHA_256, ScramSha256},
    },
    message::{backend::Message, frontend},
};
use secrecy::{ExposeSecret as _, SecretString};

use super::{
    class::{Class, Phase},
    report::Finding,
    text::identifier,
    wire::{Fault, ServerError, Wire},
};
use crate::database::url::{DatabaseUrl, Host};

/// What the session is called in `pg_stat_activity`.
pub const APPLICATION: &str = "gatepost check";

/// What the startup message says. `options` are the settings of the URL, as the driver sends them.
pub fn parameters(url: &DatabaseUrl, schema: &str) -> Vec<(String, String)> {
    let mut options = url.to_connect_options(false);
    if schema != "public" {
        options = options.options([("search_path", schema)]);
    }
    let mut parameters = vec![
        ("user".to_owned(), url.user().to_owned()),
        ("database".to_owned(), url.database().to_owned()),
        ("client_encoding".to_owned(), "UTF8".to_owned()),
        ("application_name".to_owned(), APPLICATION.to_owned()),
    ];
    if let Some(options) = options.get_options() {
        parameters.push(("options".to_owned(), options.to_owned()));
    }
    parameters
}

/// Logs in, and returns the authentication that the server asked for.
pub async fn log_in(
    wire: &mut Wire,
    parameters: &[(String, String)],
    user: &str,
    password: Option<&SecretString>,
) -> Result<&'static str, Fault> {
    let deadline = wire.deadline();
    wire.send(deadline, |out| {
        let parameters = parameters.iter().map(|(k, v)| (k.as_str(), v.as_str()));
        frontend::startup_message(parameters, out)
    })
    .await?;
    let method = authenticate(wire, user, password).await?;
    wire.is_trusted();
    let deadline = wire.deadline();
    loop {
        if let Message::ReadyForQuery(_) = wire.receive(deadline).await? {
            return Ok(method);
        }
    }
}

async fn authenticate(
    wire: &mut Wire,
    user: &str,
    password: Option<&SecretString>,
) -> Result<&'static str, Fault> {
    let mut method = "none";
    loop {
        let deadline = wire.deadline();
        let message = wire.receive(deadline).await;
        let message = match method {
            "md5" => message.map_err(answers_password)?,
            // After SCRAM the password is accepted: what comes now is about something else.
            _ => message?,
        };
        match message {
            Message::AuthenticationOk => return Ok(method),
            Message::AuthenticationMd5Password(body) => {
                method = "md5";
                let password = password.ok_or(Fault::NoPassword)?;
                let hash = md5_hash(
                    user.as_bytes(),
                    password.expose_secret().as_bytes(),
                    body.salt(),
                );
                wire.send(deadline, |out| {
                    frontend::password_message(hash.as_bytes(), out)
                })
                .await?;
            }
            Message::AuthenticationSasl(body) => {
                let offers: Vec<&str> = body.mechanisms().collect()?;
                if !offers.contains(&SCRAM_SHA_256) {
                    return Err(Fault::Method("an unknown mechanism of SASL"));
                }
                method = "scram-sha-256";
                let password = password.ok_or(Fault::NoPassword)?;
                scram(wire, password).await.map_err(answers_password)?;
            }
            Message::AuthenticationCleartextPassword => {
                return Err(match password {
                    Some(_) => Fault::Method("the password in cleartext"),
                    None => Fault::NoPassword,
                });
            }
            Message::AuthenticationGss | Message::AuthenticationSspi => {
                return Err(Fault::Method("GSSAPI or SSPI"));
            }
            Message::AuthenticationKerberosV5 | Message::AuthenticationScmCredential => {
                return Err(Fault::Method("a method of old servers"));
            }
            _ => return Err(Fault::NotPostgres("an unexpected message".to_owned())),
        }
    }
}

fn answers_password(fault: Fault) -> Fault {
    match fault {
        Fault::Server(mut error) => {
            error.answers_password = true;
            Fault::Server(error)
        }
        other => other,
    }
}

/// SCRAM-SHA-256 (RFC 5802, RFC 7677), which also proves that the server knows the password.
async fn scram(wire: &mut Wire, password: &SecretString) -> Result<(), Fault> {
    let password = password.expose_secret().as_bytes();
    let mut scram = ScramSha256::new(password, ChannelBinding::unsupported());
    let deadline = wire.deadline();
    wire.send(deadline, |out| {
        frontend::sasl_initial_response(SCRAM_SHA_256, scram.message(), out)
    })
    .await?;
    let Message::AuthenticationSaslContinue(body) = wire.receive(deadline).await? else {
        return Err(Fault::NotPostgres("no answer to SCRAM".to_owned()));
    };
    scram.update(body.data())?;
    wire.send(deadline, |out| {
        frontend::sasl_response(scram.message(), out)
    })
    .await?;
    let Message::AuthenticationSaslFinal(body) = wire.receive(deadline).await? else {
        return Err(Fault::NotPostgres("no end of SCRAM".to_owned()));
    };
    scram.finish(body.data())?;
    Ok(())
}

/// Who asked, for the line that would let them in.
pub struct Client<'a> {
    /// The URL that was tried.
    pub url: &'a DatabaseUrl,
    /// The address that our end of the line has.
    pub own: Option<IpAddr>,
    /// Whether the line is encrypted.
    pub encrypted: bool,
}

impl Client<'_> {
    /// The line of `pg_hba.conf` that lets this client in, from the address that the server saw, or
    /// else the one that we have on our side.
    pub fn hba_line(&self, error: &ServerError) -> String {
        let database = hba_word(self.url.database());
        let user = hba_word(self.url.user());
        if matches!(self.url.host(), Host::Socket(_)) {
            return format!("local {database} {user} scram-sha-256");
        }
        let address = address_in(&error.message).or(self.own);
        let network = match address.map(|address| address.to_canonical()) {
            Some(IpAddr::V4(address)) => format!("{address}/32"),
            Some(IpAddr::V6(address)) => format!("{address}/128"),
            None => "samehost".to_owned(),
        };
        let kind = if self.encrypted || !self.url.is_local() {
            "hostssl"
        } else {
            "host"
        };
        format!("{kind} {database} {user} {network} scram-sha-256")
    }
}

/// Words that mean something in `pg_hba.conf` have to be quoted, and those with other characters.
fn hba_word(name: &str) -> String {
    const RESERVED: [&str; 5] = ["all", "sameuser", "samerole", "samegroup", "replication"];
    let is_plain = name
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || "_-.".contains(c));
    if is_plain && !RESERVED.contains(&name) {
        name.to_owned()
    } else {
        format!("\"{name}\"")
    }
}

/// The first IP address in a text: no translation changes those.
fn address_in(text: &str) -> Option<IpAddr> {
    text.split(|c: char| !c.is_ascii_hexdigit() && c != '.' && c != ':')
        .filter(|word| word.contains('.') || word.matches(':').count() > 1)
        .find_map(|word| word.trim_matches('.').parse().ok())
}

/// The failure that the server's refusal of a login is.
///
/// Told apart by SQLSTATE, then by the server's own function that raised it, then by the name of a
/// file, none of which is ever translated.
pub fn refusal(error: ServerError, client: &Client<'_>) -> Finding {
    let class = class_of(&error);
    let user = identifier(client.url.user());
    let database = identifier(client.url.database());
    let finding = Finding::error(Phase::Login, class);
    let finding = match class {
        Class::NoHbaEntry => {
            let line = client.hba_line(&error);
            finding.with_fix(format!(
                "Add this line to pg_hba.conf, then `SELECT pg_reload_conf()`:\n{line}"
            ))
        }
        Class::HbaReject => {
            let line = client.hba_line(&error);
            finding.with_fix(format!(
                "Put this line before the `reject` line of pg_hba.conf, then `SELECT pg_reload_conf()`:\n{line}"
            ))
        }
        Class::LoginForbidden => finding.with_fix(format!("Let it: ALTER ROLE {user} LOGIN;")),
        Class::DatabaseMissing => finding.with_fix(format!(
            "Correct its name in the URL, or make it: CREATE DATABASE {database} OWNER {user};"
        )),
        Class::DatabaseClosed => finding.with_fix(format!(
            "Open it: ALTER DATABASE {database} ALLOW_CONNECTIONS true;"
        )),
        Class::ConnectForbidden => finding.with_fix(format!(
            "Let it: GRANT CONNECT ON DATABASE {database} TO {user};"
        )),
        Class::ConnectionLimit if error.routine == "CheckMyDatabase" => finding.with_fix(format!(
            "Raise the database's limit: ALTER DATABASE {database} CONNECTION LIMIT -1;"
        )),
        Class::ConnectionLimit => finding.with_fix(format!(
            "Raise the role's limit: ALTER ROLE {user} CONNECTION LIMIT -1;"
        )),
        _ => finding,
    };
    finding.with_server(error)
}

fn class_of(error: &ServerError) -> Class {
    let routine = error.routine.as_str();
    match error.sqlstate.as_str() {
        "28P01" => Class::PasswordRefused,
        "28000" => match routine {
            "InitializeSessionUserId" => Class::LoginForbidden,
            "ClientAuthentication" => match error.message.find("pg_hba.conf") {
                None => Class::ClientCertificate,
                // "pg_hba.conf rejects …" in all the languages that put the subject first.
                Some(0) => Class::HbaReject,
                Some(_) => Class::NoHbaEntry,
            },
            _ => Class::MethodUnsupported,
        },
        "3D000" => Class::DatabaseMissing,
        "55000" => Class::DatabaseClosed,
        "42501" => Class::ConnectForbidden,
        "53300" => match routine {
            "InitializeSessionUserId" | "CheckMyDatabase" => Class::ConnectionLimit,
            _ => Class::TooManyConnections,
        },
        "57P03" => not_now(error),
        "08P01" if error.answers_password => Class::PasswordRefused,
        "08P01" => Class::PoolerUpstream,
        // Such as an I/O error of its own.
        other => of_sqlstate(other).unwrap_or(Class::ConnectionLost),
    }
}

/// A standby that takes nobody is the only one of these with more to say than one line; the server
/// has no other mark for the rest, so its English words are taken where it speaks English.
fn not_now(error: &ServerError) -> Class {
    let says = |words: &str| error.message.ends_with(words);
    if says("is shutting down") {
        Class::ShuttingDown
    } else if says("is not accepting connections") && error.detail.is_some() {
        Class::StandbyClosed
    } else {
        Class::StartingUp
    }
}

/// The class of an error whose SQLSTATE says it all, whatever was asked.
pub fn of_sqlstate(sqlstate: &str) -> Option<Class> {
    Some(match sqlstate {
        "25006" => Class::ReadOnly,
        "3F000" => Class::NoSchema,
        "42P05" | "26000" => Class::PreparedStatements,
        "0A000" => Class::ExtensionMissing,
        "42883" => Class::ExtensionNotCreated,
        "22P05" | "22021" => Class::Encoding,
        "57P01" | "57P02" | "57P05" | "25P03" => Class::ConnectionLost,
        "57014" | "55P03" | "40P01" | "40001" => Class::Contention,
        "53100" => Class::DiskFull,
        "53200" | "53000" => Class::OutOfMemory,
        "42P01" | "42703" => Class::MigrationState,
        "42704" => Class::BadOption,
        "53300" => Class::TooManyConnections,
        "57P03" => Class::StartingUp,
        "08P01" => Class::PoolerUpstream,
        "42501" => Class::TableForbidden,
        "28P01" => Class::PasswordRefused,
        "3D000" => Class::DatabaseMissing,
        "55000" => Class::DatabaseClosed,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(sqlstate: &str, routine: &str, message: &str) -> ServerError {
        ServerError {
            sqlstate: sqlstate.to_owned(),
            routine: routine.to_owned(),
            message: message.to_owned(),
            ..ServerError::default()
        }
    }

    #[test]
    fn siblings_of_one_sqlstate_are_told_apart_in_any_language() {
        let at = "ClientAuthentication";
        for (message, class) in [
            (
                "kein pg_hba.conf-Eintrag für Host »10.0.0.5«",
                Class::NoHbaEntry,
            ),
            (
                "pg_hba.conf lehnt Verbindung ab für Host »10.0.0.5«",
                Class::HbaReject,
            ),
            (
                "Verbindung erfordert ein gültiges Client-Zertifikat",
                Class::ClientCertificate,
            ),
        ] {
            assert_eq!(class_of(&error("28000", at, message)), class);
        }
        let nologin = error(
            "28000",
            "InitializeSessionUserId",
            "Rolle »x« hat keine Berechtigung",
        );
        assert_eq!(class_of(&nologin), Class::LoginForbidden);
        let peer = error("28000", "auth_failed", "Peer-Authentifizierung");
        assert_eq!(class_of(&peer), Class::MethodUnsupported);
    }

    #[test]
    fn the_line_to_add_names_the_address_that_the_server_saw() {
        let url = DatabaseUrl::parse("postgres://app@db.example.com/shop").unwrap();
        let client = Client {
            url: &url,
            own: Some("192.168.1.2".parse().unwrap()),
            encrypted: true,
        };
        let line = |message| client.hba_line(&error("28000", "", message));
        assert_eq!(
            line("no pg_hba.conf entry for host \"203.0.113.9\", user \"app\""),
            "hostssl shop app 203.0.113.9/32 scram-sha-256"
        );
        assert_eq!(
            line("kein Eintrag für Host »2001:db8::7«, Benutzer »app«"),
            "hostssl shop app 2001:db8::7/128 scram-sha-256"
        );
        assert_eq!(line("no"), "hostssl shop app 192.168.1.2/32 scram-sha-256");
    }
}
