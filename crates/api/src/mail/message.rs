//! What our mails say.

use std::{borrow::Cow, fmt};

use chrono::{DateTime, Utc};
use lettre::Address;
use serde::{Deserialize, Serialize};

/// A mail to be sent. Its debug form shows neither recipient nor links.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mail {
    to: String,
    /// The reader's language, as in their profile (BCP 47).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    locale: Option<String>,
    #[serde(flatten)]
    message: Message,
}

/// The text is no e-mail address that can be sent to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an e-mail address that mail can be sent to")]
pub struct AddressFault;

/// The kinds of mail, each with what its templates need.
///
/// Links must be built from `PUBLIC_URL`, never from a request. The names of kinds and fields are
/// stored: mails that wait outlive an update of the program.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "template", rename_all = "snake_case")]
pub enum Message {
    /// Someone registered with an address that has an account: only its owner learns that.
    RegistrationAttempt {
        /// Where to log in.
        link: String,
    },
    /// An administrator approved the account.
    AccountApproved {
        /// Where to log in.
        link: String,
    },
    /// An administrator rejected the registration.
    AccountRejected,
    /// Someone is invited into an organization.
    Invitation {
        /// Who invites, as they are shown to others.
        inviter: String,
        /// The organization's name.
        organization: String,
        /// The name of the role.
        role: String,
        /// Accepts the invitation; holds its token.
        link: String,
        /// Until when the link is good.
        expires_at: DateTime<Utc>,
    },
    /// Proves that the address is theirs.
    EmailVerification {
        /// Proves it; holds the token.
        link: String,
        /// Until when the link is good.
        expires_at: DateTime<Utc>,
    },
    /// Someone tried to move their account to this address, which has one.
    EmailTaken {
        /// Where to log in.
        link: String,
    },
    /// Proves the new address of an account.
    EmailChangeConfirm {
        /// Proves it; holds the token.
        link: String,
        /// Until when the link is good.
        expires_at: DateTime<Utc>,
    },
    /// Tells the old address that another is to take its place.
    EmailChangeNotice {
        /// The other address.
        new_email: String,
        /// Stops or undoes the change; holds the token.
        link: String,
        /// Until when the link is good.
        expires_at: DateTime<Utc>,
    },
    /// A link to set a new password.
    PasswordReset {
        /// Sets it; holds the token.
        link: String,
        /// Until when the link is good.
        expires_at: DateTime<Utc>,
    },
    /// The password was changed.
    PasswordChanged {
        /// "This was not me"; holds the token.
        lockdown: String,
    },
    /// The user said "this was not me": all is closed until a new password is set.
    LockedDown {
        /// Sets a new password; holds the token.
        link: String,
        /// Until when the link is good.
        expires_at: DateTime<Utc>,
    },
    /// A login from a device that was not seen before.
    NewDevice {
        /// What it is, in words.
        device: String,
        /// Its network address.
        address: String,
        /// When.
        at: DateTime<Utc>,
        /// "This was not me"; holds the token.
        lockdown: String,
    },
    /// A refresh token came twice, so its session was ended.
    SessionStolen {
        /// "This was not me"; holds the token.
        lockdown: String,
    },
    /// A second factor was added.
    FactorAdded {
        /// Its name.
        factor: String,
        /// "This was not me"; holds the token.
        lockdown: String,
    },
    /// A second factor was removed.
    FactorRemoved {
        /// Its name.
        factor: String,
        /// "This was not me"; holds the token.
        lockdown: String,
    },
    /// An administrator removed all second factors.
    FactorsReset {
        /// Where to log in.
        link: String,
    },
    /// A recovery code took the place of a second factor.
    RecoveryCodeUsed {
        /// How many are left.
        left: u32,
        /// "This was not me"; holds the token.
        lockdown: String,
    },
    /// A code that is a second factor.
    LoginCode {
        /// The code.
        code: String,
        /// How long it is good.
        minutes: u32,
    },
    /// An API key was made.
    ApiKeyCreated {
        /// Its name.
        name: String,
        /// "This was not me"; holds the token.
        lockdown: String,
    },
    /// An administrator made an account and asks its owner to set a password.
    AccountCreated {
        /// Sets it; holds the token.
        link: String,
        /// Until when the link is good.
        expires_at: DateTime<Utc>,
    },
    /// An administrator closed the account.
    AccountDisabled,
    /// An administrator opened the account again.
    AccountEnabled {
        /// Where to log in.
        link: String,
    },
    /// An administrator lifted the lock that wrong passwords had brought.
    AccountUnlocked {
        /// Where to log in.
        link: String,
    },
    /// The account is gone.
    AccountDeleted,
    /// The account will be closed because nobody uses it.
    DormantWarning {
        /// When it will be closed.
        closes_at: DateTime<Utc>,
        /// Where to log in.
        link: String,
    },
}

/// A mail's three parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rendered {
    pub(super) subject: String,
    pub(super) text: String,
    pub(super) html: String,
}

struct Template {
    /// Begins with `Subject: …` and an empty line.
    text: &'static str,
    html: &'static str,
}

macro_rules! template {
    ($name:literal) => {
        Template {
            text: include_str!(concat!("templates/", $name, ".txt")),
            html: include_str!(concat!("templates/", $name, ".html")),
        }
    };
}

impl Mail {
    /// A mail to one address, whose owner reads the language `locale` if it is known.
    ///
    /// # Errors
    ///
    /// [`AddressFault`] if `to` is no address, or one that could not stand in a header.
    pub fn new(to: &str, locale: Option<&str>, message: Message) -> Result<Self, AddressFault> {
        to.parse::<Address>().map_err(|_| AddressFault)?;
        Ok(Self {
            to: to.to_owned(),
            locale: locale.map(ToOwned::to_owned),
            message,
        })
    }

    pub(super) fn to(&self) -> Result<Address, AddressFault> {
        self.to.parse().map_err(|_| AddressFault)
    }

    pub(super) const fn message(&self) -> &Message {
        &self.message
    }
}

impl fmt::Debug for Mail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mail")
            .field("message", &self.message)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::RegistrationAttempt { .. } => "RegistrationAttempt",
            Self::AccountApproved { .. } => "AccountApproved",
            Self::AccountRejected => "AccountRejected",
            Self::Invitation { .. } => "Invitation",
            Self::EmailVerification { .. } => "EmailVerification",
            Self::EmailTaken { .. } => "EmailTaken",
            Self::EmailChangeConfirm { .. } => "EmailChangeConfirm",
            Self::EmailChangeNotice { .. } => "EmailChangeNotice",
            Self::PasswordReset { .. } => "PasswordReset",
            Self::PasswordChanged { .. } => "PasswordChanged",
            Self::LockedDown { .. } => "LockedDown",
            Self::NewDevice { .. } => "NewDevice",
            Self::SessionStolen { .. } => "SessionStolen",
            Self::FactorAdded { .. } => "FactorAdded",
            Self::FactorRemoved { .. } => "FactorRemoved",
            Self::FactorsReset { .. } => "FactorsReset",
            Self::RecoveryCodeUsed { .. } => "RecoveryCodeUsed",
            Self::LoginCode { .. } => "LoginCode",
            Self::ApiKeyCreated { .. } => "ApiKeyCreated",
            Self::AccountCreated { .. } => "AccountCreated",
            Self::AccountDisabled => "AccountDisabled",
            Self::AccountEnabled { .. } => "AccountEnabled",
            Self::AccountUnlocked { .. } => "AccountUnlocked",
            Self::AccountDeleted => "AccountDeleted",
            Self::DormantWarning { .. } => "DormantWarning",
        })
    }
}

impl Message {
    /// Fills the templates. `service` is how the service calls itself: its public URL.
    pub(super) fn render(&self, service: &str) -> Rendered {
        let template = self.template();
        let mut values = self.values();
        values.push(("service", Cow::Borrowed(service)));
        let text = fill(template.text, &values, plain);
        let (subject, text) = text.split_once("\n\n").unwrap_or(("", &text));
        Rendered {
            subject: subject.trim_start_matches("Subject: ").to_owned(),
            text: text.to_owned(),
            html: fill(template.html, &values, escaped),
        }
    }

    const fn template(&self) -> Template {
        match self {
            Self::RegistrationAttempt { .. } => template!("registration_attempt"),
            Self::AccountApproved { .. } => template!("account_approved"),
            Self::AccountRejected => template!("account_rejected"),
            Self::Invitation { .. } => template!("invitation"),
            Self::EmailVerification { .. } => template!("email_verification"),
            Self::EmailTaken { .. } => template!("email_taken"),
            Self::EmailChangeConfirm { .. } => template!("email_change_confirm"),
            Self::EmailChangeNotice { .. } => template!("email_change_notice"),
            Self::PasswordReset { .. } => template!("password_reset"),
            Self::PasswordChanged { .. } => template!("password_changed"),
            Self::LockedDown { .. } => template!("locked_down"),
            Self::NewDevice { .. } => template!("new_device"),
            Self::SessionStolen { .. } => template!("session_stolen"),
            Self::FactorAdded { .. } => template!("factor_added"),
            Self::FactorRemoved { .. } => template!("factor_removed"),
            Self::FactorsReset { .. } => template!("factors_reset"),
            Self::RecoveryCodeUsed { .. } => template!("recovery_code_used"),
            Self::LoginCode { .. } => template!("login_code"),
            Self::ApiKeyCreated { .. } => template!("api_key_created"),
            Self::AccountCreated { .. } => template!("account_created"),
            Self::AccountDisabled => template!("account_disabled"),
            Self::AccountEnabled { .. } => template!("account_enabled"),
            Self::AccountUnlocked { .. } => template!("account_unlocked"),
            Self::AccountDeleted => template!("account_deleted"),
            Self::DormantWarning { .. } => template!("dormant_warning"),
        }
    }

    #[expect(
        clippy::match_same_arms,
        reason = "one line for each kind, in their order"
    )]
    fn values(&self) -> Vec<(&'static str, Cow<'_, str>)> {
        match self {
            Self::RegistrationAttempt { link } | Self::AccountApproved { link } => {
                vec![("link", link.into())]
            }
            Self::AccountRejected => vec![],
            Self::Invitation {
                inviter,
                organization,
                role,
                link,
                expires_at,
            } => vec![
                ("inviter", inviter.into()),
                ("organization", organization.into()),
                ("role", role.into()),
                ("link", link.into()),
                ("expires_at", date(*expires_at)),
            ],
            Self::EmailVerification { link, expires_at } => {
                vec![("link", link.into()), ("expires_at", date(*expires_at))]
            }
            Self::EmailTaken { link } => vec![("link", link.into())],
            Self::EmailChangeConfirm { link, expires_at } => {
                vec![("link", link.into()), ("expires_at", date(*expires_at))]
            }
            Self::EmailChangeNotice {
                new_email,
                link,
                expires_at,
            } => vec![
                ("new_email", new_email.into()),
                ("link", link.into()),
                ("expires_at", date(*expires_at)),
            ],
            Self::PasswordReset { link, expires_at } => {
                vec![("link", link.into()), ("expires_at", date(*expires_at))]
            }
            Self::PasswordChanged { lockdown } => vec![("lockdown", lockdown.into())],
            Self::LockedDown { link, expires_at } => {
                vec![("link", link.into()), ("expires_at", date(*expires_at))]
            }
            Self::NewDevice {
                device,
                address,
                at,
                lockdown,
            } => vec![
                ("device", device.into()),
                ("address", address.into()),
                ("at", date(*at)),
                ("lockdown", lockdown.into()),
            ],
            Self::SessionStolen { lockdown } => vec![("lockdown", lockdown.into())],
            Self::FactorAdded { factor, lockdown } => {
                vec![("factor", factor.into()), ("lockdown", lockdown.into())]
            }
            Self::FactorRemoved { factor, lockdown } => {
                vec![("factor", factor.into()), ("lockdown", lockdown.into())]
            }
            Self::FactorsReset { link } => vec![("link", link.into())],
            Self::RecoveryCodeUsed { left, lockdown } => vec![
                ("left", left.to_string().into()),
                ("lockdown", lockdown.into()),
            ],
            Self::LoginCode { code, minutes } => vec![
                ("code", code.into()),
                ("minutes", minutes.to_string().into()),
            ],
            Self::ApiKeyCreated { name, lockdown } => {
                vec![("name", name.into()), ("lockdown", lockdown.into())]
            }
            Self::AccountCreated { link, expires_at } => {
                vec![("link", link.into()), ("expires_at", date(*expires_at))]
            }
            Self::AccountDisabled => vec![],
            Self::AccountEnabled { link } => vec![("link", link.into())],
            Self::AccountUnlocked { link } => vec![("link", link.into())],
            Self::AccountDeleted => vec![],
            Self::DormantWarning { closes_at, link } => {
                vec![("closes_at", date(*closes_at)), ("link", link.into())]
            }
        }
    }
}

fn date<'a>(time: DateTime<Utc>) -> Cow<'a, str> {
    time.format("%-d %B %Y, %H:%M UTC").to_string().into()
}

/// Replaces each `{{name}}` once; what a value holds is not looked at again.
fn fill(template: &str, values: &[(&str, Cow<'_, str>)], write: fn(&str, &mut String)) -> String {
    let mut filled = String::with_capacity(template.len() * 2);
    let mut rest = template;
    while let Some((before, name, after)) = placeholder(rest) {
        filled.push_str(before);
        match values.iter().find(|(known, _)| *known == name) {
            Some((_, value)) => write(value, &mut filled),
            // Left standing, where the test of all templates finds it.
            None => filled.push_str(&rest[before.len()..rest.len() - after.len()]),
        }
        rest = after;
    }
    filled.push_str(rest);
    filled
}

fn placeholder(text: &str) -> Option<(&str, &str, &str)> {
    let (before, rest) = text.split_once("{{")?;
    let (name, after) = rest.split_once("}}")?;
    Some((before, name, after))
}

/// On one line: a name with a line break could write a paragraph, or end the subject.
fn plain(value: &str, out: &mut String) {
    out.extend(value.chars().map(|char| {
        let breaks = char.is_control() || matches!(char, '\u{2028}' | '\u{2029}');
        if breaks { ' ' } else { char }
    }));
}

fn escaped(value: &str, out: &mut String) {
    let mut line = String::with_capacity(value.len());
    plain(value, &mut line);
    for char in line.chars() {
        match char {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            other => out.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn invitation(organization: &str) -> Message {
        Message::Invitation {
            inviter: "Ada".to_owned(),
            organization: organization.to_owned(),
            role: "Viewer".to_owned(),
            link: "https://auth.example.org/invitations/accept?token=gpi_x&next=1".to_owned(),
            expires_at: DateTime::from_timestamp(1_800_000_000, 0).unwrap(),
        }
    }

    fn all() -> Vec<Message> {
        let link = "https://auth.example.org/login".to_owned();
        let when = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        vec![
            Message::RegistrationAttempt { link: link.clone() },
            Message::AccountApproved { link },
            Message::EmailVerification {
                link: "https://auth.example.org/link".to_owned(),
                expires_at: when,
            },
            Message::EmailTaken {
                link: "https://auth.example.org/link".to_owned(),
            },
            Message::EmailChangeConfirm {
                link: "https://auth.example.org/link".to_owned(),
                expires_at: when,
            },
            Message::EmailChangeNotice {
                new_email: "https://auth.example.org/new_email".to_owned(),
                link: "https://auth.example.org/link".to_owned(),
                expires_at: when,
            },
            Message::PasswordReset {
                link: "https://auth.example.org/link".to_owned(),
                expires_at: when,
            },
            Message::PasswordChanged {
                lockdown: "https://auth.example.org/lockdown".to_owned(),
            },
            Message::LockedDown {
                link: "https://auth.example.org/link".to_owned(),
                expires_at: when,
            },
            Message::NewDevice {
                device: "https://auth.example.org/device".to_owned(),
                address: "https://auth.example.org/address".to_owned(),
                at: when,
                lockdown: "https://auth.example.org/lockdown".to_owned(),
            },
            Message::SessionStolen {
                lockdown: "https://auth.example.org/lockdown".to_owned(),
            },
            Message::FactorAdded {
                factor: "https://auth.example.org/factor".to_owned(),
                lockdown: "https://auth.example.org/lockdown".to_owned(),
            },
            Message::FactorRemoved {
                factor: "https://auth.example.org/factor".to_owned(),
                lockdown: "https://auth.example.org/lockdown".to_owned(),
            },
            Message::FactorsReset {
                link: "https://auth.example.org/link".to_owned(),
            },
            Message::RecoveryCodeUsed {
                left: 9,
                lockdown: "https://auth.example.org/lockdown".to_owned(),
            },
            Message::LoginCode {
                code: "https://auth.example.org/code".to_owned(),
                minutes: 9,
            },
            Message::ApiKeyCreated {
                name: "https://auth.example.org/name".to_owned(),
                lockdown: "https://auth.example.org/lockdown".to_owned(),
            },
            Message::AccountCreated {
                link: "https://auth.example.org/link".to_owned(),
                expires_at: when,
            },
            Message::AccountDisabled,
            Message::AccountEnabled {
                link: "https://auth.example.org/link".to_owned(),
            },
            Message::AccountUnlocked {
                link: "https://auth.example.org/link".to_owned(),
            },
            Message::AccountDeleted,
            Message::DormantWarning {
                closes_at: when,
                link: "https://auth.example.org/link".to_owned(),
            },
            Message::AccountRejected,
            invitation("Acme"),
        ]
    }

    #[test]
    fn every_template_is_filled_to_the_last_placeholder() {
        for message in all() {
            let rendered = message.render("https://auth.example.org");
            for part in [&rendered.subject, &rendered.text, &rendered.html] {
                assert!(!part.contains("{{") && !part.contains("}}"), "{part}");
                assert!(part.len() > 10, "{part}");
            }
            assert!(!rendered.subject.contains(['\n', ':']));
            for (name, value) in message.values() {
                assert!(rendered.text.contains(&*value), "{name}");
            }
            assert!(rendered.text.contains("https://auth.example.org"));
        }
    }

    #[test]
    fn markup_in_a_name_stays_text() {
        let rendered = invitation("<b>\"R&D\"</b> '{{link}}'").render("https://auth.example.org");
        assert!(
            rendered
                .html
                .contains("&lt;b&gt;&quot;R&amp;D&quot;&lt;/b&gt; &#39;{{link}}&#39;")
        );
        assert!(rendered.html.contains("token=gpi_x&amp;next=1\""));
        assert!(rendered.text.contains("<b>\"R&D\"</b> '{{link}}'"));
        assert!(rendered.text.contains("token=gpi_x&next=1\n"));
    }

    #[test]
    fn a_line_break_in_a_name_ends_no_line() {
        let rendered = invitation("Acme\r\nBcc: x@example.org\r\n\r\nPay here").render("s");
        assert_eq!(
            rendered.subject,
            "Invitation to Acme  Bcc: x@example.org    Pay here"
        );
        assert!(!rendered.text.contains("\nBcc"));
    }

    #[test]
    fn addresses_that_could_break_a_header_are_refused() {
        for bad in [
            "",
            "ada",
            "ada@",
            "@example.org",
            "ada@example.org\r\nBcc: x@example.org",
            "ada@example.org, bob@example.org",
            "Ada <ada@example.org>",
            "ada lovelace@example.org",
        ] {
            let mail = Mail::new(bad, None, Message::AccountRejected);
            assert_eq!(mail, Err(AddressFault), "{bad:?}");
        }
        assert!(Mail::new("ada+x@example.org", None, Message::AccountRejected).is_ok());
    }

    #[test]
    fn a_stored_mail_is_read_back_and_its_form_is_kept() {
        for message in all() {
            let mail = Mail::new("ada@example.org", None, message).unwrap();
            let json = serde_json::to_string(&mail).unwrap();
            assert_eq!(serde_json::from_str::<Mail>(&json).unwrap(), mail);
        }
        let stored = r#"{"to":"a@b.org","template":"account_approved","link":"https://x"}"#;
        let mail: Mail = serde_json::from_str(stored).unwrap();
        let link = "https://x".to_owned();
        assert_eq!(*mail.message(), Message::AccountApproved { link });
    }

    #[test]
    fn debug_shows_neither_recipient_nor_link() {
        let mail = Mail::new("ada@example.org", None, invitation("Acme")).unwrap();
        let debug = format!("{mail:?}");
        assert!(
            !debug.contains("ada@") && !debug.contains("gpi_"),
            "{debug}"
        );
    }

    proptest! {
        #[test]
        fn no_name_writes_a_tag_or_a_line(name in any::<String>()) {
            let plain = invitation("").render("s");
            let rendered = invitation(&name).render("s");
            let count = |text: &str, wanted: char| text.chars().filter(|c| *c == wanted).count();
            for wanted in ['<', '>', '"', '\n'] {
                prop_assert_eq!(count(&rendered.html, wanted), count(&plain.html, wanted));
            }
            prop_assert_eq!(count(&rendered.text, '\n'), count(&plain.text, '\n'));
            prop_assert!(!rendered.subject.contains(char::is_control));
        }
    }
}
