//! The password that has to be changed before a login goes on.

use sea_orm::{ActiveModelTrait, ActiveValue::Set, IntoActiveModel};
use serde_json::json;

use super::{
    grant::{self, Outcome, Progress},
    model::{ChangePassword, LoginError},
};
use crate::{
    access::{actor::Principal, cache::Change},
    activity,
    audit::{self, Doer, Entry, Target},
    crypto::token::TokenKind,
    database::tx::Tx,
    http::origin::Origin,
    one_time, recovery, sessions,
    state::AppState,
    users::{self, credentials, gate, model::UserError},
};

/// Sets the new password that a login demanded, ends what was there before, and goes on with the
/// login.
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
    let progress: Progress = serde_json::from_value(row.payload)
        // A login that an older version of the program began has proven the password.
        .unwrap_or_else(|_| Progress::password(false, false));
    let user = users::service::read(state, row.user_id).await?;
    gate::admit(&user)?;
    let (email, username) = (user.email.clone(), user.username.clone());
    let new =
        users::service::check_new(state, change.new_password, &email, username.as_deref()).await?;
    let stored = user.password_hash.as_deref();
    if state.hasher.verify(&new, stored).await?.matches {
        return Err(LoginError::User(UserError::SamePassword));
    }
    let hash = state.hasher.hash(&new).await?;
    let mut tx = Tx::begin(state, &sessions::service::scope(user.id)).await?;
    let user = grant::locked(&tx, user.id).await?;
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
    recovery::service::tell_password_changed(&tx, state, &user).await?;
    let (clock, kind) = (&*state.clock, "password_changed");
    activity::record(&*tx, clock, origin, user.id, None, kind, json!({})).await?;
    let advance = grant::advance(&tx, state, origin, &user, &progress).await?;
    let entry = Entry {
        doer: Doer::Principal(Principal::user(user.id), advance.session_id()),
        action: "user.password_changed",
        target: Target::global("user", user.id),
        details: json!({ "forced": true }),
    };
    audit::record(&*tx, clock, origin, entry).await?;
    tx.changed(Change::User(user.id));
    tx.commit().await?;
    state.mail.wake();
    grant::finish(state, &user, &progress, advance)
}
