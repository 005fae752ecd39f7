//! What happened to and by a user, as the user may see it.

pub mod handlers;
pub mod model;

use entity::user_activity;
use sea_orm::{ActiveValue::Set, ConnectionTrait, DbErr, EntityTrait, Statement};
use serde_json::Value;
use uuid::Uuid;

use crate::{clock::Clock, http::origin::Origin};

/// Writes one entry for a user, in the transaction of what it describes.
///
/// `kind` is a word such as `login` or `password_changed`; `details` hold no secret.
pub async fn record(
    txn: &impl ConnectionTrait,
    clock: &dyn Clock,
    origin: &Origin,
    user_id: Uuid,
    session_id: Option<Uuid>,
    kind: &'static str,
    details: Value,
) -> Result<(), DbErr> {
    let row = user_activity::ActiveModel {
        id: Set(Uuid::now_v7()),
        user_id: Set(user_id),
        session_id: Set(session_id),
        kind: Set(kind.to_owned()),
        ip: Set(Some(origin.network())),
        user_agent: Set(origin.user_agent.as_deref().map(ToOwned::to_owned)),
        request_id: Set(Some(origin.request_id.to_string())),
        details: Set(details),
        created_at: Set(clock.now()),
    };
    user_activity::Entity::insert(row)
        .exec_without_returning(txn)
        .await?;
    Ok(())
}

/// Like [`record`], for what somebody else did: where they sit is not the user's to know.
pub async fn record_by_other(
    txn: &impl ConnectionTrait,
    clock: &dyn Clock,
    origin: &Origin,
    user_id: Uuid,
    kind: &'static str,
    details: Value,
) -> Result<(), DbErr> {
    let row = user_activity::ActiveModel {
        id: Set(Uuid::now_v7()),
        user_id: Set(user_id),
        session_id: Set(None),
        kind: Set(kind.to_owned()),
        ip: Set(None),
        user_agent: Set(None),
        request_id: Set(Some(origin.request_id.to_string())),
        details: Set(details),
        created_at: Set(clock.now()),
    };
    user_activity::Entity::insert(row)
        .exec_without_returning(txn)
        .await?;
    Ok(())
}

/// Writes the same entry for each of several users, none of whom did it.
pub async fn record_all(
    txn: &impl ConnectionTrait,
    clock: &dyn Clock,
    origin: &Origin,
    user_ids: &[Uuid],
    kind: &'static str,
) -> Result<(), DbErr> {
    let ids: Vec<Uuid> = user_ids.iter().map(|_| Uuid::now_v7()).collect();
    let statement = Statement::from_sql_and_values(
        txn.get_database_backend(),
        "INSERT INTO user_activity (id, user_id, kind, request_id, details, created_at)
         SELECT id, user_id, $3, $4, '{}', $5
         FROM unnest($1::uuid[], $2::uuid[]) AS entry (id, user_id)",
        [
            ids.into(),
            user_ids.to_vec().into(),
            kind.into(),
            origin.request_id.to_string().into(),
            clock.now().into(),
        ],
    );
    txn.execute_raw(statement).await?;
    Ok(())
}
