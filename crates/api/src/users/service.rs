//! The use cases of the own account. Transactions begin and end here.

use std::sync::Arc;

use entity::user;
use sea_orm::{ActiveModelTrait, ActiveValue::Set, DbErr, EntityTrait, IntoActiveModel};
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;
use uuid::Uuid;

use super::{
    credentials, metadata,
    model::{UpdateMe, UpdateOwn, UserError},
    repo,
};
use crate::{
    access::{permit::Permit, step_up},
    activity,
    audit::{self, Entry, Target},
    crypto::password::{HashingError, NewPassword, Password},
    database::tx::Tx,
    email::change::{self, Asking},
    http::{etag::IfMatch, text::normalized},
    login::throttle,
    mail::limit::{self, Limited},
    problem::constraint,
    recovery, registration, sessions,
    state::AppState,
};

/// A user by id.
///
/// # Errors
///
/// [`UserError::NotFound`].
pub async fn read(state: &AppState, id: Uuid) -> Result<user::Model, UserError> {
    let user = user::Entity::find_by_id(id).one(&state.db).await?;
    user.ok_or(UserError::NotFound)
}

/// Changes the caller's profile, password or both, or nothing at all.
///
/// # Errors
///
/// See [`UserError`].
pub async fn update_own(
    state: &AppState,
    permit: &Permit<UpdateOwn>,
    if_match: &IfMatch,
    update: UpdateMe,
) -> Result<user::Model, UserError> {
    let hash = prove(state, permit, &update).await?;
    if let Some(metadata) = &update.metadata {
        metadata::check(state, &metadata.0)?;
    }
    let mut tx = Tx::begin(state, &sessions::service::scope(permit.id())).await?;
    let user = repo::find_for_update(&*tx, permit.id())
        .await?
        .ok_or(UserError::NotFound)?;
    if_match.check(user.version).map_err(|_| UserError::Stale)?;
    let (version, now) = (user.version, state.clock.now());
    let mut changed = Vec::new();
    let mut row = user.clone().into_active_model();
    let new_email = update.email.clone();
    apply(&mut row, update, &mut changed);
    if let Some((hash, verified)) = hash {
        if user.password_hash.as_deref() != Some(verified.as_str()) {
            // Someone else changed it between the proof and now.
            return Err(UserError::WrongPassword);
        }
        row.password_hash = Set(Some(hash));
        row.password_changed_at = Set(Some(now));
        row.password_must_change = Set(false);
        changed.push("password");
        let own = permit.actor().session_id();
        credentials::changed(&mut tx, state, permit.id(), own, "password_changed").await?;
        recovery::service::tell_password_changed(&tx, state, &user).await?;
    }
    // After a new password, which voids the links from before.
    if let Some(email) = &new_email {
        begin_email_change(&tx, state, permit, &user, email).await?;
    }
    if changed.is_empty() {
        tx.commit().await?;
        state.mail.wake();
        return Ok(user);
    }
    row.updated_at = Set(now);
    row.version = Set(version + 1);
    let user = row.update(&*tx).await.map_err(name_taken)?;
    note(&tx, state, permit, user.id, &changed).await?;
    tx.commit().await?;
    state.mail.wake();
    Ok(user)
}

async fn note(
    tx: &Tx<'_>,
    state: &AppState,
    permit: &Permit<UpdateOwn>,
    user_id: Uuid,
    changed: &[&'static str],
) -> Result<(), UserError> {
    let kind = if changed.contains(&"password") {
        "password_changed"
    } else {
        "profile_changed"
    };
    let session = permit.actor().session_id();
    let details = json!({ "fields": changed });
    activity::record(
        &**tx,
        &*state.clock,
        permit.origin(),
        user_id,
        session,
        kind,
        details.clone(),
    )
    .await?;
    let entry = Entry {
        doer: permit.into(),
        action: "user.updated",
        target: Target::global("user", user_id),
        details,
    };
    audit::record(&**tx, &*state.clock, permit.origin(), entry).await?;
    Ok(())
}

/// The proofs that an update takes; gives what [`new_hash`] does if there is a new password.
async fn prove(
    state: &AppState,
    permit: &Permit<UpdateOwn>,
    update: &UpdateMe,
) -> Result<Option<(String, String)>, UserError> {
    if update.email.is_some() || update.new_password.is_some() {
        step_up::demand(state, permit.actor())
            .await
            .map_err(UserError::StepUp)?;
    }
    match (&update.current_password, &update.new_password) {
        (None, None) => Ok(None),
        (Some(current), Some(new)) => Ok(Some(new_hash(state, permit, current, new).await?)),
        _ => Err(UserError::HalfPasswordChange),
    }
}

/// Asks for the proof of a new address. The address that the user has is no change.
async fn begin_email_change(
    tx: &Tx<'_>,
    state: &AppState,
    permit: &Permit<UpdateOwn>,
    user: &user::Model,
    new_email: &str,
) -> Result<(), UserError> {
    if new_email == user.email {
        return Ok(());
    }
    if !registration::service::domain_is_allowed(state, new_email) {
        return Err(UserError::DomainNotAllowed);
    }
    if !limit::admit(&**tx, Limited::Change(user.id), state.clock.now()).await? {
        let seconds = limit::WINDOW;
        return Err(UserError::Throttled { seconds });
    }
    let asking = Asking {
        origin: permit.origin(),
        doer: permit.into(),
        session: permit.actor().session_id(),
    };
    change::request(tx, state, &asking, user, new_email).await?;
    Ok(())
}

/// Puts what `update` names of the profile into `row`, and its names into `changed`.
pub(crate) fn apply(
    row: &mut user::ActiveModel,
    update: UpdateMe,
    changed: &mut Vec<&'static str>,
) {
    if let Some(name) = update.display_name {
        row.display_name = Set(name.map(Into::into));
        changed.push("display_name");
    }
    if let Some(username) = update.username {
        row.username_normalized = Set(username.as_deref().map(normalized));
        row.username = Set(username.map(Into::into));
        changed.push("username");
    }
    if let Some(url) = update.profile_picture_url {
        row.profile_picture_url = Set(url.map(Into::into));
        changed.push("profile_picture_url");
    }
    if let Some(locale) = update.locale {
        row.locale = Set(locale.map(Into::into));
        changed.push("locale");
    }
    if let Some(metadata) = update.metadata {
        row.metadata = Set(metadata.0);
        changed.push("metadata");
    }
}

fn name_taken(error: DbErr) -> UserError {
    match constraint(&error) {
        Some("users_username_key") => UserError::UsernameTaken,
        _ => error.into(),
    }
}

/// Proves the current password; gives the hash of the new one, and the hash that the proof was against.
async fn new_hash(
    state: &AppState,
    permit: &Permit<UpdateOwn>,
    current: &SecretString,
    new: &SecretString,
) -> Result<(String, String), UserError> {
    let user = read(state, permit.id()).await?;
    let new = check_new(state, new.clone(), &user.email, user.username.as_deref()).await?;
    let key = throttle::Key::account(user.id);
    throttle::admit(state, &[key])
        .await?
        .map_err(|seconds| UserError::Throttled { seconds })?;
    let current = Password::parse(current.expose_secret()).map_err(|_| UserError::WrongPassword)?;
    let verification = state
        .hasher
        .verify(&current, user.password_hash.as_deref())
        .await?;
    let Some(stored) = user.password_hash.filter(|_| verification.matches) else {
        return Err(UserError::WrongPassword);
    };
    throttle::forgive(&state.db, user.id, state.clock.now()).await?;
    Ok((state.hasher.hash(&new).await?, stored))
}

/// Holds a new password against the rules, away from the request threads.
///
/// # Errors
///
/// [`UserError::Password`] with the rule that it breaks.
pub async fn check_new(
    state: &AppState,
    text: SecretString,
    email: &str,
    username: Option<&str>,
) -> Result<Password, UserError> {
    let min_length = state.config.password.min_length;
    let blocklist = Arc::clone(&state.blocklist);
    let mut context = vec!["gatepost".to_owned(), email.to_owned()];
    context.extend(email.split('@').next().map(ToOwned::to_owned));
    context.extend(username.map(ToOwned::to_owned));
    let check = move || {
        let context: Vec<&str> = context.iter().map(String::as_str).collect();
        NewPassword::check(text.expose_secret(), min_length, &blocklist, &context)
    };
    let checked = actix_web::web::block(check).await;
    Ok(checked.map_err(|_| HashingError::Stopped)??)
}
