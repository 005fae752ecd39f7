//! A way in for when everybody is locked out: `gatepost admin recover`.
//!
//! It gives an administrator a password that is shown once and has to be changed at the first
//! login, and the role `admin` on the system until a time. The role ends by itself; an account
//! that was made for the occasion is closed after it.

use chrono::{DateTime, Utc};
use entity::user;
use sea_orm::{
    ActiveModelTrait, ActiveValue::Set, ColumnTrait, EntityTrait, QueryFilter, QuerySelect,
    sea_query::Expr,
};
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;
use uuid::Uuid;

use super::{
    model::{AdminError, UpdateUser},
    roles::{held, system_role},
    steps,
};
use crate::{
    access::{actor::Principal, authority::Authority, cache::Change, resource::ResourceRef},
    activity,
    audit::{self, Doer, Entry, Target},
    command::shell::Shell,
    crypto::password::Password,
    database::tx::{Scope, Tx},
    devices,
    http::{
        origin::Origin,
        text::{Email, normalized},
    },
    login::throttle,
    registration::break_glass,
    role_assignments::service::{self, Giving, Written},
    sessions::{self, repo::Which},
    state::AppState,
    users::credentials,
};

const ROLE: &str = "admin";

/// Who is let in.
pub enum Whom {
    /// A user who exists; their password, lock and state are put aside.
    User(Box<user::Model>),
    /// An account that is made for the occasion, with this address.
    New(Email),
}

/// The way in. The password exists nowhere else.
pub struct Recovered {
    /// The user.
    pub id: Uuid,
    /// What to log in with.
    pub email: String,
    /// Good for one login.
    pub password: SecretString,
    /// When the role ends.
    pub expires_at: DateTime<Utc>,
}

/// Lets an administrator in until `expires_at`.
///
/// # Errors
///
/// See [`AdminError`]; nothing has changed then.
pub async fn recover(
    state: &AppState,
    shell: &Shell,
    whom: Whom,
    expires_at: DateTime<Utc>,
) -> anyhow::Result<Recovered> {
    let text = break_glass::random_password()?;
    let password = Password::parse(text.expose_secret())?;
    let hash = state.hasher.hash(&password).await?;
    let mut tx = Tx::begin(state, &Scope::System).await?;
    let is_new = matches!(whom, Whom::New(_));
    let user = match whom {
        Whom::New(email) => insert(state, &tx, &email, hash).await?,
        Whom::User(user) => readmit(state, &mut tx, *user, hash).await?,
    };
    let by: Authority<'_, UpdateUser> = Authority::of_shell(shell, steps::user(user.id));
    give_role(state, &mut tx, &by, &user, expires_at).await?;
    let (clock, details) = (
        &*state.clock,
        json!({ "expires_at": expires_at, "new": is_new }),
    );
    activity::record_by_other(
        &*tx,
        clock,
        by.origin(),
        user.id,
        "recovered",
        details.clone(),
    )
    .await?;
    let entry = Entry {
        doer: by.doer(),
        action: "user.recovered",
        target: Target::global("user", user.id),
        details,
    };
    audit::record(&*tx, clock, by.origin(), entry).await?;
    tx.changed(Change::User(user.id));
    tx.commit().await?;
    tracing::warn!(user_id = %user.id, %expires_at, is_new, "break-glass access was given at the command line");
    Ok(Recovered {
        id: user.id,
        email: user.email,
        password: text,
        expires_at,
    })
}

async fn insert(
    state: &AppState,
    tx: &Tx<'_>,
    email: &Email,
    hash: String,
) -> Result<user::Model, AdminError> {
    let now = state.clock.now();
    let row = user::ActiveModel {
        id: Set(Uuid::now_v7()),
        email: Set(email.to_string()),
        email_normalized: Set(normalized(email)),
        password_hash: Set(Some(hash)),
        password_must_change: Set(true),
        password_changed_at: Set(Some(now)),
        display_name: Set(Some("Break-glass administrator".to_owned())),
        metadata: Set(json!({})),
        attributes: Set(json!({})),
        status: Set("active".to_owned()),
        break_glass: Set(true),
        approved_at: Set(Some(now)),
        created_at: Set(now),
        updated_at: Set(now),
        version: Set(1),
        ..Default::default()
    };
    Ok(row.insert(&**tx).await?)
}

/// Gives a user another password, opens the account and lifts the lock. What was opened before
/// ends: nobody knows who opened it.
async fn readmit(
    state: &AppState,
    tx: &mut Tx<'_>,
    user: user::Model,
    hash: String,
) -> Result<user::Model, AdminError> {
    let (id, now) = (user.id, state.clock.now());
    let mut row = steps::next_version(user, state);
    row.password_hash = Set(Some(hash));
    row.password_must_change = Set(true);
    row.password_changed_at = Set(Some(now));
    row.status = Set("active".to_owned());
    row.enabled_at = Set(Some(now));
    row.locked_down_at = Set(None);
    let user = row.update(&**tx).await?;
    throttle::forgive(&**tx, id, now).await?;
    credentials::changed(tx, state, id, None, "recovered").await?;
    Ok(user)
}

/// Gives the role for the time. Who has it for longer, or for good, keeps it so.
async fn give_role(
    state: &AppState,
    tx: &mut Tx<'_>,
    by: &Authority<'_, UpdateUser>,
    user: &user::Model,
    expires_at: DateTime<Utc>,
) -> Result<(), AdminError> {
    let role = system_role(tx, ROLE).await?;
    if let Some(row) = held(tx, user.id, &role).await? {
        if row.expires_at.is_none_or(|end| end >= expires_at) {
            return Ok(());
        }
        let written = Written {
            row: &row,
            role: &role,
            principal: Principal::user(user.id).into(),
            resource: ResourceRef::SYSTEM.into(),
        };
        service::withdraw(state, tx, by.doer(), by.origin(), &written).await?;
    }
    let giving = Giving {
        principal: Principal::user(user.id).into(),
        role: &role,
        spot: ResourceRef::SYSTEM.into(),
        organization_id: None,
        granted_by: None,
        reason: Some("gatepost admin recover".to_owned()),
        expires_at: Some(expires_at),
    };
    service::give(state, tx, by.doer(), by.origin(), giving).await?;
    Ok(())
}

/// Closes break-glass accounts whose role has ended. One that never had an end stays.
///
/// # Errors
///
/// The database's.
pub async fn close_expired(state: &AppState) -> Result<(), sea_orm::DbErr> {
    const ENDED: &str = "EXISTS (SELECT 1 FROM user_role_assignments a WHERE a.user_id = users.id \
             AND a.resource_type = 'system' AND a.expires_at <= $1) \
         AND NOT EXISTS (SELECT 1 FROM user_role_assignments a WHERE (a.user_id = users.id \
             OR a.group_id IN (SELECT m.group_id FROM group_members m WHERE m.user_id = users.id)) \
             AND (a.expires_at IS NULL OR a.expires_at > $1))";
    let now = state.clock.now();
    let mut tx = Tx::begin(state, &Scope::System).await?;
    let ended = user::Entity::find()
        .filter(user::Column::BreakGlass.eq(true))
        .filter(user::Column::Status.eq("active"))
        .filter(Expr::cust_with_values(ENDED, [now]))
        .lock_exclusive()
        .all(&*tx)
        .await?;
    for user in ended {
        let id = user.id;
        let mut row = steps::next_version(user, state);
        row.status = Set("disabled".to_owned());
        row.update(&*tx).await?;
        sessions::service::end(&mut tx, state, id, Which::All, "user_disabled").await?;
        devices::forget(&*tx, id, now).await?;
        let origin = Origin::program("recovery");
        let details = json!({ "reason": "break-glass access has ended" });
        let entry = Entry {
            doer: Doer::Program,
            action: "user.disabled",
            target: Target::global("user", id),
            details,
        };
        audit::record(&*tx, &*state.clock, &origin, entry).await?;
        tx.changed(Change::User(id));
    }
    tx.commit().await
}
