//! The use cases of a forgotten password. Transactions begin and end here.

use chrono::{DateTime, TimeDelta, Utc};
use entity::user;
use sea_orm::{ActiveModelTrait, ActiveValue::Set, DbErr, IntoActiveModel};
use serde_json::json;

use super::{
    lockdown,
    model::{RecoveryError, Reset},
};
use crate::{
    access::{actor::Principal, cache::Change},
    activity,
    audit::{self, Doer, Entry, Target},
    crypto::token::TokenKind,
    database::tx::{Scope, Tx},
    email,
    http::{origin::Origin, text::normalized},
    login::throttle,
    mail::{
        self, Message,
        limit::{self, Limited},
    },
    one_time,
    registration::pending,
    state::AppState,
    users::{self, credentials},
};

/// How long a link to set a new password is good.
const RESET_TTL: TimeDelta = TimeDelta::minutes(30);

/// Sends a link to set a new password to the owner of an address, if there is one who may have
/// one. Also works when too many wrong passwords have locked the account.
///
/// # Errors
///
/// [`RecoveryError::Throttled`] for a network address; nothing that depends on the address.
pub async fn forgot(state: &AppState, origin: &Origin, email: &str) -> Result<(), RecoveryError> {
    let now = state.clock.now();
    if !limit::admit(&state.db, Limited::Address(origin.ip), now).await? {
        let seconds = limit::WINDOW;
        return Err(RecoveryError::Throttled { seconds });
    }
    if !limit::admit(&state.db, Limited::Reset(&normalized(email)), now).await? {
        return Ok(());
    }
    let tx = Tx::begin(state, &Scope::System).await?;
    let user = users::repo::find_by_login(&*tx, email).await?;
    if let Some(user) = user.filter(|user| !is_closed(user)) {
        let (link, expires_at) = link(&tx, state, &user).await?;
        let message = Message::PasswordReset { link, expires_at };
        mail::notify(&tx, state, &user.email, user.locale.as_deref(), message).await?;
        activity::record(
            &*tx,
            &*state.clock,
            origin,
            user.id,
            None,
            "password_reset_requested",
            json!({}),
        )
        .await?;
        let entry = Entry {
            doer: Doer::Anonymous,
            action: "user.password_reset_requested",
            target: Target::global("user", user.id),
            details: json!({}),
        };
        audit::record(&*tx, &*state.clock, origin, entry).await?;
    }
    tx.commit().await?;
    state.mail.wake();
    Ok(())
}

/// A link to set a new password, and until when it is good. Links from before are void.
///
/// # Errors
///
/// The database's.
pub(super) async fn link(
    tx: &Tx<'_>,
    state: &AppState,
    user: &user::Model,
) -> Result<(String, DateTime<Utc>), DbErr> {
    let kind = TokenKind::PasswordReset;
    let token = one_time::issue(tx, state, kind, user.id, json!({}), RESET_TTL).await?;
    let link = email::service::link(state, "reset-password", &token);
    Ok((link, state.clock.now() + RESET_TTL))
}

/// Whether an administrator has closed the account: it gets no mail and no new password.
pub(super) fn is_closed(user: &user::Model) -> bool {
    matches!(user.status.as_str(), "rejected" | "disabled")
}

/// Sets a new password, and ends everything that was opened under the old one. Whoever has the
/// token reads the mail of the address, so the address is proven too. Second factors stay: they
/// are asked for at the next login.
///
/// # Errors
///
/// [`RecoveryError::InvalidToken`], or the rule that the password breaks; the token is good for
/// another try then.
pub async fn reset(state: &AppState, origin: &Origin, reset: Reset) -> Result<(), RecoveryError> {
    let _slot = state
        .login_slots
        .try_acquire()
        .map_err(|_| RecoveryError::Busy)?;
    let (kind, text) = (TokenKind::PasswordReset, &reset.token);
    let found = one_time::find(&state.db, state, kind, text).await?;
    let found = found.ok_or(RecoveryError::InvalidToken)?;
    let user = users::service::read(state, found.user_id).await?;
    let (email, username) = (user.email, user.username);
    let password =
        users::service::check_new(state, reset.new_password, &email, username.as_deref()).await?;
    let hash = state.hasher.hash(&password).await?;
    let mut tx = Tx::begin(state, &Scope::System).await?;
    let user = users::repo::find_for_update(&*tx, found.user_id).await?;
    let user = user
        .filter(|user| !is_closed(user))
        .ok_or(RecoveryError::InvalidToken)?;
    one_time::consume(&tx, state, kind, text)
        .await?
        .ok_or(RecoveryError::InvalidToken)?;
    let was_proven = user.email_verified_at.is_some();
    let user = renew(&tx, state, user, hash).await?;
    credentials::changed(&mut tx, state, user.id, None, "password_reset").await?;
    if !was_proven {
        credentials::revoke_api_keys(&mut tx, state, origin, user.id).await?;
    }
    throttle::forgive(&*tx, user.id, state.clock.now()).await?;
    tell_password_changed(&tx, state, &user).await?;
    note(&tx, state, origin, &user).await?;
    tx.changed(Change::User(user.id));
    tx.commit().await?;
    state.mail.wake();
    Ok(())
}

/// Gives a user a password. What somebody wrote about themselves who registered with an address
/// that was not proven to be theirs goes: it need not be the one who has the mail.
async fn renew(
    tx: &Tx<'_>,
    state: &AppState,
    user: user::Model,
    hash: String,
) -> Result<user::Model, DbErr> {
    let (now, version) = (state.clock.now(), user.version);
    let status = pending::after_proof(state, &user);
    let is_unproven = pending::is_unproven(&user);
    let mut row = user.into_active_model();
    if is_unproven {
        row.username = Set(None);
        row.username_normalized = Set(None);
        row.display_name = Set(None);
        row.profile_picture_url = Set(None);
        row.locale = Set(None);
        row.metadata = Set(json!({}));
    }
    row.status = Set(status);
    row.email_verified_at = Set(row.email_verified_at.take().flatten().or(Some(now)));
    row.password_hash = Set(Some(hash));
    row.password_changed_at = Set(Some(now));
    row.password_must_change = Set(false);
    row.locked_down_at = Set(None);
    row.updated_at = Set(now);
    row.version = Set(version + 1);
    row.update(&**tx).await
}

/// Tells a user that their password was changed, with a link for the case that it was not them.
/// Belongs after [`credentials::changed`].
///
/// # Errors
///
/// The database's.
pub async fn tell_password_changed(
    tx: &Tx<'_>,
    state: &AppState,
    user: &user::Model,
) -> Result<(), DbErr> {
    let lockdown = lockdown::link(tx, state, user.id).await?;
    let message = Message::PasswordChanged { lockdown };
    mail::notify(tx, state, &user.email, user.locale.as_deref(), message).await
}

async fn note(
    tx: &Tx<'_>,
    state: &AppState,
    origin: &Origin,
    user: &user::Model,
) -> Result<(), DbErr> {
    let details = json!({ "by": "mail" });
    activity::record(
        &**tx,
        &*state.clock,
        origin,
        user.id,
        None,
        "password_reset",
        details.clone(),
    )
    .await?;
    let entry = Entry {
        doer: Doer::Principal(Principal::user(user.id), None),
        action: "user.password_reset",
        target: Target::global("user", user.id),
        details,
    };
    audit::record(&**tx, &*state.clock, origin, entry).await
}
