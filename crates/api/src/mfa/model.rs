//! What second factors look like from outside.

use std::str::FromStr;

use chrono::{DateTime, Utc};
use sea_orm::DbErr;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;
use webauthn_rs::prelude::RegisterPublicKeyCredential;

use crate::{
    access::permit::{Action, Target},
    crypto::password::HashingError,
    http::text::{DisplayName, Name},
    problem::{Code, Problem},
    sessions::model::SessionError,
    users::{gate::Refusal, model::UserError},
};

use super::webauthn::{
    Assertion, RequestOptions, WebauthnFault,
    model::{CreationOptions, CredentialKind},
};

/// Reading the own factors.
pub struct ReadOwn;
impl Action for ReadOwn {
    const NAME: &'static str = "self:read";
    const TARGET: Target = Target::Own;
}

/// Changing the own factors.
pub struct ChangeOwn;
impl Action for ChangeOwn {
    const NAME: &'static str = "self:update";
    const TARGET: Target = Target::Own;
    const STEP_UP: bool = true;
}

/// Proving again, in a session, who one is.
pub struct StepUp;
impl Action for StepUp {
    const NAME: &'static str = "self:sessions";
    const TARGET: Target = Target::Own;
}

/// What an identity is proven with, from the weakest to the strongest.
///
/// A recovery code stands in for whatever was lost, so nothing is above it: who has only that left
/// could otherwise never replace the lost factor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Factor {
    /// What one knows.
    Password,
    /// A code that was mailed.
    Email,
    /// A code of an authenticator app (RFC 6238).
    Totp,
    /// A passkey or security key.
    Webauthn,
    /// One of the ten codes on paper.
    RecoveryCode,
}

impl Factor {
    /// Its name in the database and in the interface.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Password => "password",
            Self::Email => "email",
            Self::Totp => "totp",
            Self::Webauthn => "webauthn",
            Self::RecoveryCode => "recovery_code",
        }
    }

    /// As people are told of it in mails.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Password => "password",
            Self::Email => "codes by e-mail",
            Self::Totp => "authenticator app",
            Self::Webauthn => "passkey",
            Self::RecoveryCode => "recovery codes",
        }
    }

    /// Authentication method references (RFC 8176) that a proof with it adds to a password.
    ///
    /// A mailed code has come by another channel (`mca`). There is no value for recovery codes,
    /// which are one-time passwords as well.
    pub const fn amr(self) -> &'static [&'static str] {
        match self {
            Self::Password => &["pwd"],
            Self::Email => &["otp", "mca", "mfa"],
            Self::Totp | Self::RecoveryCode => &["otp", "mfa"],
            Self::Webauthn => &["hwk", "mfa"],
        }
    }
}

impl FromStr for Factor {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        [
            Self::Password,
            Self::Email,
            Self::Totp,
            Self::Webauthn,
            Self::RecoveryCode,
        ]
        .into_iter()
        .find(|factor| factor.as_str() == text)
        .ok_or(())
    }
}

/// A second factor that a request names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SecondFactor {
    /// A code of an authenticator app.
    Totp,
    /// A code that was mailed after a challenge.
    Email,
    /// A passkey or security key, after a challenge.
    Webauthn,
    /// One of the ten codes on paper.
    RecoveryCode,
}

impl From<SecondFactor> for Factor {
    fn from(factor: SecondFactor) -> Self {
        match factor {
            SecondFactor::Totp => Self::Totp,
            SecondFactor::Email => Self::Email,
            SecondFactor::Webauthn => Self::Webauthn,
            SecondFactor::RecoveryCode => Self::RecoveryCode,
        }
    }
}

/// A factor that has to be asked before it can answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Challenged {
    /// Gets a code by mail.
    Email,
    /// Signs a challenge.
    Webauthn,
}

/// A factor that can be enrolled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Enrollable {
    /// A passkey or security key.
    Webauthn,
    /// An authenticator app.
    Totp,
    /// Codes by mail.
    Email,
}

impl Enrollable {
    /// All of them, the strongest first.
    pub const ALL: [Self; 3] = [Self::Webauthn, Self::Totp, Self::Email];
}

impl From<Enrollable> for Factor {
    fn from(factor: Enrollable) -> Self {
        match factor {
            Enrollable::Webauthn => Self::Webauthn,
            Enrollable::Totp => Self::Totp,
            Enrollable::Email => Self::Email,
        }
    }
}

/// Body of `POST /api/auth/mfa/challenge`.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Challenge {
    /// From the answer to the login.
    #[schema(max_length = 200)]
    pub mfa_token: String,
    /// What is to be asked.
    pub factor: Challenged,
}

/// Body of `POST /api/auth/mfa/verify`.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Verify {
    /// From the answer to the login.
    #[schema(max_length = 200)]
    pub mfa_token: String,
    /// What proves it.
    pub factor: SecondFactor,
    /// The code; spaces and dashes in it do not count.
    #[schema(value_type = Option<String>, max_length = 64)]
    pub code: Option<SecretString>,
    /// With `webauthn`: what `navigator.credentials.get()` brought, as its `toJSON()` writes it.
    #[schema(value_type = Option<Object>)]
    pub credential: Option<Assertion>,
    /// Ask for no second factor on this device for `TRUSTED_DEVICE_TTL`.
    #[serde(default)]
    pub trust_device: bool,
    /// What its owner calls the device.
    pub device_name: Option<Name>,
}

/// Body of `POST /api/auth/mfa/enrol`.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Enrol {
    /// From the answer to the login.
    #[schema(max_length = 200)]
    pub mfa_token: String,
    /// What is to be enrolled.
    pub factor: Enrollable,
    /// With `webauthn`: `passkey`, which it is if left out, or `security_key`.
    #[schema(inline)]
    pub kind: Option<CredentialKind>,
    /// What its owner calls it.
    pub label: Option<DisplayName>,
}

/// Body of `POST /api/auth/mfa/enrol/confirm`.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ConfirmEnrol {
    /// From the answer to the login.
    #[schema(max_length = 200)]
    pub mfa_token: String,
    /// What was begun.
    pub factor: Enrollable,
    /// A code of it.
    #[schema(value_type = Option<String>, max_length = 64)]
    pub code: Option<SecretString>,
    /// With `webauthn`: what `navigator.credentials.create()` brought, as its `toJSON()` writes it.
    #[schema(value_type = Option<Object>)]
    pub credential: Option<RegisterPublicKeyCredential>,
    /// Ask for no second factor on this device for `TRUSTED_DEVICE_TTL`.
    #[serde(default)]
    pub trust_device: bool,
    /// What its owner calls the device.
    pub device_name: Option<Name>,
}

/// Body of `POST /api/users/me/mfa/totp` and `…/email`; may be empty.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BeginOwn {
    /// What its owner calls it.
    pub label: Option<DisplayName>,
}

/// Body of `POST /api/users/me/mfa/totp/confirm` and `…/email/confirm`.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ConfirmOwn {
    /// A code of the factor.
    #[schema(value_type = String, max_length = 64)]
    pub code: SecretString,
}

/// Body of `POST /api/auth/step-up/challenge`.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChallengeOwn {
    /// What is to be asked.
    pub factor: Challenged,
}

/// Body of `POST /api/auth/step-up`: a password or a factor.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ProveAgain {
    /// The password; enough for those who have no second factor.
    #[schema(value_type = Option<String>, format = "password", max_length = 1024)]
    pub password: Option<SecretString>,
    /// The second factor.
    pub factor: Option<SecondFactor>,
    /// Its code.
    #[schema(value_type = Option<String>, max_length = 64)]
    pub code: Option<SecretString>,
    /// With `webauthn`: what `navigator.credentials.get()` brought, as its `toJSON()` writes it.
    #[schema(value_type = Option<Object>)]
    pub credential: Option<Assertion>,
}

/// A login that waits for a second factor, or for one to be enrolled.
#[derive(Serialize, ToSchema)]
pub struct Pending {
    /// `mfa_required` or `mfa_enrolment_required`.
    #[schema(example = "mfa_required")]
    pub status: &'static str,
    /// For the calls below `/api/auth/mfa/`, and for nothing else.
    pub mfa_token: String,
    /// What may be proven or enrolled, the strongest first.
    #[schema(value_type = Vec<String>)]
    pub factors: Vec<Factor>,
    /// Seconds until the login has to begin anew.
    pub expires_in: i64,
}

/// A code is on its way.
#[derive(Serialize, ToSchema)]
pub struct CodeSent {
    /// Always `code_sent`.
    #[schema(example = "code_sent")]
    pub status: &'static str,
    /// Seconds that the code is good.
    pub expires_in: i64,
}

/// What a challenge brings.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
pub enum Asked {
    /// A code is on its way.
    Code(CodeSent),
    /// A passkey or security key is to sign something.
    Options(Box<RequestOptions>),
}

/// What an authenticator app needs.
#[derive(Serialize, ToSchema)]
pub struct TotpSecret {
    /// Always `totp_begun`.
    #[schema(example = "totp_begun")]
    pub status: &'static str,
    /// For typing: base32 (RFC 4648) without padding; SHA-1, six digits, thirty seconds.
    pub secret: String,
    /// The same as a link.
    pub otpauth_uri: String,
    /// The link as a QR code, in SVG.
    pub qr_svg: String,
}

/// What the beginning of an enrolment brings.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
pub enum Begun {
    /// A secret to keep.
    Totp(TotpSecret),
    /// A code to answer with.
    Email(CodeSent),
    /// Something to be signed by a new passkey or security key.
    Webauthn(Box<CreationOptions>),
}

/// A factor is there from now on.
#[derive(Serialize, ToSchema)]
pub struct Confirmed {
    /// The factor.
    pub factor: FactorView,
    /// With the first factor, and only now: ten codes to keep on paper.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recovery_codes: Option<Vec<String>>,
}

/// Fresh recovery codes.
#[derive(Serialize, ToSchema)]
pub struct RecoveryCodes {
    /// To be kept on paper; the ones before are worth nothing.
    pub recovery_codes: Vec<String>,
}

/// A factor as its owner sees it.
#[derive(Serialize, ToSchema)]
pub struct FactorView {
    /// Its id.
    pub id: Uuid,
    /// `totp`, `email` or `webauthn`.
    pub kind: String,
    /// What its owner calls it.
    pub label: Option<String>,
    /// When it was enrolled.
    pub created_at: DateTime<Utc>,
    /// When it last proved something.
    pub last_used_at: Option<DateTime<Utc>>,
    /// Whether a hundred wrong codes in a row have closed it.
    pub locked: bool,
}

impl From<entity::mfa_factor::Model> for FactorView {
    fn from(row: entity::mfa_factor::Model) -> Self {
        Self {
            id: row.id,
            kind: row.kind,
            label: row.label,
            created_at: row.created_at,
            last_used_at: row.last_used_at,
            locked: row.locked_at.is_some(),
        }
    }
}

/// Answer of `GET /api/users/me/mfa`.
#[derive(Serialize, ToSchema)]
pub struct OwnFactors {
    /// The factors that are enrolled.
    pub factors: Vec<FactorView>,
    /// Recovery codes that are left.
    pub recovery_codes_left: u64,
    /// Whether `MFA_REQUIRED` asks this user for a factor.
    pub required: bool,
    /// What a step-up takes from this user.
    #[schema(value_type = Vec<String>)]
    pub step_up: Vec<Factor>,
}

/// The identity was proven again.
#[derive(Serialize, ToSchema)]
pub struct SteppedUp {
    /// Always `stepped_up`.
    #[schema(example = "stepped_up")]
    pub status: &'static str,
    /// When it was proven.
    pub auth_time: DateTime<Utc>,
    /// How (RFC 8176), in this session so far.
    pub amr: Vec<String>,
    /// Seconds that the proof is fresh.
    pub expires_in: i64,
}

/// Why a second factor was not proven, enrolled or removed.
#[derive(Debug, thiserror::Error)]
pub enum MfaError {
    /// The MFA token is unknown, used, too old, or had too many wrong codes.
    #[error("the MFA token is not valid")]
    InvalidToken,
    /// The code is wrong, used, too old, or was never sent.
    #[error("the code is wrong")]
    InvalidCode,
    /// The password is wrong.
    #[error("the password is wrong")]
    WrongPassword,
    /// The user has no such factor.
    #[error("the factor is not enrolled")]
    NotEnrolled,
    /// A field that the factor needs is not there, or one too many is.
    #[error("{field} {message}")]
    Field {
        /// Which.
        field: &'static str,
        /// What about it.
        message: &'static str,
    },
    /// The ceremony with a passkey or security key did not come to its end.
    #[error(transparent)]
    Webauthn(WebauthnFault),
    /// A hundred wrong codes in a row.
    #[error("the factor is locked")]
    Locked,
    /// Too many attempts, or too many codes asked for.
    #[error("too many attempts")]
    Throttled {
        /// Seconds to wait.
        seconds: u64,
    },
    /// There is something stronger to prove it with.
    #[error("a stronger factor is enrolled")]
    TooWeak {
        /// The weakest that is enough.
        needed: Factor,
    },
    /// The caller has no session that could be stepped up.
    #[error("there is no session")]
    NoSession,
    /// The user may not come in.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// No such factor of this user.
    #[error("factor not found")]
    NotFound,
    /// There is one of this kind already.
    #[error("the factor is enrolled already")]
    AlreadyEnrolled,
    /// `MFA_REQUIRED` asks this user for a factor, and this is the last.
    #[error("the last factor stays")]
    LastFactor,
    /// Recovery codes stand in for factors, and there are none.
    #[error("no factor is enrolled")]
    NoFactor,
    /// Something else changed the factors in the meantime.
    #[error("the factors were changed in the meantime")]
    Changed,
    /// The session could not be opened.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// The user could not be read.
    #[error(transparent)]
    User(#[from] UserError),
    /// Too many hashes at once.
    #[error(transparent)]
    Hashing(#[from] HashingError),
    /// What is stored cannot be used.
    #[error("a stored factor cannot be used")]
    Unusable(#[source] anyhow::Error),
    /// The database failed.
    #[error("database failure")]
    Database(#[from] DbErr),
}

impl From<WebauthnFault> for MfaError {
    fn from(fault: WebauthnFault) -> Self {
        match fault {
            WebauthnFault::Refused => Self::InvalidCode,
            WebauthnFault::NoneEnrolled => Self::NotEnrolled,
            WebauthnFault::Database(source) => Self::Database(source),
            other => Self::Webauthn(other),
        }
    }
}

impl From<MfaError> for Problem {
    fn from(error: MfaError) -> Self {
        match error {
            MfaError::InvalidToken => Self::plain(Code::InvalidToken),
            MfaError::InvalidCode => Self::plain(Code::InvalidCode),
            MfaError::WrongPassword => Self::plain(Code::InvalidCredentials),
            MfaError::NotEnrolled => Self::invalid("factor", "not_enrolled", "is not enrolled"),
            MfaError::Field { field, message } => Self::invalid(field, "invalid", message),
            MfaError::Webauthn(fault) => fault.into(),
            MfaError::Locked => Self::plain(Code::FactorLocked),
            MfaError::Throttled { seconds } => {
                Self::plain(Code::TooManyAttempts).retry_after(seconds)
            }
            MfaError::TooWeak { needed } => Self::new(
                Code::StepUpRequired,
                format!(
                    "Prove it with `{}`, or with a recovery code.",
                    needed.as_str()
                ),
            ),
            MfaError::NoSession => Self::plain(Code::StepUpRequired),
            MfaError::Refused(refusal) => refusal.into(),
            MfaError::NotFound => Self::plain(Code::NotFound),
            MfaError::AlreadyEnrolled => Self::new(
                Code::Conflict,
                "A factor of this kind is enrolled. Remove it first.",
            ),
            MfaError::LastFactor => Self::plain(Code::LastFactor),
            MfaError::NoFactor => Self::new(
                Code::Conflict,
                "Recovery codes stand in for factors: enrol one first.",
            ),
            MfaError::Changed => Self::new(Code::Conflict, error),
            MfaError::Session(error) => error.into(),
            MfaError::User(error) => error.into(),
            MfaError::Hashing(error) => error.into(),
            MfaError::Unusable(source) => Self::internal(source),
            MfaError::Database(source) => source.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn factors_are_ordered_by_strength_and_read_back() {
        let all = [
            Factor::Password,
            Factor::Email,
            Factor::Totp,
            Factor::Webauthn,
            Factor::RecoveryCode,
        ];
        assert!(all.is_sorted());
        for factor in all {
            assert_eq!(factor.as_str().parse(), Ok(factor));
        }
        assert_eq!("sms".parse::<Factor>(), Err(()));
    }
}
