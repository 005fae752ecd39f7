//! The keys that sign access tokens, and what makes a token acceptable.
//!
//! Keys live in `signing_keys`, the private half sealed. One is `active` and signs; one is `next`
//! and already published, so that a rotation surprises nobody; `retired` ones are accepted until
//! the last token that they signed has expired. Every instance holds all of them in memory.

mod pair;
mod store;
mod verify;

use std::{collections::HashMap, fmt, str::FromStr, sync::Arc};

use arc_swap::ArcSwap;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, TimeDelta, Utc};
use sea_orm::DbErr;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::Mutex;
use uuid::Uuid;

use self::{pair::KeyPair, verify::PublicKey};
use super::seal::{Sealer, UnsealError};
use crate::database::db::{Db, DbTx};

pub use verify::TokenFault;

/// By how much the clocks of two machines may differ when times in a token are compared.
pub const LEEWAY: TimeDelta = TimeDelta::seconds(30);

/// For so long after a rotation an instance that has not heard of it may still sign with the
/// retired key.
const HANDOVER: TimeDelta = TimeDelta::seconds(60);

/// A signature algorithm for access tokens (RFC 7518, RFC 8037).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// Ed25519; the default.
    EdDSA,
    /// ECDSA on P-256 with SHA-256.
    ES256,
    /// RSASSA-PKCS1-v1_5 with SHA-256 and 2048 bits, for clients that know nothing else.
    RS256,
}

impl Algorithm {
    /// Its name in a token's header.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::EdDSA => "EdDSA",
            Self::ES256 => "ES256",
            Self::RS256 => "RS256",
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Not one of [`Algorithm`]'s names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not EdDSA, ES256 or RS256")]
pub struct UnknownAlgorithm;

impl FromStr for Algorithm {
    type Err = UnknownAlgorithm;

    fn from_str(name: &str) -> Result<Self, UnknownAlgorithm> {
        [Self::EdDSA, Self::ES256, Self::RS256]
            .into_iter()
            .find(|algorithm| algorithm.as_str() == name)
            .ok_or(UnknownAlgorithm)
    }
}

/// What an access token says (RFC 9068, 2.2). Times are seconds since 1970; all are required.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessClaims {
    /// `PUBLIC_URL`.
    pub iss: String,
    /// The user.
    pub sub: Uuid,
    /// `JWT_AUDIENCE`.
    pub aud: String,
    /// When it stops being good.
    pub exp: i64,
    /// When it was made.
    pub iat: i64,
    /// Since when it is good.
    pub nbf: i64,
    /// Its own id.
    pub jti: String,
    /// The session that it belongs to.
    pub sid: Uuid,
    /// How the user showed who they are (RFC 8176).
    pub amr: Vec<String>,
    /// When they did.
    pub auth_time: i64,
    /// System roles only, for information; nothing of ours trusts them.
    pub roles: Vec<String>,
}

/// Whose tokens are written and accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenRules {
    /// `iss`: `PUBLIC_URL`.
    pub issuer: String,
    /// `aud`: `JWT_AUDIENCE`.
    pub audience: String,
}

/// Why there are no keys, or no signature.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// The database said no.
    #[error("signing keys: {0}")]
    Database(#[from] DbErr),
    /// The key that should sign is sealed under a secret that we do not have.
    #[error("signing key {kid}: {source}")]
    Sealed {
        /// Which key.
        kid: String,
        /// Why it does not open.
        source: UnsealError,
    },
    /// A key in the database is not what its row says.
    #[error("signing key {kid}: {what}")]
    Malformed {
        /// Which key.
        kid: String,
        /// What is wrong.
        what: &'static str,
    },
    /// There is no active key of the configured algorithm.
    #[error("there is no active signing key")]
    NoActiveKey,
    /// The cryptographic library failed.
    #[error("signing keys: {0}")]
    Crypto(&'static str),
}

/// What a rotation did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rotation {
    /// The id of the key that signs from now on.
    pub active: String,
    /// The id of the key that signed until now, if there was one.
    pub retired: Option<String>,
}

/// All keys in use. Clones share them.
#[derive(Clone)]
pub struct SigningKeys(Arc<Shared>);

struct Shared {
    algorithm: Algorithm,
    rules: TokenRules,
    ring: ArcSwap<Ring>,
    /// Held while reading, so that an older reading never replaces a newer one.
    reading: Mutex<()>,
}

/// One reading of the table.
struct Ring {
    signer: Signer,
    public: HashMap<String, PublicKey>,
}

struct Signer {
    pair: KeyPair,
    /// The header in base64url: the same for every token.
    header: String,
}

impl SigningKeys {
    /// Reads the keys, and makes those that are missing. Instances that do so at once agree.
    ///
    /// Also removes keys whose last token has expired, and seals anew what was sealed under
    /// `SECRET_KEY_PREVIOUS`. Keys of another algorithm than `algorithm` stay accepted until they
    /// are rotated away.
    ///
    /// # Errors
    ///
    /// [`KeysError`]; above all when `SECRET_KEY` is not the one that sealed the keys.
    pub async fn load_or_create(
        db: &Db,
        sealer: &Sealer,
        algorithm: Algorithm,
        rules: TokenRules,
        now: DateTime<Utc>,
    ) -> Result<Self, KeysError> {
        let rows = store::load_or_create(db, sealer, algorithm, now).await?;
        Ok(Self(Arc::new(Shared {
            ring: ArcSwap::from_pointee(Ring::build(&rows, sealer, algorithm, &rules)?),
            algorithm,
            rules,
            reading: Mutex::new(()),
        })))
    }

    /// Reads the keys again, after another instance has changed them.
    ///
    /// # Errors
    ///
    /// [`KeysError`]; the keys then stay as they were.
    pub async fn reload(&self, db: &Db, sealer: &Sealer) -> Result<(), KeysError> {
        let _reading = self.0.reading.lock().await;
        let rows = store::read(db).await?;
        let ring = Ring::build(&rows, sealer, self.0.algorithm, &self.0.rules)?;
        self.0.ring.store(Arc::new(ring));
        Ok(())
    }

    /// Whether the keys in the database, if there are any, were sealed by `sealer`.
    ///
    /// # Errors
    ///
    /// The database's.
    pub async fn are_sealed_by(db: &Db, sealer: &Sealer) -> Result<bool, DbErr> {
        let rows = store::read(db).await?;
        Ok(rows.is_empty() || rows.iter().any(|row| row.opens(sealer)))
    }

    /// Keys that nobody else knows and that end with the process, for commands that sign nothing.
    ///
    /// # Errors
    ///
    /// [`KeysError::Crypto`] if the cryptographic library fails.
    pub fn of_nobody(rules: TokenRules) -> Result<Self, KeysError> {
        let algorithm = Algorithm::EdDSA;
        let (pair, _) = KeyPair::generate(algorithm)?;
        let ring = Ring {
            signer: Signer::new(pair),
            public: HashMap::new(),
        };
        Ok(Self(Arc::new(Shared {
            algorithm,
            rules,
            ring: ArcSwap::from_pointee(ring),
            reading: Mutex::new(()),
        })))
    }

    /// The next key becomes active, the active one retires, and there is a new next one. All of it
    /// in the caller's transaction; after its commit, [`reload`](Self::reload).
    ///
    /// Retired keys are accepted for `access_ttl` (how long access tokens are good), the leeway
    /// and the time that other instances need to hear of it. Their private halves are destroyed.
    ///
    /// # Errors
    ///
    /// [`KeysError`]; the transaction has to be rolled back then.
    pub async fn rotate(
        &self,
        tx: &DbTx,
        sealer: &Sealer,
        now: DateTime<Utc>,
        access_ttl: TimeDelta,
    ) -> Result<Rotation, KeysError> {
        let expires_at = now + access_ttl + LEEWAY + HANDOVER;
        store::rotate(tx, sealer, self.0.algorithm, now, expires_at).await
    }

    /// Signs `claims` with the active key, as a compact JWS of type `at+jwt`.
    ///
    /// # Errors
    ///
    /// [`KeysError::Crypto`] if the cryptographic library fails.
    pub fn sign(&self, claims: &AccessClaims) -> Result<String, KeysError> {
        let ring = self.0.ring.load();
        let claims =
            serde_json::to_vec(claims).map_err(|_| KeysError::Crypto("claims are no JSON"))?;
        let mut token = String::with_capacity(ring.signer.header.len() + claims.len() * 2 + 128);
        token.push_str(&ring.signer.header);
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(claims, &mut token);
        let signature = ring.signer.pair.sign(token.as_bytes())?;
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(signature, &mut token);
        Ok(token)
    }

    /// Signs `claims` with the active key, as a compact JWS of another type than access tokens have:
    /// none of these is taken for one.
    ///
    /// # Errors
    ///
    /// [`KeysError::Crypto`] if the cryptographic library fails.
    pub fn sign_as(&self, kind: &str, claims: &impl Serialize) -> Result<String, KeysError> {
        let ring = self.0.ring.load();
        let header = header(&ring.signer.pair, kind);
        let claims =
            serde_json::to_vec(claims).map_err(|_| KeysError::Crypto("claims are no JSON"))?;
        let signed = format!("{header}.{}", URL_SAFE_NO_PAD.encode(claims));
        let signature = ring.signer.pair.sign(signed.as_bytes())?;
        Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }

    /// Checks an access token at the time `now`: who signed it, for whom, and whether it is good.
    ///
    /// The algorithm is the key's, never the header's choice (RFC 8725, 3.1).
    ///
    /// # Errors
    ///
    /// [`TokenFault`], for logs and metrics; a client learns only that the token is not accepted.
    pub fn verify(&self, token: &str, now: DateTime<Utc>) -> Result<AccessClaims, TokenFault> {
        let ring = self.0.ring.load();
        verify::verify(token, |kid| ring.public.get(kid), now)
    }

    /// The public keys that others may need at the time `now`, as a JWK set (RFC 7517, 5).
    #[must_use]
    pub fn jwks(&self, now: DateTime<Utc>) -> Value {
        let ring = self.0.ring.load();
        let mut keys: Vec<&PublicKey> = ring
            .public
            .values()
            .filter(|key| key.accepted(now))
            .collect();
        keys.sort_by_key(|key| key.jwk["kid"].as_str());
        json!({ "keys": keys.iter().map(|key| &key.jwk).collect::<Vec<_>>() })
    }

    /// The id of the key that signs now.
    #[must_use]
    pub fn active_kid(&self) -> String {
        self.0.ring.load().signer.pair.kid().to_owned()
    }

    /// Whose tokens are written and accepted.
    #[must_use]
    pub fn rules(&self) -> &TokenRules {
        &self.0.rules
    }
}

impl fmt::Debug for SigningKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKeys")
            .field("algorithm", &self.0.algorithm)
            .field("active", &self.active_kid())
            .finish_non_exhaustive()
    }
}

impl Ring {
    fn build(
        rows: &[store::Row],
        sealer: &Sealer,
        algorithm: Algorithm,
        rules: &TokenRules,
    ) -> Result<Self, KeysError> {
        let mut signer = None;
        let mut public = HashMap::new();
        for row in rows {
            let Ok(of_row) = row.algorithm.parse::<Algorithm>() else {
                tracing::warn!(
                    kid = row.kid,
                    algorithm = row.algorithm,
                    "unknown signing key"
                );
                continue;
            };
            if row.state == store::RETIRED {
                // Losing it costs some people a login; it must not keep the service from starting.
                match row.retired_jwk(sealer) {
                    Ok(jwk) => {
                        let key = PublicKey::new(of_row, jwk, rules, row.expires_at)?;
                        public.insert(row.kid.clone(), key);
                    }
                    Err(error) => tracing::warn!(kid = row.kid, "retired key dropped: {error}"),
                }
                continue;
            }
            let pair = row.key_pair(sealer, of_row)?;
            let key = PublicKey::new(of_row, pair.jwk(), rules, None)?;
            public.insert(row.kid.clone(), key);
            if row.state == store::ACTIVE && of_row == algorithm {
                signer = Some(Signer::new(pair));
            }
        }
        Ok(Self {
            signer: signer.ok_or(KeysError::NoActiveKey)?,
            public,
        })
    }
}

impl Signer {
    fn new(pair: KeyPair) -> Self {
        Self {
            header: header(&pair, verify::TYPE),
            pair,
        }
    }
}

/// The header of a JWS of type `kind`, in base64url.
fn header(pair: &KeyPair, kind: &str) -> String {
    let header = json!({
        "alg": pair.algorithm().as_str(),
        "kid": pair.kid(),
        "typ": kind,
    });
    URL_SAFE_NO_PAD.encode(header.to_string())
}

#[cfg(test)]
mod tests;
