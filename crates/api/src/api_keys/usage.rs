//! When keys were last used: noted beside the requests, at most once a minute for each key.

use std::net::IpAddr;

use actix_web::web::Data;
use chrono::{DateTime, Utc};
use entity::api_key::{Column, Entity};
use sea_orm::{ColumnTrait, Condition, DbErr, EntityTrait, QueryFilter, sea_query::Expr};
use tokio::sync::mpsc;
use uuid::Uuid;

use crate::{
    access::key::{KeyState, NOTED_EVERY},
    state::AppState,
};

/// Uses that wait to be written. When the database is slower than that, some are not written.
const WAITING: usize = 1024;

/// A use of a key that is to be written down.
#[derive(Debug)]
pub struct Use {
    key_id: Uuid,
    at: DateTime<Utc>,
    ip: IpAddr,
}

/// The two ends of the queue: requests put in, [`write_down`] takes out.
pub fn queue() -> (mpsc::Sender<Use>, mpsc::Receiver<Use>) {
    mpsc::channel(WAITING)
}

/// Notes that a key was used. Does not wait.
pub fn note(state: &AppState, key: &KeyState, ip: IpAddr) {
    let at = state.clock.now();
    if key.is_noteworthy(at) {
        let used = Use {
            key_id: key.id,
            at,
            ip,
        };
        if state.key_uses.try_send(used).is_err() {
            tracing::debug!(key_id = %key.id, "the use of an API key is not written down");
        }
    }
}

/// Writes uses down until the process ends.
pub async fn write_down(state: Data<AppState>, mut uses: mpsc::Receiver<Use>) {
    while let Some(used) = uses.recv().await {
        let key_id = used.key_id;
        if let Err(error) = write(&state, used).await {
            tracing::warn!(%key_id, %error, "the use of an API key could not be written down");
        }
    }
}

async fn write(state: &AppState, used: Use) -> Result<(), DbErr> {
    // Other instances may have noted a use of the same minute.
    let is_due = Condition::any()
        .add(Column::LastUsedAt.is_null())
        .add(Column::LastUsedAt.lte(used.at - NOTED_EVERY));
    let ip = ipnetwork::IpNetwork::from(used.ip);
    Entity::update_many()
        .col_expr(Column::LastUsedAt, Expr::value(used.at))
        .col_expr(Column::LastUsedIp, Expr::value(ip))
        .filter(Column::Id.eq(used.key_id))
        .filter(is_due)
        .exec(&state.db)
        .await?;
    Ok(())
}
