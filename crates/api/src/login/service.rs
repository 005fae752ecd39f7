//! Login by password. Transactions begin and end here.

use entity::user;
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, sea_query::Expr};
use secrecy::ExposeSecret;
use serde_json::json;

use super::{
    grant::{self, Outcome, Progress},
    model::{Login, LoginError},
    throttle::{self, Key},
};
use crate::{
    activity,
    audit::{self, Doer, Entry, Target},
    crypto::password::Password,
    database::tx::Tx,
    devices,
    http::{origin::Origin, text::normalized},
    sessions,
    state::AppState,
    users::{self, gate},
};

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
    let is_trusted = is_trusted(state, user.as_ref(), login.device_token.as_deref()).await?;
    let limits = &state.config.throttle;
    let keys = [
        failures_of(user.as_ref(), &name, is_trusted),
        Key::login_and_address(&name, origin.ip, limits.per_account_and_address),
        Key::address(origin.ip, limits.per_address),
    ];
    throttle::admit(state, &keys)
        .await?
        .map_err(|seconds| LoginError::Throttled { seconds })?;
    let password = password.map_err(|_| LoginError::InvalidCredentials)?;
    let stored = user.as_ref().and_then(|user| user.password_hash.as_deref());
    let verification = if let Some(stored) = stored {
        state.hasher.verify(&password, Some(stored)).await?
    } else {
        // Takes the time that somebody's password takes.
        let like = state.decoys.pick(&name);
        state.hasher.verify_nobody(&password, like).await?
    };
    let Some(user) = user.as_ref().filter(|_| verification.matches) else {
        note_failure(state, origin, user.as_ref()).await?;
        return Err(LoginError::InvalidCredentials);
    };
    gate::admit(user)?;
    let rehashed = if verification.outdated {
        Some(state.hasher.hash(&password).await?)
    } else {
        None
    };
    proceed(state, origin, user, &login, is_trusted, rehashed).await
}

/// Whether the login comes from a device that the user trusts. Asks for unknown logins, too, so that
/// they take the same time.
async fn is_trusted(
    state: &AppState,
    user: Option<&user::Model>,
    device_token: Option<&str>,
) -> Result<bool, LoginError> {
    let Some(token) = device_token else {
        return Ok(false);
    };
    let user_id = user.map(|user| user.id).unwrap_or_default();
    Ok(devices::trusted(state, user_id, token).await?)
}

/// Where failures in a row of this login are counted.
fn failures_of(user: Option<&user::Model>, name: &str, is_trusted: bool) -> Key {
    match user {
        None => Key::unknown(name),
        Some(user) if is_trusted => Key::device(user.id),
        Some(user) => Key::account(user.id),
    }
}

/// What comes after the right password.
async fn proceed(
    state: &AppState,
    origin: &Origin,
    proven: &user::Model,
    login: &Login,
    is_trusted: bool,
    rehashed: Option<String>,
) -> Result<Outcome, LoginError> {
    let mut progress = Progress::password(login.remember, login.cookie);
    progress.complete = is_trusted;
    let tx = Tx::begin(state, &sessions::service::scope(proven.id)).await?;
    let user = grant::locked(&tx, proven.id).await?;
    if user.password_hash != proven.password_hash {
        // It was changed between the proof and now.
        return Err(LoginError::InvalidCredentials);
    }
    if let Some(hash) = rehashed {
        user::Entity::update_many()
            .col_expr(user::Column::PasswordHash, Expr::value(hash))
            .filter(user::Column::Id.eq(user.id))
            .exec(&*tx)
            .await?;
    }
    let key = failures_of(Some(&user), "", is_trusted);
    throttle::forgive_key(&*tx, &key, state.clock.now()).await?;
    let advance = grant::advance(&tx, state, origin, &user, &progress).await?;
    tx.commit().await?;
    state.mail.wake();
    grant::finish(state, &user, &progress, advance)
}

async fn note_failure(
    state: &AppState,
    origin: &Origin,
    user: Option<&user::Model>,
) -> Result<(), LoginError> {
    let details = json!({ "amr": ["pwd"] });
    let scope = sessions::service::scope(user.map(|user| user.id).unwrap_or_default());
    let tx = Tx::begin(state, &scope).await?;
    let clock = &*state.clock;
    if let Some(user) = user {
        let kind = "login_failed";
        activity::record(&*tx, clock, origin, user.id, None, kind, details.clone()).await?;
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
    audit::record(&*tx, clock, origin, entry).await?;
    tx.commit().await?;
    Ok(())
}
