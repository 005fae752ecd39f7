//! The use cases of sessions. Transactions begin and end here.

use chrono::{DateTime, TimeDelta, Utc};
use entity::{session, user};
use sea_orm::{ActiveValue::Set, DbErr, EntityTrait};
use serde_json::json;
use uuid::Uuid;

use super::{
    model::{EndOwn, SessionError, TokenAnswer},
    repo::{self, Family, Which},
};
use crate::{
    access::{actor::Principal, cache::Change, permit::Permit},
    activity,
    audit::{self, Doer, Entry, Target},
    crypto::{
        keys::AccessClaims,
        token::{Token, TokenKind},
    },
    database::tx::{Scope, Tx},
    devices,
    http::origin::Origin,
    mail::{self, Message},
    mfa::model::Factor,
    recovery::lockdown,
    state::AppState,
    users::model::UserView,
};

/// The console of someone with a role on the system ends when it was not used for this long
/// (NIST SP 800-63B-4, section 2.3.3),
const CONSOLE_IDLE: TimeDelta = TimeDelta::minutes(15);
/// and after this time in any case.
const CONSOLE_MAX: TimeDelta = TimeDelta::hours(12);

/// A login that succeeded.
pub struct Login<'a> {
    /// Who logged in.
    pub user: &'a user::Model,
    /// How (RFC 8176): such as `pwd`.
    pub amr: Vec<String>,
    /// The strongest that it was proven with.
    pub factor: Factor,
    /// Whether the session lives for `SESSION_REMEMBER_TTL`.
    pub remember: bool,
    /// Whether a browser keeps it in a cookie.
    pub cookie: bool,
    /// From where.
    pub origin: &'a Origin,
}

/// What [`open`] brings: the tokens exist nowhere else.
pub struct Opened {
    /// The session.
    pub id: Uuid,
    /// Its first refresh token.
    pub refresh: Token,
    /// Its cookie's value, if it is kept in one.
    pub cookie: Option<Token>,
    /// Whether the browser is to keep the cookie when it is closed.
    pub is_remembered: bool,
    /// Roles for the access token.
    roles: Vec<String>,
    auth_time: DateTime<Utc>,
    ends_at: DateTime<Utc>,
    amr: Vec<String>,
    /// Whether the user was told of a new device.
    is_noticed: bool,
}

/// The scope in which sessions are handled: no tenant's rows but the user's own roles.
pub fn scope(user_id: Uuid) -> Scope {
    Scope::Member(user_id, Vec::new())
}

/// Opens a session, in the transaction of the login.
pub async fn open(tx: &Tx<'_>, state: &AppState, login: Login<'_>) -> Result<Opened, DbErr> {
    let now = state.clock.now();
    let roles = repo::system_roles(&**tx, login.user.id, now).await?;
    // Who finds an administrator's console open could do the most with it.
    let is_console = login.cookie && !roles.is_empty();
    let is_remembered = login.remember && !is_console;
    let (idle, longest) = lifetimes(state, is_remembered, is_console);
    let id = Uuid::now_v7();
    let cookie = login.cookie.then(|| Token::generate(TokenKind::Session));
    let expires_at = now + longest;
    let idle_expires_at = (now + idle).min(expires_at);
    let row = session::ActiveModel {
        id: Set(id),
        user_id: Set(login.user.id),
        created_at: Set(now),
        last_used_at: Set(now),
        idle_expires_at: Set(idle_expires_at),
        expires_at: Set(expires_at),
        auth_time: Set(now),
        amr: Set(login.amr.clone()),
        auth_factor: Set(login.factor.as_str().to_owned()),
        ip: Set(Some(login.origin.network())),
        user_agent: Set(login.origin.user_agent.as_deref().map(ToOwned::to_owned)),
        remember: Set(login.remember),
        idle_seconds: Set(seconds(idle)),
        cookie_hash: Set(cookie.as_ref().map(|cookie| cookie.hash().to_vec())),
        ..Default::default()
    };
    session::Entity::insert(row)
        .exec_without_returning(&**tx)
        .await?;
    let refresh = Token::generate(TokenKind::Refresh);
    let nonce = Token::generate(TokenKind::Refresh).hash();
    repo::insert_token(
        &**tx,
        Uuid::now_v7(),
        id,
        login.user.id,
        &refresh,
        &nonce,
        now,
    )
    .await?;
    let is_noticed = devices::seen(tx, state, login.origin, login.user, id).await?;
    state.seen.note(login.user.id, now);
    Ok(Opened {
        id,
        refresh,
        cookie,
        is_remembered,
        roles,
        auth_time: now,
        ends_at: idle_expires_at,
        amr: login.amr,
        is_noticed,
    })
}

/// The answer to a login, after its commit.
///
/// # Errors
///
/// [`SessionError::Signing`] if no token can be signed.
pub fn answer(
    state: &AppState,
    opened: &Opened,
    user: &user::Model,
    in_cookie: bool,
) -> Result<TokenAnswer, SessionError> {
    if opened.is_noticed {
        state.mail.wake();
    }
    let access = Access {
        session_id: opened.id,
        user_id: user.id,
        auth_time: opened.auth_time,
        amr: opened.amr.clone(),
        roles: opened.roles.clone(),
    };
    let signed = sign(state, access)?;
    let kept = |token: String| (!in_cookie).then_some(token);
    Ok(TokenAnswer {
        status: "authenticated",
        access_token: kept(signed),
        token_type: "Bearer",
        expires_in: state.config.sessions.access_ttl.num_seconds(),
        refresh_token: kept(opened.refresh.expose().to_owned()),
        refresh_expires_in: (opened.ends_at - opened.auth_time).num_seconds(),
        session_id: opened.id,
        device_token: None,
        recovery_codes: None,
        user: UserView::from(user.clone()),
    })
}

/// Takes a refresh token and gives the next pair.
///
/// The successor is derived from the token that was sent, so a client that
/// lost the answer gets the same one again, for `REFRESH_REUSE_GRACE` and as
/// long as it was not used itself. Any other second use ends the session: one
/// of the two users of the token has stolen it (RFC 9700, section 4.14).
///
/// # Errors
///
/// [`SessionError::InvalidToken`], [`SessionError::Reused`].
pub async fn refresh(
    state: &AppState,
    origin: &Origin,
    text: &str,
) -> Result<TokenAnswer, SessionError> {
    let token = Token::parse(TokenKind::Refresh, text).ok_or(SessionError::InvalidToken)?;
    let now = state.clock.now();
    let mut tx = Tx::begin(state, &Scope::System).await?;
    let family = repo::family(&*tx, &token.hash())
        .await?
        .ok_or(SessionError::InvalidToken)?;
    let is_live = family.revoked_at.is_none()
        && family.is_of_this_epoch
        && family.expires_at > now
        && family.idle_expires_at > now
        && family.status == "active";
    if !is_live {
        return Err(SessionError::InvalidToken);
    }
    let successor = Token::successor(
        &token,
        &family.nonce,
        &state.sealer.derive("refresh-successor"),
    );
    if let Some(used_at) = family.used_at {
        let again = now - used_at <= state.config.sessions.reuse_grace
            && family.successor_used == Some(false);
        if !again {
            end_for_reuse(&mut tx, state, origin, &family).await?;
            tx.commit().await?;
            state.mail.wake();
            return Err(SessionError::Reused);
        }
    } else {
        let id = Uuid::now_v7();
        if !repo::consume_token(&*tx, family.token_id, id, now).await? {
            return Err(SessionError::InvalidToken);
        }
        let nonce = Token::generate(TokenKind::Refresh).hash();
        repo::insert_token(
            &*tx,
            id,
            family.session_id,
            family.user_id,
            &successor,
            &nonce,
            now,
        )
        .await?;
    }
    let idle = TimeDelta::seconds(family.idle_seconds.into());
    let ends_at = (now + idle).min(family.expires_at);
    repo::touch(&*tx, family.session_id, now).await?;
    let roles = repo::system_roles(&*tx, family.user_id, now).await?;
    let user = user::Entity::find_by_id(family.user_id).one(&*tx).await?;
    let user = user.ok_or(SessionError::InvalidToken)?;
    tx.changed(Change::Session(family.session_id));
    tx.commit().await?;
    state.seen.note(family.user_id, now);
    let access = Access {
        session_id: family.session_id,
        user_id: family.user_id,
        auth_time: family.auth_time,
        amr: family.amr,
        roles,
    };
    Ok(TokenAnswer {
        status: "authenticated",
        access_token: Some(sign(state, access)?),
        token_type: "Bearer",
        expires_in: state.config.sessions.access_ttl.num_seconds(),
        refresh_token: Some(successor.expose().to_owned()),
        refresh_expires_in: (ends_at - now).num_seconds(),
        session_id: family.session_id,
        device_token: None,
        recovery_codes: None,
        user: UserView::from(user),
    })
}

async fn end_for_reuse(
    tx: &mut Tx<'_>,
    state: &AppState,
    origin: &Origin,
    family: &Family,
) -> Result<(), DbErr> {
    end(
        tx,
        state,
        family.user_id,
        Which::Only(family.session_id),
        "refresh_token_reused",
    )
    .await?;
    let details = json!({ "session_id": family.session_id });
    activity::record(
        &**tx,
        &*state.clock,
        origin,
        family.user_id,
        Some(family.session_id),
        "refresh_token_reused",
        details.clone(),
    )
    .await?;
    let entry = Entry {
        doer: Doer::Anonymous,
        action: "session.revoked_for_reuse",
        target: Target::global("user", family.user_id),
        details,
    };
    audit::record(&**tx, &*state.clock, origin, entry).await?;
    if let Some(user) = user::Entity::find_by_id(family.user_id).one(&**tx).await? {
        let lockdown = lockdown::link(tx, state, user.id).await?;
        let message = Message::SessionStolen { lockdown };
        mail::notify(tx, state, &user.email, user.locale.as_deref(), message).await?;
    }
    Ok(())
}

/// Ends sessions of a user, in the transaction of what is the reason. Returns how many.
pub async fn end(
    tx: &mut Tx<'_>,
    state: &AppState,
    user_id: Uuid,
    which: Which,
    reason: &'static str,
) -> Result<u64, DbErr> {
    let ended = repo::revoke(&**tx, user_id, which, reason, state.clock.now()).await?;
    for id in &ended {
        tx.changed(Change::Session(*id));
    }
    Ok(ended.len() as u64)
}

/// Ends own sessions because their user says so.
///
/// # Errors
///
/// [`SessionError::NotFound`] if one was named that is not live or not the caller's.
pub async fn end_own(
    state: &AppState,
    permit: &Permit<EndOwn>,
    which: Which,
) -> Result<u64, SessionError> {
    let user_id = permit.id();
    let mut tx = Tx::begin(state, &scope(user_id)).await?;
    let reason = match which {
        Which::Only(id) if Some(id) == permit.actor().session_id() => "logout",
        Which::Only(_) => "ended_by_user",
        Which::All | Which::AllBut(_) => "logout_all",
    };
    let ended = end(&mut tx, state, user_id, which, reason).await?;
    if ended == 0 {
        return Err(SessionError::NotFound);
    }
    let details = match which {
        Which::Only(id) => json!({ "session_id": id, "reason": reason }),
        Which::All | Which::AllBut(_) => json!({ "sessions": ended, "reason": reason }),
    };
    let session = permit.actor().session_id();
    activity::record(
        &*tx,
        &*state.clock,
        permit.origin(),
        user_id,
        session,
        reason,
        details.clone(),
    )
    .await?;
    let entry = Entry {
        doer: Doer::Principal(Principal::user(user_id), session),
        action: "session.ended",
        target: Target::global("user", user_id),
        details,
    };
    audit::record(&*tx, &*state.clock, permit.origin(), entry).await?;
    tx.commit().await?;
    Ok(ended)
}

struct Access {
    session_id: Uuid,
    user_id: Uuid,
    auth_time: DateTime<Utc>,
    amr: Vec<String>,
    roles: Vec<String>,
}

fn sign(state: &AppState, access: Access) -> Result<String, SessionError> {
    let now = state.clock.now();
    let claims = AccessClaims {
        iss: state.public_url.to_string(),
        sub: access.user_id,
        aud: state.config.tokens.audience.clone(),
        exp: (now + state.config.sessions.access_ttl).timestamp(),
        iat: now.timestamp(),
        nbf: now.timestamp(),
        jti: Uuid::now_v7().to_string(),
        sid: access.session_id,
        amr: access.amr,
        auth_time: access.auth_time.timestamp(),
        roles: access.roles,
    };
    state
        .keys
        .sign(&claims)
        .map_err(|error| SessionError::Signing(error.into()))
}

/// How long a session lives without use, and in any case.
fn lifetimes(state: &AppState, is_remembered: bool, is_console: bool) -> (TimeDelta, TimeDelta) {
    let config = &state.config.sessions;
    if is_console {
        (
            config.idle_ttl.min(CONSOLE_IDLE),
            config.max_ttl.min(CONSOLE_MAX),
        )
    } else if is_remembered {
        (config.remember_ttl, config.remember_ttl)
    } else {
        (config.idle_ttl, config.max_ttl)
    }
}

fn seconds(time: TimeDelta) -> i32 {
    i32::try_from(time.num_seconds()).unwrap_or(i32::MAX)
}
