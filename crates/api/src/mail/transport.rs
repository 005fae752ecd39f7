//! How a mail leaves: by SMTP, into the log, or not at all.

use std::{error::Error as _, fmt, time::Duration, time::SystemTime};

use chrono::{DateTime, Utc};
use lettre::{
    Address, AsyncSmtpTransport, AsyncTransport as _, Message as Envelope, Tokio1Executor,
    message::{
        Mailbox, MultiPart,
        header::{HeaderName, HeaderValue},
    },
    transport::smtp,
};
use secrecy::{ExposeSecret, SecretString};
use url::Url;
use uuid::Uuid;

use super::{message::Mail, render::Rendered};

/// For one command and its answer.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(10);
/// For a whole mail; far below the time for which a worker has a mail to itself.
const MAIL_TIMEOUT: Duration = Duration::from_secs(20);
/// Answers to a wrong login (RFC 4954, 6): they are permanent to the server, and to us a setting
/// that the operator will correct.
const LOGIN_REFUSED: [u16; 4] = [530, 534, 535, 538];

/// What is wrong with `SMTP_URL` or `MAIL_FROM`. Never shows the URL, which holds a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MailerFault {
    /// Not a URL at all, or without a host.
    #[error("SMTP_URL must look like smtps://user:password@host:465")]
    Url,
    /// Another scheme.
    #[error("SMTP_URL must begin with smtp:// or smtps://")]
    Scheme,
    /// A path, a fragment, or a parameter that is none.
    #[error("SMTP_URL takes no path and one parameter: tls=required, opportunistic or none")]
    Parameter,
    /// `smtps://` with a `tls` parameter.
    #[error("SMTP_URL: smtps:// is always encrypted; drop the tls parameter, or use smtp://")]
    TlsTwice,
    /// TLS could not be set up, for instance because there are no root certificates.
    #[error("SMTP_URL: TLS cannot be set up on this machine (root certificates?)")]
    Tls,
    /// `MAIL_FROM` is no mailbox.
    #[error("MAIL_FROM must be an address, or Name <address>")]
    From,
}

/// Why a mail was not sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SendFault {
    /// Trying again is useless: the server refuses this recipient or this mail.
    pub permanent: bool,
    /// For the operator; may quote the server.
    pub reason: String,
}

/// Renders and sends mails. Clones share connections.
#[derive(Clone)]
pub struct Mailer {
    transport: Transport,
    from: Mailbox,
    service: String,
}

#[derive(Clone)]
enum Transport {
    Smtp(AsyncSmtpTransport<Tokio1Executor>),
    Log,
    Unconfigured,
}

impl Mailer {
    /// Sends by the server of `SMTP_URL`, as `MAIL_FROM`; `public_url` names the service in mails.
    ///
    /// `smtps://` is TLS from the start, on port 465 unless given. `smtp://` is STARTTLS on port
    /// 587: required unless `?tls=opportunistic` or `?tls=none` (port 25) says otherwise. User and
    /// password are percent-encoded.
    ///
    /// Must be called inside the Tokio runtime, which keeps the connections.
    ///
    /// # Errors
    ///
    /// [`MailerFault`], with what to write instead.
    pub fn smtp(url: &SecretString, from: &str, public_url: &Url) -> Result<Self, MailerFault> {
        Self::new(Transport::Smtp(connect(url)?), from, public_url)
    }

    /// Writes mails, with their links, to the log: for development only.
    ///
    /// # Errors
    ///
    /// [`MailerFault::From`].
    pub fn log(from: &str, public_url: &Url) -> Result<Self, MailerFault> {
        Self::new(Transport::Log, from, public_url)
    }

    /// Sends nothing: mails wait in the outbox until `SMTP_URL` is set.
    ///
    /// # Errors
    ///
    /// [`MailerFault::From`].
    pub fn unconfigured(from: &str, public_url: &Url) -> Result<Self, MailerFault> {
        Self::new(Transport::Unconfigured, from, public_url)
    }

    fn new(transport: Transport, from: &str, public_url: &Url) -> Result<Self, MailerFault> {
        Ok(Self {
            transport,
            from: mailbox(from)?,
            service: public_url.as_str().trim_end_matches('/').to_owned(),
        })
    }

    /// For health: `smtp`, `log` or `not configured`.
    #[must_use]
    pub const fn status(&self) -> &'static str {
        match self.transport {
            Transport::Smtp(_) => "smtp",
            Transport::Log => "log",
            Transport::Unconfigured => "not configured",
        }
    }

    /// Whether mails can leave at all.
    pub(super) const fn is_configured(&self) -> bool {
        !matches!(self.transport, Transport::Unconfigured)
    }

    /// Sends one mail. `id` becomes its message id, the same at every attempt, so that receivers
    /// can tell when an interrupted one comes twice.
    pub(super) async fn send(
        &self,
        id: Uuid,
        mail: &Mail,
        now: DateTime<Utc>,
    ) -> Result<(), SendFault> {
        let rendered = mail.render(&self.service);
        match &self.transport {
            Transport::Smtp(smtp) => {
                let envelope = self.envelope(id, mail, rendered, now)?;
                match tokio::time::timeout(MAIL_TIMEOUT, smtp.send(envelope)).await {
                    Ok(Ok(_)) => Ok(()),
                    Ok(Err(error)) => Err(SendFault::from(error)),
                    Err(_) => Err(SendFault {
                        permanent: false,
                        reason: format!("no answer within {} s", MAIL_TIMEOUT.as_secs()),
                    }),
                }
            }
            Transport::Log => {
                let to = mail.to().map_err(|fault| SendFault::permanent(&fault))?;
                tracing::info!(
                    %to,
                    subject = rendered.subject,
                    "mail, not sent because SMTP_URL is not set:\n{}",
                    rendered.text
                );
                Ok(())
            }
            Transport::Unconfigured => Err(SendFault {
                permanent: false,
                reason: "SMTP_URL is not set".to_owned(),
            }),
        }
    }

    fn envelope(
        &self,
        id: Uuid,
        mail: &Mail,
        rendered: Rendered,
        now: DateTime<Utc>,
    ) -> Result<Envelope, SendFault> {
        let to = mail.to().map_err(|fault| SendFault::permanent(&fault))?;
        // RFC 3834: keeps out-of-office answers away.
        let automatic = HeaderValue::new(
            HeaderName::new_from_ascii_str("Auto-Submitted"),
            "auto-generated".to_owned(),
        );
        Envelope::builder()
            .from(self.from.clone())
            .to(Mailbox::new(None, to))
            .subject(rendered.subject)
            .date(SystemTime::from(now))
            .message_id(Some(format!("<{id}@{}>", self.from.email.domain())))
            .raw_header(automatic)
            .multipart(MultiPart::alternative_plain_html(
                rendered.text,
                rendered.html,
            ))
            .map_err(|error| SendFault::permanent(&error))
    }
}

impl fmt::Debug for Mailer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mailer")
            .field("transport", &self.status())
            .finish_non_exhaustive()
    }
}

impl SendFault {
    fn permanent(fault: &dyn fmt::Display) -> Self {
        Self {
            permanent: true,
            reason: fault.to_string(),
        }
    }
}

impl From<smtp::Error> for SendFault {
    fn from(error: smtp::Error) -> Self {
        let code = error.status().map(u16::from);
        let mut reason = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            let cause_text = cause.to_string();
            if !reason.contains(&cause_text) {
                reason = format!("{reason}: {cause_text}");
            }
            source = cause.source();
        }
        Self {
            permanent: error.is_permanent()
                && code.is_none_or(|code| !LOGIN_REFUSED.contains(&code)),
            reason,
        }
    }
}

fn connect(url: &SecretString) -> Result<AsyncSmtpTransport<Tokio1Executor>, MailerFault> {
    let mut url = Url::parse(url.expose_secret()).map_err(|_| MailerFault::Url)?;
    if !matches!(url.scheme(), "smtp" | "smtps") {
        return Err(MailerFault::Scheme);
    }
    if url.host_str().is_none_or(str::is_empty) {
        return Err(MailerFault::Url);
    }
    if !matches!(url.path(), "" | "/") || url.fragment().is_some() {
        return Err(MailerFault::Parameter);
    }
    let query = url.query().map(str::to_owned);
    match (url.scheme(), query.as_deref()) {
        ("smtps", None) | ("smtp", Some("tls=required" | "tls=opportunistic")) => {}
        ("smtps", Some(_)) => return Err(MailerFault::TlsTwice),
        ("smtp", None) => url.set_query(Some("tls=required")),
        // lettre's way to say it.
        ("smtp", Some("tls=none")) => url.set_query(None),
        _ => return Err(MailerFault::Parameter),
    }
    let builder =
        AsyncSmtpTransport::<Tokio1Executor>::from_url(url.as_str()).map_err(|error| {
            if error.is_tls() {
                MailerFault::Tls
            } else {
                MailerFault::Url
            }
        })?;
    Ok(builder.timeout(Some(COMMAND_TIMEOUT)).build())
}

/// An address alone, which may be at a bracketed IP address, or one with a name.
fn mailbox(from: &str) -> Result<Mailbox, MailerFault> {
    match from.parse::<Address>() {
        Ok(address) => Ok(Mailbox::new(None, address)),
        Err(_) => from.parse().map_err(|_| MailerFault::From),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(url: &str) -> Option<MailerFault> {
        connect(&SecretString::from(url)).err()
    }

    #[tokio::test]
    async fn the_ways_to_write_the_url_are_taken() {
        for url in [
            "smtps://user:pass@mail.example.org",
            "smtps://user:p%40ss@mail.example.org:465",
            "smtp://mail.example.org",
            "smtp://mail.example.org:2525/?tls=required",
            "smtp://mail.example.org:25?tls=opportunistic",
            "smtp://127.0.0.1:1025?tls=none",
        ] {
            assert_eq!(fault(url), None, "{url}");
        }
    }

    #[tokio::test]
    async fn what_is_misspelt_is_refused_and_not_shown() {
        for (url, expected) in [
            ("", MailerFault::Url),
            ("mail.example.org:25", MailerFault::Scheme),
            ("https://user:hunter2@mail.example.org", MailerFault::Scheme),
            ("smtp://", MailerFault::Url),
            (
                "smtp://mail.example.org?tls=requierd",
                MailerFault::Parameter,
            ),
            ("smtp://mail.example.org?ssl=true", MailerFault::Parameter),
            (
                "smtp://mail.example.org?tls=none&tls=required",
                MailerFault::Parameter,
            ),
            ("smtp://mail.example.org/relay", MailerFault::Parameter),
            ("smtps://mail.example.org?tls=none", MailerFault::TlsTwice),
        ] {
            assert_eq!(fault(url), Some(expected), "{url}");
            assert!(!expected.to_string().contains("hunter2"));
        }
    }

    #[tokio::test]
    async fn the_sender_must_be_a_mailbox() {
        let public_url = Url::parse("https://auth.example.org").unwrap();
        for from in ["no-reply@example.org", "Gatepost <no-reply@example.org>"] {
            assert!(Mailer::log(from, &public_url).is_ok(), "{from}");
        }
        for from in ["", "Gatepost", "a@example.org\r\nBcc: b@example.org"] {
            let mailer = Mailer::log(from, &public_url);
            assert_eq!(mailer.err(), Some(MailerFault::From), "{from}");
        }
    }

    #[tokio::test]
    async fn a_subject_cannot_bring_a_header() {
        let public_url = Url::parse("https://auth.example.org").unwrap();
        let mailer = Mailer::log("no-reply@example.org", &public_url).unwrap();
        let mail = Mail::new(
            "ada@example.org",
            None,
            super::super::Message::AccountRejected,
        )
        .unwrap();
        let rendered = Rendered {
            subject: "Hi\r\nBcc: eve@example.org\r\n\r\nbody".to_owned(),
            text: "text".to_owned(),
            html: "html".to_owned(),
        };
        let now = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        let envelope = mailer.envelope(Uuid::nil(), &mail, rendered, now).unwrap();
        let written = String::from_utf8(envelope.formatted()).unwrap();
        let headers = written.split("\r\n\r\n").next().unwrap();
        assert!(
            !headers.lines().any(|line| line.starts_with("Bcc")),
            "{headers}"
        );
        assert!(headers.contains("Auto-Submitted: auto-generated"));
        assert!(headers.contains("Date: Fri, 15 Jan 2027 08:00:00 +0000"));
    }
}
