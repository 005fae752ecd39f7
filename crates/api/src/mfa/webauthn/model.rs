//! What passkeys and security keys look like from outside.

use sea_orm::DbErr;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;
use webauthn_rs::prelude::{
    CreationChallengeResponse, Credential, PublicKeyCredential, RegisterPublicKeyCredential,
    RequestChallengeResponse, WebauthnError,
};

use crate::{
    http::text::DisplayName,
    problem::{Code, Problem},
};

/// What a credential is good for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CredentialKind {
    /// Logs in alone, and is a second factor; verifies its user by PIN or biometrics.
    #[default]
    Passkey,
    /// Is a second factor; someone touches it.
    SecurityKey,
}

/// Body of `POST /api/users/me/mfa/webauthn/options`.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BeginEnrolment {
    /// What the credential is to be good for.
    #[serde(default)]
    #[schema(inline)]
    pub kind: CredentialKind,
}

/// Body of `POST /api/users/me/mfa/webauthn`.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FinishEnrolment {
    /// What `navigator.credentials.create()` brought, as its `toJSON()` writes it.
    #[schema(value_type = Object)]
    pub credential: RegisterPublicKeyCredential,
    /// What its owner calls it.
    pub label: Option<DisplayName>,
}

/// For `navigator.credentials.create()`, in the form that
/// `PublicKeyCredential.parseCreationOptionsFromJSON()` takes.
#[derive(Serialize, ToSchema)]
pub struct CreationOptions {
    /// `PublicKeyCredentialCreationOptionsJSON` (WebAuthn Level 3, section 5.1.9).
    #[serde(flatten)]
    #[schema(inline, value_type = PublicKeyOptions)]
    pub options: CreationChallengeResponse,
}

/// For `navigator.credentials.get()`, in the form that
/// `PublicKeyCredential.parseRequestOptionsFromJSON()` takes.
#[derive(Serialize, ToSchema)]
pub struct RequestOptions {
    /// `PublicKeyCredentialRequestOptionsJSON` (WebAuthn Level 3, section 5.1.10).
    #[serde(flatten)]
    #[schema(inline, value_type = PublicKeyOptions)]
    pub options: RequestChallengeResponse,
}

/// How the options of both kinds are written.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes what the library writes")]
pub struct PublicKeyOptions {
    /// The options, with names and encodings as in WebAuthn.
    #[schema(rename = "publicKey", value_type = Object)]
    public_key: serde_json::Value,
}

/// What `navigator.credentials.get()` brought, as its `toJSON()` writes it.
#[derive(Clone, Debug, Deserialize)]
#[serde(transparent)]
pub struct Assertion(pub PublicKeyCredential);

/// Body of `POST /api/auth/passkey/verify`.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LoginWithPasskey {
    /// What `navigator.credentials.get()` brought, as its `toJSON()` writes it.
    #[schema(value_type = Object)]
    pub credential: Assertion,
    /// Keep the session for `SESSION_REMEMBER_TTL`.
    #[serde(default)]
    pub remember: bool,
    /// Put the session into a cookie and no token into the body.
    #[serde(default)]
    pub cookie: bool,
}

/// What stands in `mfa_factors.data`.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Stored {
    /// Base64url; the database keeps it unique.
    pub credential_id: String,
    pub kind: CredentialKind,
    pub credential: Credential,
}

/// A passkey or security key that has answered.
#[derive(Clone, Debug)]
pub struct Proof {
    /// Whose it is.
    pub user_id: Uuid,
    /// Which factor it is.
    pub factor_id: Uuid,
    /// How identity is proven by it (RFC 8176): `hwk` or `swk`, `user`, and `mfa` if the device
    /// has verified its user.
    pub amr: Vec<&'static str>,
}

/// Why a ceremony did not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum WebauthnFault {
    /// `PUBLIC_URL` has no host name.
    #[error("this installation has no host name for credentials to be bound to")]
    Unavailable,
    /// The user has as many credentials as they may.
    #[error("no more credentials")]
    TooMany,
    /// The credential is registered already.
    #[error("the credential is registered already")]
    Taken,
    /// There is no passkey or security key to ask.
    #[error("the user has no such factor")]
    NoneEnrolled,
    /// The registration does not answer a challenge that is open.
    #[error("the challenge is unknown, used or too old")]
    UnknownChallenge,
    /// The registration is not acceptable.
    #[error("the registration is not acceptable: {0}")]
    Registration(#[source] WebauthnError),
    /// The answer proves nothing; why is not said.
    #[error("the credential did not prove who it is")]
    Refused,
    /// What was stored cannot be read.
    #[error("stored credential or challenge")]
    Stored(#[source] anyhow::Error),
    /// The library failed.
    #[error("WebAuthn")]
    Library(#[source] WebauthnError),
    /// The database failed.
    #[error("database failure")]
    Database(#[from] DbErr),
}

impl From<WebauthnFault> for Problem {
    fn from(fault: WebauthnFault) -> Self {
        match fault {
            WebauthnFault::Unavailable => Self::new(
                Code::Conflict,
                "Passkeys need a PUBLIC_URL with a host name instead of an address.",
            ),
            WebauthnFault::TooMany => Self::new(
                Code::Conflict,
                "There are as many passkeys and security keys as there may be. Remove one first.",
            ),
            WebauthnFault::Taken => Self::new(
                Code::Conflict,
                "This passkey or security key is registered already.",
            ),
            WebauthnFault::NoneEnrolled => Self::new(
                Code::Conflict,
                "There is no passkey or security key to ask.",
            ),
            WebauthnFault::UnknownChallenge => Self::invalid(
                "credential",
                "unknown_challenge",
                "answers no challenge that is open: ask for options again",
            ),
            WebauthnFault::Registration(error) => Self::invalid(
                "credential",
                "not_acceptable",
                format!("is not acceptable: {error}"),
            ),
            WebauthnFault::Refused => Self::plain(Code::InvalidCredentials),
            WebauthnFault::Stored(source) => Self::internal(source),
            WebauthnFault::Library(source) => Self::internal(source),
            WebauthnFault::Database(source) => source.into(),
        }
    }
}
