//! The one way in. Password, forced change, second factor, enrolment and passkey all end in
//! [`advance`], which asks the gate, decides what is still missing, opens the session and writes down
//! that it did.

use actix_web::cookie::time::Duration;
use chrono::TimeDelta;
use entity::user;
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, sea_query::Expr};
use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

use super::model::{LoginAnswer, LoginError, PasswordChangeRequired};
use crate::{
    access::actor::Principal,
    activity,
    audit::{self, Doer, Entry, Target},
    config::MfaRequired,
    crypto::token::{Token, TokenKind},
    database::tx::Tx,
    http::origin::Origin,
    mfa::{self, model::Factor},
    one_time,
    sessions::{self, cookie, service::Opened},
    state::AppState,
    users::{self, gate},
};

/// How long a password change token is good.
const CHANGE_TTL: TimeDelta = TimeDelta::minutes(10);

/// How far a login has come, and what it asked for at its beginning. It is kept with the tokens that
/// stand for a login that waits, so the end of it is bound to its beginning.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// What was proven (RFC 8176).
    pub amr: Vec<String>,
    /// The strongest that it was proven with.
    pub factor: Factor,
    /// Whether no second factor is asked for any more: one was proven, the device is trusted, or the
    /// first proof was as good as two.
    pub complete: bool,
    /// Keep the session for `SESSION_REMEMBER_TTL`.
    pub remember: bool,
    /// Put the session into a cookie and no token into the body.
    pub cookie: bool,
}

impl Progress {
    /// The password was right.
    pub fn password(remember: bool, cookie: bool) -> Self {
        Self {
            amr: vec!["pwd".to_owned()],
            factor: Factor::Password,
            complete: false,
            remember,
            cookie,
        }
    }

    /// A second factor was right, too, by these methods.
    #[must_use]
    pub fn with(mut self, factor: Factor, methods: &[&str]) -> Self {
        add_methods(&mut self.amr, methods);
        self.factor = self.factor.max(factor);
        self.complete = true;
        self
    }
}

/// Adds methods to those of a session, each once.
pub fn add_methods(amr: &mut Vec<String>, methods: &[&str]) {
    for method in methods {
        if !amr.iter().any(|known| known == method) {
            amr.push((*method).to_owned());
        }
    }
}

/// An answer, and the cookie that goes with it.
pub struct Outcome {
    /// The body.
    pub answer: LoginAnswer,
    /// The session's token, and how long the browser keeps it if longer than its own session.
    pub cookie: Option<(Token, Option<Duration>)>,
}

/// What a step of a login led to.
pub enum Advance {
    /// A session.
    Opened(Box<Opened>),
    /// Something that has to be done first.
    Waits(LoginAnswer),
}

impl Advance {
    /// The session that was opened.
    pub fn session_id(&self) -> Option<Uuid> {
        match self {
            Self::Opened(opened) => Some(opened.id),
            Self::Waits(_) => None,
        }
    }
}

/// Takes a login a step on, in the transaction of the proof that was given last. `user` was read in
/// it and is locked, so nothing decided here changes before the session is there.
///
/// What is missing is asked for in this order: the second factor, so that nobody gets further with a
/// stolen password; a new password; a second factor for those who must have one. Wake the outbox
/// after the commit: a mail may tell of a new device.
///
/// # Errors
///
/// [`LoginError::Refused`] by the gate, or the database's.
pub async fn advance(
    tx: &Tx<'_>,
    state: &AppState,
    origin: &Origin,
    user: &user::Model,
    progress: &Progress,
) -> Result<Advance, LoginError> {
    gate::admit(user)?;
    let kinds = mfa::repo::kinds(&**tx, user.id).await?;
    let is_asked = !kinds.is_empty() && !progress.complete;
    if is_asked {
        let pending = mfa::pending::begin(tx, state, origin, user, kinds, progress).await?;
        return Ok(Advance::Waits(LoginAnswer::Pending(pending)));
    }
    if user.password_must_change {
        let answer = require_change(tx, state, origin, user, progress).await?;
        return Ok(Advance::Waits(answer));
    }
    if kinds.is_empty() && must_have_factor(tx, state, user.id).await? {
        let pending = mfa::pending::begin(tx, state, origin, user, kinds, progress).await?;
        return Ok(Advance::Waits(LoginAnswer::Pending(pending)));
    }
    let opened = enter(tx, state, origin, user, progress).await?;
    Ok(Advance::Opened(Box::new(opened)))
}

/// Whether `MFA_REQUIRED`, or an organization that the user holds a role in, asks this user for a
/// second factor.
///
/// # Errors
///
/// The database's.
pub async fn must_have_factor(
    tx: &Tx<'_>,
    state: &AppState,
    user_id: Uuid,
) -> Result<bool, sea_orm::DbErr> {
    let now = state.clock.now();
    let by_setting = match state.config.mfa_required {
        MfaRequired::Off => false,
        MfaRequired::All => true,
        MfaRequired::Admins => {
            let roles = sessions::repo::system_roles(&**tx, user_id, now).await?;
            !roles.is_empty()
        }
    };
    Ok(by_setting || mfa::repo::organization_requires(&**tx, user_id, now).await?)
}

/// The answer, once what [`advance`] did is committed.
///
/// # Errors
///
/// [`LoginError::Session`] if no token can be signed.
pub fn finish(
    state: &AppState,
    user: &user::Model,
    progress: &Progress,
    advance: Advance,
) -> Result<Outcome, LoginError> {
    let opened = match advance {
        Advance::Opened(opened) => opened,
        Advance::Waits(answer) => {
            return Ok(Outcome {
                answer,
                cookie: None,
            });
        }
    };
    let answer = sessions::service::answer(state, &opened, user, progress.cookie)?;
    let lifetime = cookie::lifetime(answer.refresh_expires_in);
    Ok(Outcome {
        answer: LoginAnswer::Authenticated(Box::new(answer)),
        cookie: opened
            .cookie
            .map(|cookie| (cookie, opened.is_remembered.then_some(lifetime))),
    })
}

/// Opens the session.
async fn enter(
    tx: &Tx<'_>,
    state: &AppState,
    origin: &Origin,
    user: &user::Model,
    progress: &Progress,
) -> Result<Opened, LoginError> {
    let now = state.clock.now();
    let login = sessions::service::Login {
        user,
        amr: progress.amr.clone(),
        factor: progress.factor,
        remember: progress.remember,
        cookie: progress.cookie,
        origin,
    };
    let opened = sessions::service::open(tx, state, login).await?;
    user::Entity::update_many()
        .col_expr(user::Column::LastLoginAt, Expr::value(now))
        .filter(user::Column::Id.eq(user.id))
        .exec(&**tx)
        .await?;
    let details = json!({ "amr": progress.amr });
    let (clock, session) = (&*state.clock, Some(opened.id));
    activity::record(
        &**tx,
        clock,
        origin,
        user.id,
        session,
        "login",
        details.clone(),
    )
    .await?;
    let entry = Entry {
        doer: Doer::Principal(Principal::user(user.id), session),
        action: "session.opened",
        target: Target::global("user", user.id),
        details,
    };
    audit::record(&**tx, clock, origin, entry).await?;
    Ok(opened)
}

async fn require_change(
    tx: &Tx<'_>,
    state: &AppState,
    origin: &Origin,
    user: &user::Model,
    progress: &Progress,
) -> Result<LoginAnswer, LoginError> {
    let (kind, payload) = (TokenKind::PasswordChange, json!(progress));
    let token = one_time::issue(tx, state, kind, user.id, payload, CHANGE_TTL).await?;
    let (clock, kind) = (&*state.clock, "password_change_required");
    activity::record(&**tx, clock, origin, user.id, None, kind, json!({})).await?;
    let entry = Entry {
        doer: Doer::Principal(Principal::user(user.id), None),
        action: "user.password_change_required",
        target: Target::global("user", user.id),
        details: json!({}),
    };
    audit::record(&**tx, clock, origin, entry).await?;
    Ok(LoginAnswer::PasswordChangeRequired(
        PasswordChangeRequired {
            status: "password_change_required",
            password_change_token: token.expose().to_owned(),
        },
    ))
}

/// The user of a login, locked until the transaction ends.
///
/// # Errors
///
/// [`LoginError::InvalidToken`] if they are gone.
pub async fn locked(tx: &Tx<'_>, user_id: Uuid) -> Result<user::Model, LoginError> {
    users::repo::find_for_update(&**tx, user_id)
        .await?
        .ok_or(LoginError::InvalidToken)
}
