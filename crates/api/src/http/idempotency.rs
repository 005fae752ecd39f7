//! `Idempotency-Key`: the same creation asked for twice happens once.
//!
//! The key is claimed in the transaction of what is created, and its answer
//! is kept there too, so a client that lost the answer, even one whose commit
//! was cut off, gets it by asking again.

use std::future::{Ready, ready};

use actix_web::{FromRequest, HttpRequest, dev::Payload};
use chrono::{DateTime, TimeDelta, Utc};
use entity::idempotency_key;
use sea_orm::{ActiveValue::Set, ConnectionTrait, DbErr, EntityTrait, sea_query::OnConflict};
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    access::actor::Principal,
    problem::{Code, Problem},
};

/// How long an answer is kept.
const KEPT: TimeDelta = TimeDelta::hours(24);

/// The `Idempotency-Key` of a request, if it has one: 1 to 255 visible ASCII characters.
#[derive(Clone, Debug)]
pub struct IdempotencyKey(Option<String>);

impl FromRequest for IdempotencyKey {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(req: &HttpRequest, _: &mut Payload) -> Self::Future {
        let Some(value) = req.headers().get("idempotency-key") else {
            return ready(Ok(Self(None)));
        };
        let key = value.to_str().ok().filter(|key| {
            (1..=255).contains(&key.len()) && key.bytes().all(|b| b.is_ascii_graphic())
        });
        ready(key.map(|key| Self(Some(key.to_owned()))).ok_or_else(|| {
            Problem::invalid(
                "Idempotency-Key",
                "invalid_value",
                "must have 1 to 255 visible ASCII characters",
            )
        }))
    }
}

impl IdempotencyKey {
    /// Ties the key to who asks and what they ask for.
    pub fn of(self, principal: Principal, request_hash: [u8; 32]) -> Once {
        Once {
            key: self.0.map(|key| (principal.to_string(), key)),
            request_hash,
        }
    }
}

/// One request that should happen once.
pub struct Once {
    key: Option<(String, String)>,
    request_hash: [u8; 32],
}

/// Why a request with a key did not happen.
#[derive(Debug, thiserror::Error)]
pub enum OnceError {
    /// The key came with another request before.
    #[error("the idempotency key was used for another request")]
    KeyReused,
    /// The database failed.
    #[error("database failure")]
    Database(#[from] DbErr),
}

impl From<OnceError> for Problem {
    fn from(error: OnceError) -> Self {
        match error {
            OnceError::KeyReused => Self::plain(Code::IdempotencyKeyReused),
            OnceError::Database(source) => source.into(),
        }
    }
}

impl Once {
    /// A request without a key, which happens each time.
    pub const fn each_time() -> Self {
        Self {
            key: None,
            request_hash: [0; 32],
        }
    }

    /// Claims the key; a request that came before gives its answer instead.
    ///
    /// A request that runs at the same time with the same key waits here for the first one's commit.
    ///
    /// # Errors
    ///
    /// [`OnceError::KeyReused`] if the key came with another request.
    pub async fn claim<T: DeserializeOwned>(
        &self,
        txn: &impl ConnectionTrait,
        now: DateTime<Utc>,
    ) -> Result<Option<T>, OnceError> {
        let Some((principal, key)) = &self.key else {
            return Ok(None);
        };
        let claim = idempotency_key::ActiveModel {
            principal: Set(principal.clone()),
            key: Set(key.clone()),
            request_hash: Set(self.request_hash.to_vec()),
            status: Set(None),
            body: Set(None),
            location: Set(None),
            expires_at: Set(now + KEPT),
        };
        let mut conflict = OnConflict::columns([
            idempotency_key::Column::Principal,
            idempotency_key::Column::Key,
        ]);
        // Only a key whose day is over is taken over.
        conflict
            .update_columns([
                idempotency_key::Column::RequestHash,
                idempotency_key::Column::Body,
                idempotency_key::Column::ExpiresAt,
            ])
            .action_and_where(sea_orm::ColumnTrait::lt(
                &idempotency_key::Column::ExpiresAt,
                now,
            ));
        let claimed = idempotency_key::Entity::insert(claim)
            .on_conflict(conflict)
            .exec_without_returning(txn)
            .await?;
        if claimed > 0 {
            return Ok(None);
        }
        let id = (principal.clone(), key.clone());
        let kept = idempotency_key::Entity::find_by_id(id).one(txn).await?;
        match kept {
            Some(kept) if kept.request_hash == self.request_hash => {
                let body = kept.body.ok_or(OnceError::KeyReused)?;
                let answer =
                    serde_json::from_value(body).map_err(|error| DbErr::Json(error.to_string()))?;
                Ok(Some(answer))
            }
            _ => Err(OnceError::KeyReused),
        }
    }

    /// Keeps the answer, in the transaction that made it true.
    pub async fn keep<T: Serialize>(
        &self,
        txn: &impl ConnectionTrait,
        answer: &T,
        now: DateTime<Utc>,
    ) -> Result<(), OnceError> {
        let Some((principal, key)) = &self.key else {
            return Ok(());
        };
        let body = serde_json::to_value(answer).map_err(|error| DbErr::Json(error.to_string()))?;
        let kept = idempotency_key::ActiveModel {
            principal: Set(principal.clone()),
            key: Set(key.clone()),
            status: Set(Some(201)),
            body: Set(Some(body)),
            expires_at: Set(now + KEPT),
            ..Default::default()
        };
        idempotency_key::Entity::update(kept).exec(txn).await?;
        Ok(())
    }
}
