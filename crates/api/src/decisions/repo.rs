//! Queries on `decision_log`.

use chrono::{DateTime, Utc};
use sea_orm::{ConnectionTrait, DbErr, FromQueryResult, Statement};
use serde::Serialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::mask::Masker;
use crate::{
    database::tx::{Scope, Tx},
    policy::Decision,
    state::AppState,
};

/// A row to be written.
#[derive(Debug, Serialize)]
pub struct Row {
    /// UUID; one that is there already is not written again.
    pub id: Uuid,
    /// When it was decided: the question's time.
    pub at: DateTime<Utc>,
    /// `gatepost`, or `opa:` and the id of an OPA server.
    pub source: String,
    /// The request it was decided for.
    pub request_id: Option<String>,
    allowed: bool,
    reasons: Value,
    policy: Option<String>,
    input: Value,
    masked: Vec<String>,
}

impl Row {
    /// Whether it allowed.
    pub fn allowed(&self) -> bool {
        self.allowed
    }

    /// A decision of this instance, masked. A question without a time counts as of 1970.
    pub fn new(mut input: Value, decision: &Decision, masker: &Masker) -> Self {
        let time = input.pointer("/context/time").and_then(Value::as_str);
        let at = time.and_then(|time| time.parse().ok());
        let hidden = masker.mask(&mut input);
        Self {
            id: Uuid::now_v7(),
            at: at.unwrap_or_default(),
            source: "gatepost".to_owned(),
            request_id: None,
            allowed: decision.allow,
            reasons: json!(
                decision
                    .reasons
                    .iter()
                    .map(|reason| &reason.code)
                    .collect::<Vec<_>>()
            ),
            policy: decision.policy.as_deref().map(ToOwned::to_owned),
            input,
            masked: hidden,
        }
    }
}

/// Writes rows down; those that are there already stay as they are.
pub async fn insert(state: &AppState, rows: &[Row]) -> Result<(), DbErr> {
    if rows.is_empty() {
        return Ok(());
    }
    let tx = Tx::begin(state, &Scope::System).await?;
    let sql = "INSERT INTO decision_log (id, at, source, request_id, allowed, reasons, policy, input, masked) \
               SELECT id, at, source, request_id, allowed, reasons, policy, input, masked \
               FROM jsonb_to_recordset($1) AS r(id uuid, at timestamptz, source text, \
                    request_id text, allowed boolean, reasons text[], policy text, input jsonb, \
                    masked text[]) \
               ON CONFLICT DO NOTHING";
    let statement =
        Statement::from_sql_and_values(tx.get_database_backend(), sql, [json!(rows).into()]);
    tx.execute_raw(statement).await?;
    tx.commit().await
}

/// A decision that was written down.
#[derive(Clone, Debug, FromQueryResult)]
pub struct Logged {
    /// Its id.
    pub id: Uuid,
    /// When it was decided.
    pub at: DateTime<Utc>,
    /// What it was.
    pub allowed: bool,
    /// The codes of its reasons.
    pub reasons: Vec<String>,
    /// The question, masked.
    pub input: Value,
    /// Where something was taken out of the question.
    pub masked: Vec<String>,
}

/// Where a page ends: time and id of its last row.
pub type Position = (DateTime<Utc>, Uuid);

/// Decisions from `since` on, and before `position`, newest first.
pub async fn page(
    state: &AppState,
    since: DateTime<Utc>,
    position: Position,
    limit: u64,
) -> Result<Vec<Logged>, DbErr> {
    let tx = Tx::begin(state, &Scope::System).await?;
    let sql = "SELECT id, at, allowed, reasons, input, masked FROM decision_log \
               WHERE at >= $1 AND (at, id) < ($2, $3) ORDER BY at DESC, id DESC LIMIT $4";
    let statement = Statement::from_sql_and_values(
        tx.get_database_backend(),
        sql,
        [
            since.into(),
            position.0.into(),
            position.1.into(),
            limit.into(),
        ],
    );
    let rows = Logged::find_by_statement(statement).all(&*tx).await?;
    tx.commit().await?;
    Ok(rows)
}

/// Makes the partitions of the days to come, and drops those that are old.
pub async fn maintain(state: &AppState) -> Result<(), DbErr> {
    let days = i32::try_from(state.config.decision_log.days).unwrap_or(i32::MAX);
    let statement = Statement::from_sql_and_values(
        state.db.get_database_backend(),
        "SELECT gatepost_maintain_decisions($1, $2)",
        [days.into(), state.clock.now().into()],
    );
    state.db.execute_raw(statement).await?;
    Ok(())
}
