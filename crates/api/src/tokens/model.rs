//! What is said of a token.

use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::access::{
    actor::PrincipalType,
    permit::{Action, Target},
};

/// Action `token:introspect`: asking about tokens, and revoking them.
pub struct Introspect;
impl Action for Introspect {
    const NAME: &'static str = "token:introspect";
    const TARGET: Target = Target::System;
}

/// The form of both calls.
#[derive(ToSchema)]
#[expect(
    dead_code,
    reason = "describes a form that is read parameter by parameter"
)]
pub struct TokenForm {
    /// An access token, a refresh token or an API key.
    #[schema(min_length = 1, max_length = 8192)]
    token: String,
    /// `access_token` or `refresh_token`; not needed, a token tells by itself what it is.
    #[schema(max_length = 64)]
    token_type_hint: Option<String>,
}

/// What a token is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum TokenUse {
    /// Calls as the user of a session.
    AccessToken,
    /// Gets the next access token, and is nothing that a resource server should take.
    RefreshToken,
    /// Calls for its owner.
    ApiKey,
}

/// The answer about a token (RFC 7662, section 2.2). Of one that does not count
/// nothing else is said.
#[derive(Debug, Default, Serialize, ToSchema)]
pub struct Introspection {
    /// Whether it counts now.
    pub active: bool,
    /// What it is for. Who takes access tokens should take nothing else.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub token_use: Option<TokenUse>,
    /// `Bearer`; not said of refresh tokens, which nobody bears to an application.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub token_type: Option<&'static str>,
    /// For whom it acts.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub sub: Option<Uuid>,
    /// What `sub` is.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, inline)]
    pub principal_type: Option<PrincipalType>,
    /// What that is called: a username or else a confirmed address, or a service account's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub username: Option<String>,
    /// When it stops to count, in seconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub exp: Option<i64>,
    /// When it was made.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub iat: Option<i64>,
    /// From when on it counts.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub nbf: Option<i64>,
    /// `PUBLIC_URL`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub iss: Option<String>,
    /// `JWT_AUDIENCE`, of access tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub aud: Option<String>,
    /// The access token's own id, or the API key's.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub jti: Option<String>,
    /// The session that it belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub sid: Option<Uuid>,
    /// How the user showed who they are (RFC 8176).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub amr: Option<Vec<String>>,
    /// When they last did.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub auth_time: Option<i64>,
    /// Keys of the roles held at the system now; of an API key those that it leaves whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub roles: Option<Vec<String>>,
    /// What an API key may do at most, if its owner may.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub permissions: Option<Vec<String>>,
}
