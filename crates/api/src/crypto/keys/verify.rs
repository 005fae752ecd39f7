//! What makes an access token acceptable (RFC 8725, RFC 9068 section 4).

use chrono::{DateTime, Utc};
use jsonwebtoken::{DecodingKey, Validation, decode, decode_header, errors::ErrorKind, jwk::Jwk};
use serde::Deserialize as _;
use serde_json::Value;

use super::{AccessClaims, Algorithm, KeysError, LEEWAY, TokenRules};

/// The only `typ`; tokens of other kinds that we or others sign are not access tokens.
pub(super) const TYPE: &str = "at+jwt";
/// Ours have some 600 characters.
const MAX_LENGTH: usize = 8 * 1024;

/// Why a token is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenFault {
    /// No JWS, of a size or with a header that ours never have.
    #[error("not a token of ours")]
    Malformed,
    /// Another `typ` than `at+jwt`.
    #[error("not an access token")]
    WrongType,
    /// Signed with a key that we do not know, or no longer accept.
    #[error("signed with an unknown key")]
    UnknownKey,
    /// The header names another algorithm than the key's.
    #[error("the algorithm is not the key's")]
    WrongAlgorithm,
    /// Altered, or signed by someone else.
    #[error("the signature does not match")]
    WrongSignature,
    /// A claim is missing or of a wrong type.
    #[error("a claim is missing or malformed")]
    WrongClaims,
    /// Issued by someone else.
    #[error("another issuer")]
    WrongIssuer,
    /// Meant for someone else.
    #[error("another audience")]
    WrongAudience,
    /// No longer good.
    #[error("expired")]
    Expired,
    /// Not yet good.
    #[error("not valid yet")]
    NotYetValid,
}

/// A public key with everything that does not change from token to token.
pub(super) struct PublicKey {
    pub(super) jwk: Value,
    key: DecodingKey,
    validation: Validation,
    /// When the last token that it signed has expired; `None` while it may sign.
    expires_at: Option<DateTime<Utc>>,
}

impl PublicKey {
    pub(super) fn new(
        algorithm: Algorithm,
        jwk: Value,
        rules: &TokenRules,
        expires_at: Option<DateTime<Utc>>,
    ) -> Result<Self, KeysError> {
        let malformed = |jwk: &Value| KeysError::Malformed {
            kid: jwk["kid"].as_str().unwrap_or("?").to_owned(),
            what: "the public key cannot be read",
        };
        let parsed = Jwk::deserialize(&jwk).map_err(|_| malformed(&jwk))?;
        let key = DecodingKey::from_jwk(&parsed).map_err(|_| malformed(&jwk))?;
        let mut validation = Validation::new(algorithm.into());
        validation.set_issuer(&[&rules.issuer]);
        validation.set_audience(&[&rules.audience]);
        validation.set_required_spec_claims(&["exp", "nbf", "iss", "aud", "sub"]);
        // By our own clock, below.
        validation.validate_exp = false;
        validation.validate_nbf = false;
        Ok(Self {
            jwk,
            key,
            validation,
            expires_at,
        })
    }

    pub(super) fn accepted(&self, now: DateTime<Utc>) -> bool {
        self.expires_at.is_none_or(|end| now < end)
    }
}

pub(super) fn verify<'a>(
    token: &str,
    find: impl FnOnce(&str) -> Option<&'a PublicKey>,
    now: DateTime<Utc>,
) -> Result<AccessClaims, TokenFault> {
    if token.len() > MAX_LENGTH {
        return Err(TokenFault::Malformed);
    }
    let header = decode_header(token).map_err(|_| TokenFault::Malformed)?;
    // We understand no extension, so none may be critical (RFC 7515, 4.1.11).
    if header.crit.is_some() {
        return Err(TokenFault::Malformed);
    }
    if header.typ.as_deref() != Some(TYPE) {
        return Err(TokenFault::WrongType);
    }
    let key = header
        .kid
        .as_deref()
        .and_then(find)
        .filter(|key| key.accepted(now))
        .ok_or(TokenFault::UnknownKey)?;
    if !key.validation.algorithms.contains(&header.alg) {
        return Err(TokenFault::WrongAlgorithm);
    }
    let claims = decode::<AccessClaims>(token, &key.key, &key.validation)
        .map_err(|error| fault(error.kind()))?
        .claims;
    check_times(&claims, now)?;
    Ok(claims)
}

fn check_times(claims: &AccessClaims, now: DateTime<Utc>) -> Result<(), TokenFault> {
    let (now, leeway) = (now.timestamp(), LEEWAY.num_seconds());
    if now >= claims.exp.saturating_add(leeway) {
        return Err(TokenFault::Expired);
    }
    if claims.nbf.max(claims.iat) > now.saturating_add(leeway) {
        return Err(TokenFault::NotYetValid);
    }
    Ok(())
}

fn fault(kind: &ErrorKind) -> TokenFault {
    match kind {
        ErrorKind::InvalidSignature => TokenFault::WrongSignature,
        ErrorKind::InvalidAlgorithm => TokenFault::WrongAlgorithm,
        ErrorKind::InvalidIssuer => TokenFault::WrongIssuer,
        ErrorKind::InvalidAudience => TokenFault::WrongAudience,
        ErrorKind::MissingRequiredClaim(_)
        | ErrorKind::InvalidClaimFormat(_)
        | ErrorKind::Json(_)
        | ErrorKind::Utf8(_) => TokenFault::WrongClaims,
        _ => TokenFault::Malformed,
    }
}

impl From<Algorithm> for jsonwebtoken::Algorithm {
    fn from(algorithm: Algorithm) -> Self {
        match algorithm {
            Algorithm::EdDSA => Self::EdDSA,
            Algorithm::ES256 => Self::ES256,
            Algorithm::RS256 => Self::RS256,
        }
    }
}
