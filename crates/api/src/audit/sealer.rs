//! Gives entries their place in the chain, after their commit.
//!
//! Every instance runs a sealer; an advisory lock lets one work at a time. What it sees is
//! committed, and what it seals it seals in the order in which it sees it: an entry whose
//! transaction took longer than that of a younger one comes after it. Writers wait for nothing.
//!
//! What is sealed also goes to the log as a line of JSON (target `audit`), so that whoever keeps
//! the log keeps a second copy of the chain.

use std::time::Duration;

use actix_web::web::Data;
use chrono::{DateTime, Utc};
use entity::{audit_log, audit_seal};
use sea_orm::{
    ActiveValue::Set, ConnectionTrait, DbErr, EntityTrait, QueryOrder, Statement, TryGetable,
};
use serde_json::Value;
use tokio::sync::watch;

use super::chain::{self, GENESIS, Hash};
use crate::{
    database::{
        retry::retried,
        tx::{Scope, Tx},
    },
    state::AppState,
};

/// How often it looks whether something waits: entries are sealed within a second.
const LOOK_EVERY: Duration = Duration::from_millis(400);
/// After a failure.
const RETRY_AFTER: Duration = Duration::from_secs(5);
/// Entries that one transaction seals.
const BATCH: u64 = 500;

/// What waits for its seal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Unsealed {
    /// Entries.
    pub count: i64,
    /// When the oldest of them was written.
    pub oldest: Option<DateTime<Utc>>,
}

/// Seals until `stopped`; then once more, for what the last requests left.
pub async fn run(state: Data<AppState>, mut stopped: watch::Receiver<bool>) {
    let mut failed = false;
    loop {
        // Asked before sealing: what was written while it sealed needs another round.
        let is_last = *stopped.borrow_and_update();
        let result = if is_last {
            retried(|| seal_all(&state)).await
        } else {
            seal_all(&state).await
        };
        let pause = match &result {
            Ok(()) => LOOK_EVERY,
            Err(error) if failed => {
                tracing::debug!(%error, "the audit log is still not sealed");
                RETRY_AFTER
            }
            Err(error) => {
                tracing::warn!(%error, "the audit log cannot be sealed; trying again");
                RETRY_AFTER
            }
        };
        failed = result.is_err();
        if is_last {
            return;
        }
        // An error means that the sender is gone, which is a reason to stop, too.
        let stopping = tokio::time::timeout(pause, stopped.changed());
        if matches!(stopping.await, Ok(Err(_))) {
            return;
        }
    }
}

/// Seals what waits, and tells how much of it is left to others.
async fn seal_all(state: &AppState) -> Result<(), DbErr> {
    let mut waiting = unsealed(&state.db).await?;
    if waiting.count > 0 {
        while seal_batch(state).await? == BATCH {}
        waiting = unsealed(&state.db).await?;
    }
    let age = waiting.oldest.map_or(0, |oldest| {
        (state.clock.now() - oldest).num_milliseconds().max(0)
    });
    let [count, age] = [waiting.count, age].map(|number| {
        // Exact up to four billion, and there never are as many.
        f64::from(u32::try_from(number).unwrap_or(u32::MAX))
    });
    metrics::gauge!("gatepost_audit_unsealed").set(count);
    metrics::gauge!("gatepost_audit_unsealed_age_seconds").set(age / 1000.0);
    Ok(())
}

/// What waits for its seal.
///
/// # Errors
///
/// The database's.
pub async fn unsealed(db: &impl ConnectionTrait) -> Result<Unsealed, DbErr> {
    let sql = "SELECT count(*) AS count, min(l.at) AS oldest
        FROM audit_pending p JOIN audit_log l ON l.id = p.entry_id";
    let row = query(db, sql).await?;
    Ok(Unsealed {
        count: row.try_get("", "count")?,
        oldest: row.try_get("", "oldest")?,
    })
}

/// Seals up to [`BATCH`] entries and returns how many; none while another instance does.
///
/// # Errors
///
/// The database's.
pub async fn seal_batch(state: &AppState) -> Result<u64, DbErr> {
    let tx = Tx::begin(state, &Scope::None).await?;
    let lock = "SELECT pg_try_advisory_xact_lock(
        hashtextextended('gatepost_audit_seal ' || current_schema(), 0)) AS locked";
    if !bool::try_get(&query(&*tx, lock).await?, "", "locked")? {
        return Ok(0);
    }
    // After the lock, so that it sees what its holder before committed.
    let last = audit_seal::Entity::find()
        .order_by_desc(audit_seal::Column::Seq)
        .one(&*tx)
        .await?;
    let (mut seq, mut prev) = match &last {
        Some(seal) => (seal.seq, stored(&seal.hash)?),
        None => (0, GENESIS),
    };
    let sql = format!(
        "SELECT l.* FROM audit_pending p JOIN audit_log l ON l.id = p.entry_id
         ORDER BY l.id LIMIT {BATCH}"
    );
    let statement = Statement::from_string(tx.get_database_backend(), sql);
    let entries = audit_log::Entity::find()
        .from_raw_sql(statement)
        .all(&*tx)
        .await?;
    if entries.is_empty() {
        return Ok(0);
    }
    let now = state.clock.now();
    let mut seals = Vec::with_capacity(entries.len());
    let mut lines = Vec::with_capacity(entries.len());
    for entry in &entries {
        seq += 1;
        let hash = chain::hash(prev, seq, entry).map_err(|e| DbErr::Custom(e.to_string()))?;
        seals.push(audit_seal::ActiveModel {
            seq: Set(seq),
            entry_id: Set(entry.id),
            prev_hash: Set(prev.0.to_vec()),
            hash: Set(hash.0.to_vec()),
            sealed_at: Set(now),
        });
        lines.push(line(seq, prev, hash, entry));
        prev = hash;
    }
    audit_seal::Entity::insert_many(seals)
        .exec_without_returning(&*tx)
        .await?;
    tx.commit().await?;
    for line in lines {
        tracing::info!(target: "audit", "{line}");
    }
    Ok(entries.len() as u64)
}

/// The entry as a line of the log: what is hashed, and the two hashes.
fn line(seq: i64, prev: Hash, hash: Hash, entry: &audit_log::Model) -> Value {
    let mut line = chain::document(seq, entry);
    if let Value::Object(fields) = &mut line {
        fields.insert("prev_hash".to_owned(), prev.to_string().into());
        fields.insert("hash".to_owned(), hash.to_string().into());
    }
    line
}

/// A hash as the table has it.
///
/// # Errors
///
/// Never, by the constraint of the table.
pub fn stored(bytes: &[u8]) -> Result<Hash, DbErr> {
    Hash::try_from(bytes).map_err(|_| DbErr::Type("a hash of audit_seals is not 32 bytes".into()))
}

async fn query(db: &impl ConnectionTrait, sql: &str) -> Result<sea_orm::QueryResult, DbErr> {
    let statement = Statement::from_string(db.get_database_backend(), sql);
    let row = db.query_one_raw(statement).await?;
    row.ok_or_else(|| DbErr::RecordNotFound("no row".to_owned()))
}
