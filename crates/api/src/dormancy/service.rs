//! The use cases of the policy against accounts that nobody uses. Transactions begin and end here.

use std::time::Duration;

use actix_web::web::Data;
use chrono::{DateTime, Utc};
use entity::user;
use sea_orm::{
    ActiveModelTrait,
    ActiveValue::Set,
    ColumnTrait, ConnectionTrait, DbErr, EntityTrait, FromQueryResult, IntoActiveModel,
    QueryFilter, QueryOrder, QuerySelect, Statement,
    sea_query::{Expr, ExprTrait},
};
use serde::Serialize;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    activity,
    audit::{self, Doer, Entry, Target},
    config::DormancyConfig,
    database::tx::{Scope, Tx},
    devices,
    http::origin::Origin,
    mail::{self, Mail, Message},
    problem::constraint,
    sessions::{self, repo::Which},
    state::AppState,
    users::{erasure::LAST_ADMINISTRATOR, repo::LAST_ACTIVE},
};

const EVERY: Duration = Duration::from_hours(1);
/// Accounts that one round works on at most; the next round does the rest.
const ROUND: u64 = 1000;
/// Held, for the transaction, by who works: "gatedorm" in ASCII.
const LOCK: i64 = 0x6761_7465_646f_726d;

/// What the policy means to do with an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Fate {
    /// Its owner is told.
    Warn,
    /// Its owner was told, and has time left.
    Wait,
    /// It is disabled.
    Disable,
}

/// An account that nobody has used for a while.
#[derive(Clone, Debug, Serialize)]
pub struct Dormant {
    /// Whose.
    pub id: Uuid,
    /// Their address.
    pub email: String,
    /// The last sign of life.
    pub last_active_at: DateTime<Utc>,
    /// When the owner was told.
    pub warned_at: Option<DateTime<Utc>>,
    /// What comes next.
    pub next: Fate,
    /// When it will be disabled if nothing happens.
    pub closes_at: DateTime<Utc>,
}

#[derive(FromQueryResult)]
struct Row {
    id: Uuid,
    email: String,
    last_active_at: DateTime<Utc>,
    dormancy_warned_at: Option<DateTime<Utc>>,
}

impl Row {
    /// What the policy means to do with it at `now`.
    fn judged(self, policy: DormancyConfig, now: DateTime<Utc>) -> Dormant {
        let due = self.last_active_at + policy.after;
        // A warning that was followed by a sign of life counts no more.
        let warned_at = self
            .dormancy_warned_at
            .filter(|at| *at > self.last_active_at);
        let closes_at = if policy.warn.is_zero() {
            due
        } else {
            Ord::max(due, warned_at.unwrap_or(now) + policy.warn)
        };
        let next = if closes_at <= now {
            Fate::Disable
        } else if warned_at.is_none() && !policy.warn.is_zero() {
            Fate::Warn
        } else {
            Fate::Wait
        };
        Dormant {
            id: self.id,
            email: self.email,
            last_active_at: self.last_active_at,
            warned_at,
            next,
            closes_at,
        }
    }
}

/// Accounts that the policy has something to do with, longest unused first; none without a policy.
///
/// # Errors
///
/// The database's.
pub async fn report(state: &AppState, limit: u64) -> Result<Vec<Dormant>, DbErr> {
    let Some(policy) = state.config.accounts.dormancy else {
        return Ok(Vec::new());
    };
    let now = state.clock.now();
    let rows = candidates(policy, now)
        .order_by_asc(Expr::cust(LAST_ACTIVE))
        .limit(limit)
        .into_model::<Row>()
        .all(&state.db)
        .await?;
    Ok(rows
        .into_iter()
        .map(|row| row.judged(policy, now))
        .collect())
}

fn candidates(policy: DormancyConfig, now: DateTime<Utc>) -> sea_orm::Select<user::Entity> {
    user::Entity::find()
        .select_only()
        .columns([
            user::Column::Id,
            user::Column::Email,
            user::Column::DormancyWarnedAt,
        ])
        .expr_as(Expr::cust(LAST_ACTIVE), "last_active_at")
        .filter(user::Column::Status.eq("active"))
        .filter(user::Column::BreakGlass.eq(false))
        .filter(Expr::cust(LAST_ACTIVE).lte(now - (policy.after - policy.warn)))
}

/// Works once an hour, until the process ends; ends at once without a policy.
pub async fn watch(state: Data<AppState>) {
    if state.config.accounts.dormancy.is_none() {
        return;
    }
    loop {
        match round(&state).await {
            Ok(done) if done.warned + done.disabled > 0 => {
                tracing::info!(
                    warned = done.warned,
                    disabled = done.disabled,
                    "dealt with accounts that nobody uses"
                );
            }
            Ok(_) => {}
            Err(error) => {
                tracing::warn!(%error, "could not look for accounts that nobody uses; trying again in an hour");
            }
        }
        tokio::time::sleep(EVERY).await;
    }
}

/// What one round did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Done {
    /// Owners who were told.
    pub warned: usize,
    /// Accounts that were disabled.
    pub disabled: usize,
}

/// One round: warns and disables whom the policy says.
///
/// # Errors
///
/// The database's; what was done before it stays done.
pub async fn round(state: &AppState) -> Result<Done, DbErr> {
    let mut done = Done::default();
    let Some(policy) = state.config.accounts.dormancy else {
        return Ok(done);
    };
    // Who was seen a minute ago is not dormant.
    state.seen.write(&state.db, state.clock.now()).await?;
    let (mut after, mut worked) = (None, 0);
    while worked < ROUND {
        let batch = due(state, policy, after).await?;
        let Some(last) = batch.last() else {
            break;
        };
        after = Some(last.id);
        worked += batch.len() as u64;
        for dormant in batch {
            match deal_with(state, policy, dormant.id).await? {
                Outcome::Warned => done.warned += 1,
                Outcome::Disabled => done.disabled += 1,
                Outcome::Left => {}
                Outcome::Busy => return Ok(done),
            }
        }
    }
    Ok(done)
}

/// The next accounts for which something is due, by id.
async fn due(
    state: &AppState,
    policy: DormancyConfig,
    after: Option<Uuid>,
) -> Result<Vec<Dormant>, DbErr> {
    const BATCH: u64 = 100;
    let now = state.clock.now();
    let (mut after, mut due) = (after, Vec::new());
    // Those who were told and have time left are passed over.
    while due.is_empty() {
        let mut query = candidates(policy, now)
            .order_by_asc(user::Column::Id)
            .limit(BATCH);
        if let Some(after) = after {
            query = query.filter(user::Column::Id.gt(after));
        }
        let rows = query.into_model::<Row>().all(&state.db).await?;
        let Some(last) = rows.last() else {
            break;
        };
        after = Some(last.id);
        due.extend(
            rows.into_iter()
                .map(|row| row.judged(policy, now))
                .filter(|dormant| dormant.next != Fate::Wait),
        );
    }
    Ok(due)
}

enum Outcome {
    Warned,
    Disabled,
    /// Came back in the meantime, or has to stay.
    Left,
    /// Another instance works.
    Busy,
}

/// Judges one account again, under lock, and does what is due.
async fn deal_with(state: &AppState, policy: DormancyConfig, id: Uuid) -> Result<Outcome, DbErr> {
    let now = state.clock.now();
    let tx = Tx::begin(state, &Scope::System).await?;
    let lock = Statement::from_sql_and_values(
        tx.get_database_backend(),
        "SELECT pg_try_advisory_xact_lock($1) AS mine",
        [LOCK.into()],
    );
    let mine = tx.query_one_raw(lock).await?;
    if !mine.map_or(Ok(false), |row| row.try_get("", "mine"))? {
        return Ok(Outcome::Busy);
    }
    let query = user::Entity::find_by_id(id).lock_exclusive();
    let Some(user) = query.one(&*tx).await? else {
        return Ok(Outcome::Left);
    };
    let again = candidates(policy, now).filter(user::Column::Id.eq(id));
    let Some(row) = again.into_model::<Row>().one(&*tx).await? else {
        return Ok(Outcome::Left);
    };
    let dormant = row.judged(policy, now);
    match dormant.next {
        Fate::Wait => Ok(Outcome::Left),
        Fate::Warn => warn(state, tx, user, &dormant).await,
        Fate::Disable => disable(state, tx, user, &dormant).await,
    }
}

async fn warn(
    state: &AppState,
    tx: Tx<'_>,
    user: user::Model,
    dormant: &Dormant,
) -> Result<Outcome, DbErr> {
    let message = Message::DormantWarning {
        closes_at: dormant.closes_at,
        link: state.public_url.to_string(),
    };
    let (id, now) = (user.id, state.clock.now());
    if let Ok(mail) = Mail::new(&user.email, user.locale.as_deref(), message) {
        mail::enqueue(&*tx, &state.sealer, &mail, now).await?;
    }
    let mut row = user.into_active_model();
    row.dormancy_warned_at = Set(Some(now));
    row.update(&*tx).await?;
    let details = json!({ "closes_at": dormant.closes_at });
    note(
        state,
        &tx,
        id,
        ("dormancy_warned", "user.dormancy_warned"),
        details,
    )
    .await?;
    tx.commit().await?;
    state.mail.wake();
    Ok(Outcome::Warned)
}

async fn disable(
    state: &AppState,
    mut tx: Tx<'_>,
    user: user::Model,
    dormant: &Dormant,
) -> Result<Outcome, DbErr> {
    let (id, now, version) = (user.id, state.clock.now(), user.version);
    let (email, locale) = (user.email.clone(), user.locale.clone());
    let mut row = user.into_active_model();
    row.status = Set("disabled".to_owned());
    row.updated_at = Set(now);
    row.version = Set(version + 1);
    match row.update(&*tx).await {
        Ok(_) => {}
        Err(error) if constraint(&error) == Some(LAST_ADMINISTRATOR) => {
            tracing::warn!(user_id = %id, "nobody uses this account, but it is the last administrator's");
            return Ok(Outcome::Left);
        }
        Err(error) => return Err(error),
    }
    sessions::service::end(&mut tx, state, id, Which::All, "user_disabled").await?;
    devices::forget(&*tx, id, now).await?;
    if let Ok(mail) = Mail::new(&email, locale.as_deref(), Message::AccountDisabled) {
        mail::enqueue(&*tx, &state.sealer, &mail, now).await?;
    }
    let details = json!({ "reason": "dormant", "last_active_at": dormant.last_active_at });
    note(state, &tx, id, ("disabled", "user.disabled"), details).await?;
    tx.changed(crate::access::cache::Change::User(id));
    tx.commit().await?;
    state.mail.wake();
    Ok(Outcome::Disabled)
}

async fn note(
    state: &AppState,
    tx: &Tx<'_>,
    id: Uuid,
    (kind, action): (&'static str, &'static str),
    details: Value,
) -> Result<(), DbErr> {
    let origin = Origin::program("dormancy");
    let clock = &*state.clock;
    activity::record_by_other(&**tx, clock, &origin, id, kind, details.clone()).await?;
    let entry = Entry {
        doer: Doer::Program,
        action,
        target: Target::global("user", id),
        details,
    };
    audit::record(&**tx, clock, &origin, entry).await
}
