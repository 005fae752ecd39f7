//! The use cases of login. Transactions begin and end here.

use actix_web::cookie::time::Duration;
use chrono::TimeDelta;
use entity::user;
use sea_orm::{
    ActiveModelTrait, ActiveValue::Set, ColumnTrait, EntityTrait, IntoActiveModel, QueryFilter,
    sea_query::Expr,
};
use secrecy::ExposeSecret;
use serde_json::json;

use super::{
    model::{ChangePassword, Login, LoginAnswer, LoginError, PasswordChangeRequired},
    throttle::{self, Key},
};
use crate::{
    access::{actor::Principal, cache::Change},
    activity,
    audit::{self, Doer, Entry, Target},
    crypto::{
        password::Password,
        token::{Token, TokenKind},
    },
    database::tx::Tx,
    http::{origin::Origin, text::normalized},
    one_time,
    sessions::{self, cookie},
    state::AppState,
    users::{self, credentials, gate},
};

/// How long a password change token is good.
const CHANGE_TTL: TimeDelta = TimeDelta::minutes(10);

/// An answer, and the cookie that goes with it.
pub struct Outcome {
    /// The body.
    pub answer: LoginAnswer,
    /// The session's token, and how long the browser keeps it if longer than its own session.
    pub cookie: Option<(Token, Option<Duration>)>,
}

impl From<LoginAnswer> for Outcome {
    fn from(answer: LoginAnswer) -> Self {
        Self {
            answer,
            cookie: None,
        }
    }
}

/// Logs in. Unknown and known logins take the same way and the same time.
///
/// # Errors
///
/// See [`LoginError`].
pub async fn login(state: &AppState, origin: &Origin, login: Login) -> Result<Outcome, LoginError> {
    // Taken before any work is done, so that a storm is turned away at no cost.
    let _slot = state
        .login_slots
        .try_acquire()
        .map_err(|_| LoginError::Busy)?;
    let password = Password::parse(login.password.expose_secret());
    let name = normalized(&login.login);
    let user = match login.login.len() {
        1..=254 => users::repo::find_by_login(&state.db, &login.login).await?,
        _ => None,
    };
    let limits = &state.config.throttle;
    let keys = [
        user.as_ref()
            .map_or_else(|| Key::unknown(&name), |user| Key::account(user.id)),
        Key::login_and_address(&name, origin.ip, limits.per_account_and_address),
        Key::address(origin.ip, limits.per_address),
    ];
    throttle::admit(state, &keys)
        .await?
        .map_err(|seconds| LoginError::Throttled { seconds })?;
    let password = password.map_err(|_| LoginError::InvalidCredentials)?;
    let stored = user.as_ref().and_then(|user| user.password_hash.as_deref());
    let verification = state.hasher.verify(&password, stored).await?;
    let Some(user) = user.as_ref().filter(|_| verification.matches) else {
        note_failure(state, origin, user.as_ref()).await?;
        return Err(LoginError::InvalidCredentials);
    };
    gate::admit(user)?;
    if user.password_must_change {
        return Ok(require_change(state, origin, user).await?.into());
    }
    let rehashed = if verification.outdated {
        Some(state.hasher.hash(&password).await?)
    } else {
        None
    };
    open(state, origin, user, &login, rehashed).await
}

/// Opens the session and writes down that it happened.
async fn open(
    state: &AppState,
    origin: &Origin,
    user: &user::Model,
    login: &Login,
    rehashed: Option<String>,
) -> Result<Outcome, LoginError> {
    let tx = Tx::begin(state, &sessions::service::scope(user.id)).await?;
    let opened = enter(&tx, state, origin, user, login.remember, rehashed).await?;
    tx.commit().await?;
    let answer = sessions::service::answer(state, &opened, user, login.cookie)?;
    let lifetime = cookie::lifetime(answer.refresh_expires_in);
    Ok(Outcome {
        answer: LoginAnswer::Authenticated(Box::new(answer)),
        cookie: login
            .cookie
            .then_some((opened.cookie, login.remember.then_some(lifetime))),
    })
}

/// What every successful login does, in one transaction.
async fn enter(
    tx: &Tx<'_>,
    state: &AppState,
    origin: &Origin,
    user: &user::Model,
    remember: bool,
    rehashed: Option<String>,
) -> Result<sessions::service::Opened, LoginError> {
    let now = state.clock.now();
    let login = sessions::service::Login {
        user,
        amr: vec!["pwd".to_owned()],
        remember,
        origin,
    };
    let opened = sessions::service::open(tx, state, login).await?;
    let mut row = user::Entity::update_many()
        .col_expr(user::Column::LastLoginAt, Expr::value(now))
        // The user may have been disabled, or the password changed, since they were read.
        .filter(user::Column::Id.eq(user.id))
        .filter(user::Column::Status.eq("active"))
        .filter(user::Column::PasswordHash.eq(user.password_hash.clone()));
    if let Some(hash) = rehashed {
        row = row.col_expr(user::Column::PasswordHash, Expr::value(hash));
    }
    if row.exec(&**tx).await?.rows_affected != 1 {
        return Err(LoginError::InvalidCredentials);
    }
    throttle::forgive(&**tx, user.id, now).await?;
    let details = json!({ "amr": ["pwd"] });
    activity::record(
        &**tx,
        &*state.clock,
        origin,
        user.id,
        Some(opened.id),
        "login",
        details.clone(),
    )
    .await?;
    let entry = Entry {
        doer: Doer::Principal(Principal::user(user.id), Some(opened.id)),
        action: "session.opened",
        target: Target::global("user", user.id),
        details,
    };
    audit::record(&**tx, &*state.clock, origin, entry).await?;
    Ok(opened)
}

async fn note_failure(
    state: &AppState,
    origin: &Origin,
    user: Option<&user::Model>,
) -> Result<(), LoginError> {
    let details = json!({ "amr": ["pwd"] });
    let scope = sessions::service::scope(user.map(|user| user.id).unwrap_or_default());
    let tx = Tx::begin(state, &scope).await?;
    if let Some(user) = user {
        activity::record(
            &*tx,
            &*state.clock,
            origin,
            user.id,
            None,
            "login_failed",
            details.clone(),
        )
        .await?;
    }
    let entry = Entry {
        doer: Doer::Anonymous,
        action: "session.login_failed",
        target: Target {
            kind: "user",
            id: user.map(|user| user.id.to_string()),
            organization_id: None,
        },
        details,
    };
    audit::record(&*tx, &*state.clock, origin, entry).await?;
    tx.commit().await?;
    Ok(())
}

async fn require_change(
    state: &AppState,
    origin: &Origin,
    user: &user::Model,
) -> Result<LoginAnswer, LoginError> {
    let now = state.clock.now();
    let tx = Tx::begin(state, &sessions::service::scope(user.id)).await?;
    let kind = TokenKind::PasswordChange;
    let token = one_time::issue(&tx, state, kind, user.id, json!({}), CHANGE_TTL).await?;
    throttle::forgive(&*tx, user.id, now).await?;
    activity::record(
        &*tx,
        &*state.clock,
        origin,
        user.id,
        None,
        "password_change_required",
        json!({}),
    )
    .await?;
    let entry = Entry {
        doer: Doer::Principal(Principal::user(user.id), None),
        action: "user.password_change_required",
        target: Target::global("user", user.id),
        details: json!({}),
    };
    audit::record(&*tx, &*state.clock, origin, entry).await?;
    tx.commit().await?;
    Ok(LoginAnswer::PasswordChangeRequired(
        PasswordChangeRequired {
            status: "password_change_required",
            password_change_token: token.expose().to_owned(),
        },
    ))
}

/// Sets the new password that a login demanded, ends what was there before, and logs in.
///
/// # Errors
///
/// [`LoginError::InvalidToken`], or the rule that the password breaks; the token is good
/// for another try then.
pub async fn change_password(
    state: &AppState,
    origin: &Origin,
    change: ChangePassword,
) -> Result<Outcome, LoginError> {
    let _slot = state
        .login_slots
        .try_acquire()
        .map_err(|_| LoginError::Busy)?;
    let now = state.clock.now();
    let (kind, text) = (TokenKind::PasswordChange, &change.password_change_token);
    let row = one_time::find(&state.db, state, kind, text)
        .await?
        .ok_or(LoginError::InvalidToken)?;
    let user = users::service::read(state, row.user_id).await?;
    gate::admit(&user)?;
    let (email, username) = (user.email.clone(), user.username.clone());
    let new =
        users::service::check_new(state, change.new_password, &email, username.as_deref()).await?;
    if state
        .hasher
        .verify(&new, user.password_hash.as_deref())
        .await?
        .matches
    {
        return Err(LoginError::User(users::model::UserError::SamePassword));
    }
    let hash = state.hasher.hash(&new).await?;
    let mut tx = Tx::begin(state, &sessions::service::scope(user.id)).await?;
    one_time::consume(&tx, state, kind, text)
        .await?
        .ok_or(LoginError::InvalidToken)?;
    let version = user.version;
    let mut row = user.into_active_model();
    row.password_hash = Set(Some(hash));
    row.password_must_change = Set(false);
    row.password_changed_at = Set(Some(now));
    row.updated_at = Set(now);
    row.version = Set(version + 1);
    let user = row.update(&*tx).await?;
    credentials::changed(&mut tx, state, user.id, None, "password_changed").await?;
    activity::record(
        &*tx,
        &*state.clock,
        origin,
        user.id,
        None,
        "password_changed",
        json!({}),
    )
    .await?;
    let opened = enter(&tx, state, origin, &user, false, None).await?;
    let entry = Entry {
        doer: Doer::Principal(Principal::user(user.id), Some(opened.id)),
        action: "user.password_changed",
        target: Target::global("user", user.id),
        details: json!({ "forced": true }),
    };
    audit::record(&*tx, &*state.clock, origin, entry).await?;
    tx.changed(Change::User(user.id));
    tx.commit().await?;
    let answer = sessions::service::answer(state, &opened, &user, false)?;
    Ok(LoginAnswer::Authenticated(Box::new(answer)).into())
}
