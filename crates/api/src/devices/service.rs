//! The use cases of devices. Transactions begin and end here.

use chrono::{DateTime, Utc};
use entity::user;
use sea_orm::{ConnectionTrait, DbErr};
use serde_json::json;
use uuid::Uuid;

use super::{
    agent::Agent,
    model::{DeviceError, RevokeOwn},
    repo,
};
use crate::{
    access::{actor::Principal, permit::Permit},
    activity,
    audit::{self, Doer, Entry, Target},
    crypto::token::{Token, TokenKind},
    database::tx::Tx,
    http::{origin::Origin, text::Name},
    mail::{self, Message},
    recovery::lockdown,
    sessions,
    state::AppState,
};

/// Whether `device_token` is a trusted device of this user now. To be asked after the password
/// was right; what it takes the place of is the second factor.
///
/// # Errors
///
/// The database's.
pub async fn trusted(state: &AppState, user_id: Uuid, device_token: &str) -> Result<bool, DbErr> {
    match Token::parse(TokenKind::Device, device_token) {
        Some(token) => repo::use_token(&state.db, user_id, &token, state.clock.now()).await,
        None => Ok(false),
    }
}

/// Trusts the device at `origin` for `TRUSTED_DEVICE_TTL`, in the transaction of the login that
/// proved a second factor on it. The token is for the device alone; only its hash is kept.
///
/// # Errors
///
/// The database's.
pub async fn trust(
    tx: &Tx<'_>,
    state: &AppState,
    origin: &Origin,
    user_id: Uuid,
    name: Option<&Name>,
) -> Result<Token, DbErr> {
    let now = state.clock.now();
    let token = Token::generate(TokenKind::Device);
    let agent = Agent::read(origin.user_agent.as_deref());
    let name = name.map_or_else(|| agent.to_string(), ToString::to_string);
    let (id, until) = (
        Uuid::now_v7(),
        now + state.config.sessions.trusted_device_ttl,
    );
    let details = json!({ "device_id": id, "name": &name, "trusted_until": until });
    repo::insert_trusted(&**tx, id, user_id, &token, name, until, (origin, now)).await?;
    record(
        tx,
        state,
        origin,
        user_id,
        None,
        ("device_trusted", "device.trusted"),
        details,
    )
    .await?;
    Ok(token)
}

/// Notes on which device a session is opened, in the transaction that opens it. Returns whether
/// the user was told of a new one, so that mail has to be woken after the commit.
///
/// `user` is as it was before this login: nobody is told of the first device.
///
/// # Errors
///
/// The database's.
pub async fn seen(
    tx: &Tx<'_>,
    state: &AppState,
    origin: &Origin,
    user: &user::Model,
    session_id: Uuid,
) -> Result<bool, DbErr> {
    let now = state.clock.now();
    let (device_id, is_new) = repo::note(&**tx, user.id, origin, now).await?;
    repo::link(&**tx, session_id, device_id).await?;
    if !is_new || user.last_login_at.is_none() {
        return Ok(false);
    }
    let device = Agent::read(origin.user_agent.as_deref()).to_string();
    let (clock, session) = (&*state.clock, Some(session_id));
    let details = json!({ "device": &device });
    activity::record(
        &**tx,
        clock,
        origin,
        user.id,
        session,
        "new_device",
        details,
    )
    .await?;
    let message = Message::NewDevice {
        device,
        address: origin.ip.to_string(),
        at: now,
        lockdown: lockdown::link(tx, state, user.id).await?,
    };
    mail::notify(tx, state, &user.email, user.locale.as_deref(), message).await?;
    Ok(true)
}

/// Ends the trust in all devices of a user, in the transaction of what is the reason.
///
/// # Errors
///
/// The database's.
pub async fn forget(
    txn: &impl ConnectionTrait,
    user_id: Uuid,
    now: DateTime<Utc>,
) -> Result<(), DbErr> {
    repo::revoke(txn, user_id, None, now).await?;
    Ok(())
}

/// Ends the trust in one own device.
///
/// # Errors
///
/// [`DeviceError::NotFound`] if the caller trusts no such device.
pub async fn revoke_own(
    state: &AppState,
    permit: &Permit<RevokeOwn>,
    id: Uuid,
) -> Result<(), DeviceError> {
    let user_id = permit.id();
    let tx = Tx::begin(state, &sessions::service::scope(user_id)).await?;
    if repo::revoke(&*tx, user_id, Some(id), state.clock.now()).await? == 0 {
        return Err(DeviceError::NotFound);
    }
    let session = permit.actor().session_id();
    let (kinds, details) = (
        ("device_revoked", "device.revoked"),
        json!({ "device_id": id }),
    );
    record(
        &tx,
        state,
        permit.origin(),
        user_id,
        session,
        kinds,
        details,
    )
    .await?;
    tx.commit().await?;
    Ok(())
}

async fn record(
    tx: &Tx<'_>,
    state: &AppState,
    origin: &Origin,
    user_id: Uuid,
    session: Option<Uuid>,
    (kind, action): (&'static str, &'static str),
    details: serde_json::Value,
) -> Result<(), DbErr> {
    let clock = &*state.clock;
    activity::record(
        &**tx,
        clock,
        origin,
        user_id,
        session,
        kind,
        details.clone(),
    )
    .await?;
    let entry = Entry {
        doer: Doer::Principal(Principal::user(user_id), session),
        action,
        target: Target::global("user", user_id),
        details,
    };
    audit::record(&**tx, clock, origin, entry).await
}
