//! What our mails say.

use std::fmt;

use chrono::{DateTime, Utc};
use lettre::Address;
use serde::{Deserialize, Serialize};

use super::render::Rendered;
use crate::http::language::Language;

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
    /// Tells the old address that another has taken its place.
    EmailChangeDone {
        /// The other address.
        new_email: String,
        /// Undoes the change; holds the token.
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
    /// The counter of a passkey or security key did not grow: there may be a copy.
    KeyCopied {
        /// Its name.
        key: String,
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
    /// An administrator rejected the registration, and says why.
    AccountRejectedFor {
        /// The administrator's words.
        reason: String,
    },
    /// Somebody gave the role that the reader had asked for.
    RoleRequestApproved {
        /// The name of the role.
        role: String,
        /// Where: the name of the resource.
        place: String,
        /// Until when it holds.
        expires_at: DateTime<Utc>,
    },
    /// Somebody refused the role that the reader had asked for.
    RoleRequestRefused {
        /// The name of the role.
        role: String,
        /// Where: the name of the resource.
        place: String,
        /// Why; may be empty.
        reason: String,
    },
    /// An administrator gave the account another address; goes to the old one.
    EmailChanged {
        /// The other address.
        new_email: String,
    },
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

    /// In its reader's language. `service` is how the service calls itself: its public URL.
    pub(super) fn render(&self, service: &str) -> Rendered {
        let language = Language::of_locale(self.locale.as_deref());
        self.message.render(language, service)
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
            Self::EmailChangeDone { .. } => "EmailChangeDone",
            Self::PasswordReset { .. } => "PasswordReset",
            Self::PasswordChanged { .. } => "PasswordChanged",
            Self::LockedDown { .. } => "LockedDown",
            Self::NewDevice { .. } => "NewDevice",
            Self::SessionStolen { .. } => "SessionStolen",
            Self::KeyCopied { .. } => "KeyCopied",
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
            Self::AccountRejectedFor { .. } => "AccountRejectedFor",
            Self::RoleRequestApproved { .. } => "RoleRequestApproved",
            Self::RoleRequestRefused { .. } => "RoleRequestRefused",
            Self::EmailChanged { .. } => "EmailChanged",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{super::templates, *};

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
        for message in templates::tests::all() {
            let mail = Mail::new("ada@example.org", None, message).unwrap();
            let json = serde_json::to_string(&mail).unwrap();
            assert_eq!(serde_json::from_str::<Mail>(&json).unwrap(), mail);
        }
        let stored = r#"{"to":"a@b.org","template":"account_approved","link":"https://x"}"#;
        let mail: Mail = serde_json::from_str(stored).unwrap();
        let link = "https://x".to_owned();
        assert_eq!(mail.message, Message::AccountApproved { link });
        assert!(mail.render("s").subject.starts_with("Your account"));
    }

    #[test]
    fn a_mail_is_written_in_the_language_of_its_reader() {
        for (locale, subject) in [
            (None, "Your account was deleted"),
            (Some("de-AT"), "Ihr Konto wurde gelöscht"),
            (Some("fr"), "Votre compte a été supprimé"),
            (Some("nl"), "Your account was deleted"),
        ] {
            let mail = Mail::new("ada@example.org", locale, Message::AccountDeleted).unwrap();
            let stored = serde_json::to_vec(&mail).unwrap();
            let mail: Mail = serde_json::from_slice(&stored).unwrap();
            assert_eq!(mail.render("s").subject, subject, "{locale:?}");
        }
    }

    #[test]
    fn debug_shows_neither_recipient_nor_link() {
        let mail = Mail::new(
            "ada@example.org",
            None,
            templates::tests::invitation("Acme"),
        )
        .unwrap();
        let debug = format!("{mail:?}");
        assert!(
            !debug.contains("ada@") && !debug.contains("gpi_"),
            "{debug}"
        );
    }
}
