//! Which template each kind of mail has, and what fills it.

use std::borrow::Cow;

use chrono::{DateTime, Utc};

use super::{
    message::Message,
    render::{Rendered, Values, date, render},
};
use crate::http::language::Language;

/// The template of this name in each language, in the order of [`Language::ALL`].
macro_rules! template {
    ($name:literal) => {
        [
            include_str!(concat!("templates/en/", $name, ".txt")),
            include_str!(concat!("templates/de/", $name, ".txt")),
            include_str!(concat!("templates/fr/", $name, ".txt")),
        ]
    };
}

impl Message {
    /// Fills the template of a language. `service` is how the service calls itself.
    pub(super) fn render(&self, language: Language, service: &str) -> Rendered {
        let mut values = self.values(language);
        values.push(("service", Cow::Borrowed(service)));
        render(self.template()[language as usize], language, &values)
    }

    const fn template(&self) -> [&'static str; 3] {
        match self {
            Self::RegistrationAttempt { .. } => template!("registration_attempt"),
            Self::AccountApproved { .. } => template!("account_approved"),
            Self::AccountRejected => template!("account_rejected"),
            Self::Invitation { .. } => template!("invitation"),
            Self::EmailVerification { .. } => template!("email_verification"),
            Self::EmailTaken { .. } => template!("email_taken"),
            Self::EmailChangeConfirm { .. } => template!("email_change_confirm"),
            Self::EmailChangeNotice { .. } => template!("email_change_notice"),
            Self::EmailChangeDone { .. } => template!("email_change_done"),
            Self::PasswordReset { .. } => template!("password_reset"),
            Self::PasswordChanged { .. } => template!("password_changed"),
            Self::LockedDown { .. } => template!("locked_down"),
            Self::NewDevice { .. } => template!("new_device"),
            Self::SessionStolen { .. } => template!("session_stolen"),
            Self::KeyCopied { .. } => template!("key_copied"),
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
            Self::AccountRejectedFor { .. } => template!("account_rejected_for"),
            Self::RoleRequestApproved { .. } => template!("role_request_approved"),
            Self::RoleRequestRefused { .. } => template!("role_request_refused"),
            Self::EmailChanged { .. } => template!("email_changed"),
        }
    }

    #[expect(
        clippy::match_same_arms,
        clippy::too_many_lines,
        reason = "one arm for each kind, in their order"
    )]
    fn values(&self, language: Language) -> Values<'_> {
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
                ("expires_at", date(language, *expires_at)),
            ],
            Self::EmailVerification { link, expires_at } => until(language, link, *expires_at),
            Self::EmailTaken { link } => vec![("link", link.into())],
            Self::EmailChangeConfirm { link, expires_at } => until(language, link, *expires_at),
            Self::EmailChangeNotice {
                new_email,
                link,
                expires_at,
            } => vec![
                ("new_email", new_email.into()),
                ("link", link.into()),
                ("expires_at", date(language, *expires_at)),
            ],
            Self::EmailChangeDone {
                new_email,
                link,
                expires_at,
            } => vec![
                ("new_email", new_email.into()),
                ("link", link.into()),
                ("expires_at", date(language, *expires_at)),
            ],
            Self::PasswordReset { link, expires_at } => until(language, link, *expires_at),
            Self::PasswordChanged { lockdown } => vec![("lockdown", lockdown.into())],
            Self::LockedDown { link, expires_at } => until(language, link, *expires_at),
            Self::NewDevice {
                device,
                address,
                at,
                lockdown,
            } => vec![
                ("device", device.into()),
                ("address", address.into()),
                ("at", date(language, *at)),
                ("lockdown", lockdown.into()),
            ],
            Self::SessionStolen { lockdown } => vec![("lockdown", lockdown.into())],
            Self::KeyCopied { key, lockdown } => {
                vec![("key", key.into()), ("lockdown", lockdown.into())]
            }
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
            Self::AccountCreated { link, expires_at } => until(language, link, *expires_at),
            Self::AccountDisabled => vec![],
            Self::AccountEnabled { link } => vec![("link", link.into())],
            Self::AccountUnlocked { link } => vec![("link", link.into())],
            Self::AccountDeleted => vec![],
            Self::DormantWarning { closes_at, link } => {
                vec![
                    ("closes_at", date(language, *closes_at)),
                    ("link", link.into()),
                ]
            }
            Self::AccountRejectedFor { reason } => vec![("reason", reason.into())],
            Self::RoleRequestApproved {
                role,
                place,
                expires_at,
            } => vec![
                ("role", role.into()),
                ("place", place.into()),
                ("expires_at", date(language, *expires_at)),
            ],
            Self::RoleRequestRefused {
                role,
                place,
                reason,
            } => vec![
                ("role", role.into()),
                ("place", place.into()),
                ("reason", reason.into()),
            ],
            Self::EmailChanged { new_email } => vec![("new_email", new_email.into())],
        }
    }
}

fn until(language: Language, link: &str, expires_at: DateTime<Utc>) -> Values<'_> {
    vec![
        ("link", link.into()),
        ("expires_at", date(language, expires_at)),
    ]
}

#[cfg(test)]
pub(super) mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::http::html::escaped;

    pub(in crate::mail) fn invitation(organization: &str) -> Message {
        Message::Invitation {
            inviter: "Ada".to_owned(),
            organization: organization.to_owned(),
            role: "Viewer".to_owned(),
            link: "https://auth.example.org/invitations/accept?token=gpi_x&next=1".to_owned(),
            expires_at: DateTime::from_timestamp(1_800_000_000, 0).unwrap(),
        }
    }

    /// One of each kind.
    #[expect(clippy::too_many_lines, reason = "one item for each kind")]
    pub(in crate::mail) fn all() -> Vec<Message> {
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
            Message::EmailChangeDone {
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
            Message::KeyCopied {
                key: "https://auth.example.org/key".to_owned(),
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
            Message::AccountRejectedFor {
                reason: "https://auth.example.org/reason".to_owned(),
            },
            Message::RoleRequestApproved {
                role: "Editor".to_owned(),
                place: "Research".to_owned(),
                expires_at: when,
            },
            Message::RoleRequestRefused {
                role: "Editor".to_owned(),
                place: "Research".to_owned(),
                reason: "not today".to_owned(),
            },
            Message::EmailChanged {
                new_email: "https://auth.example.org/new_email".to_owned(),
            },
            Message::AccountRejected,
            invitation("Acme"),
        ]
    }

    #[test]
    fn every_mail_is_whole_in_every_language() {
        for message in all() {
            let mut subjects = BTreeSet::new();
            for language in Language::ALL {
                let rendered = message.render(language, "https://auth.example.org");
                for part in [&rendered.subject, &rendered.text, &rendered.html] {
                    assert!(!part.contains("{{") && !part.contains("}}"), "{part}");
                    assert!(part.len() > 7, "{part}");
                }
                assert!(!rendered.subject.contains(['\n', ':']), "{rendered:?}");
                let lang = format!("<html lang=\"{}\">", language.tag());
                assert!(rendered.html.contains(&lang));
                for (name, value) in message.values(language) {
                    assert!(rendered.text.contains(&*value), "{name}: {rendered:?}");
                    assert!(rendered.html.contains(&escaped(&value)), "{name}");
                }
                assert!(rendered.text.contains("https://auth.example.org"));
                subjects.insert(rendered.subject);
            }
            assert_eq!(subjects.len(), Language::ALL.len(), "{subjects:?}");
        }
    }

    #[test]
    fn every_template_belongs_to_a_kind_that_is_tried_here() {
        let tried: BTreeSet<&str> = all().iter().map(|message| message.template()[0]).collect();
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/mail/templates");
        for language in Language::ALL {
            let files = std::fs::read_dir(format!("{folder}/{}", language.tag())).unwrap();
            assert_eq!(files.count(), tried.len(), "{language:?}");
        }
    }

    #[test]
    fn markup_in_a_name_stays_text() {
        let rendered = invitation("<b>\"R&D\"</b> '{{link}}'")
            .render(Language::English, "https://auth.example.org");
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
        let rendered =
            invitation("Acme\r\nBcc: x@example.org\r\n\r\nPay here").render(Language::English, "s");
        assert_eq!(
            rendered.subject,
            "Invitation to Acme  Bcc: x@example.org    Pay here"
        );
        assert!(!rendered.text.contains("\nBcc"));
    }

    proptest! {
        #[test]
        fn no_name_writes_a_tag_or_a_line(name in any::<String>()) {
            let plain = invitation("").render(Language::English, "s");
            let rendered = invitation(&name).render(Language::English, "s");
            let count = |text: &str, wanted: char| text.chars().filter(|c| *c == wanted).count();
            for wanted in ['<', '>', '"', '\n'] {
                prop_assert_eq!(count(&rendered.html, wanted), count(&plain.html, wanted));
            }
            prop_assert_eq!(count(&rendered.text, '\n'), count(&plain.text, '\n'));
            prop_assert!(!rendered.subject.contains(char::is_control));
        }
    }
}
