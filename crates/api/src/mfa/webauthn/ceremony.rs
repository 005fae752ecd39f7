//! The two halves of a ceremony: a challenge is made and kept, and is used up by its answer.

use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::TimeDelta;
use entity::webauthn_challenge;
use sea_orm::{ActiveValue::Set, EntityTrait};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use uuid::Uuid;

use super::{model::WebauthnFault, repo};
use crate::state::AppState;

/// How long a challenge may be answered (WebAuthn Level 3, section 5.4, recommends 5 to 10 minutes
/// where users are verified).
const TTL: TimeDelta = TimeDelta::minutes(5);
const SEAL_LABEL: &str = "webauthn challenge";

/// What a challenge is made for. An answer to one is good for nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// A user adds a credential, in this session.
    Enrol(Uuid, Uuid),
    /// A user shows the second factor, for this pending login.
    Login(Uuid, Uuid),
    /// A user proves again who they are, in this session.
    StepUp(Uuid, Uuid),
    /// Someone logs in with a passkey alone.
    Passkey,
}

impl Purpose {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Enrol(..) => "enrol",
            Self::Login(..) => "login",
            Self::StepUp(..) => "step_up",
            Self::Passkey => "passkey",
        }
    }

    /// The user, and the session or login.
    const fn whose(self) -> Option<(Uuid, Uuid)> {
        match self {
            Self::Enrol(user, bound) | Self::Login(user, bound) | Self::StepUp(user, bound) => {
                Some((user, bound))
            }
            Self::Passkey => None,
        }
    }
}

/// Keeps what the library must know when `challenge` is answered.
pub async fn keep(
    state: &AppState,
    purpose: Purpose,
    challenge: &[u8],
    kept: &impl Serialize,
) -> Result<(), WebauthnFault> {
    let json = serde_json::to_vec(kept).map_err(|error| WebauthnFault::Stored(error.into()))?;
    let now = state.clock.now();
    let (user_id, bound_to) = purpose.whose().unzip();
    if let Some((user_id, bound_to)) = purpose.whose() {
        // Only the newest counts.
        repo::void_older(&state.db, purpose.as_str(), user_id, bound_to, now).await?;
    }
    let row = webauthn_challenge::ActiveModel {
        id: Set(Uuid::now_v7()),
        challenge_hash: Set(hash(challenge)),
        purpose: Set(purpose.as_str().to_owned()),
        user_id: Set(user_id),
        bound_to: Set(bound_to),
        state: Set(state.sealer.seal(SEAL_LABEL, &json)),
        expires_at: Set(now + TTL),
        consumed_at: Set(None),
        created_at: Set(now),
    };
    webauthn_challenge::Entity::insert(row)
        .exec_without_returning(&state.db)
        .await?;
    Ok(())
}

/// Uses up the challenge that `client_data` answers, and gives back what was kept. `None` if there
/// is no open one for this purpose. Not part of any transaction: what was answered once stays
/// answered, whatever comes of it.
pub async fn take<T: DeserializeOwned>(
    state: &AppState,
    purpose: Purpose,
    client_data: &[u8],
) -> Result<Option<T>, WebauthnFault> {
    let Some(challenge) = challenge_of(client_data) else {
        return Ok(None);
    };
    let (hash, now) = (hash(&challenge), state.clock.now());
    let row = repo::consume(&state.db, &hash, purpose.as_str(), purpose.whose(), now).await?;
    let Some(row) = row else { return Ok(None) };
    let json = state
        .sealer
        .open(SEAL_LABEL, &row.state)
        .map_err(|error| WebauthnFault::Stored(error.into()))?;
    serde_json::from_slice(&json)
        .map(Some)
        .map_err(|error| WebauthnFault::Stored(error.into()))
}

/// The challenge in the client's data. Only used to find the row: the library compares it with
/// what was kept.
fn challenge_of(client_data: &[u8]) -> Option<Vec<u8>> {
    #[derive(Deserialize)]
    struct ClientData {
        challenge: String,
    }
    let data: ClientData = serde_json::from_slice(client_data).ok()?;
    URL_SAFE_NO_PAD.decode(data.challenge).ok()
}

fn hash(challenge: &[u8]) -> Vec<u8> {
    digest(&SHA256, challenge).as_ref().to_vec()
}
