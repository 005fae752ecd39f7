//! Changing an address: asked for by its user, confirmed at the new address, and stopped or
//! undone from the old one.

use chrono::TimeDelta;
use entity::user;
use sea_orm::{
    ActiveModelTrait, ActiveValue::Set, ColumnTrait, DbErr, EntityTrait, IntoActiveModel,
    QueryFilter,
};
use serde_json::json;
use uuid::Uuid;

use super::{
    model::{Cancellation, EmailError},
    service::{PROOF_TTL, link},
};
use crate::{
    access::{actor::Principal, cache::Change},
    activity,
    audit::{self, Doer, Entry, Target},
    crypto::token::TokenKind,
    database::tx::{Scope, Tx},
    http::{origin::Origin, text::normalized},
    mail::{self, Message},
    one_time,
    problem::constraint,
    recovery::lockdown,
    registration::pending,
    state::AppState,
    users::{self, credentials, gate},
};

/// How long the old address can undo a change that has happened.
const UNDO_TTL: TimeDelta = TimeDelta::days(7);

/// Who asks for a change.
pub struct Asking<'a> {
    /// From where.
    pub origin: &'a Origin,
    /// Who is written down as the one who did it.
    pub doer: Doer,
    /// The session that lives on when the change is confirmed.
    pub session: Option<Uuid>,
}

/// Begins a change, in the caller's transaction: mails go to both addresses. What the user sees
/// is the same when somebody else has the new address; its owner is told.
///
/// # Errors
///
/// The database's.
pub async fn request(
    tx: &Tx<'_>,
    state: &AppState,
    asking: &Asking<'_>,
    user: &user::Model,
    new_email: &str,
) -> Result<(), DbErr> {
    let (now, locale) = (state.clock.now(), user.locale.as_deref());
    one_time::void(&**tx, user.id, TokenKind::EmailChange, now).await?;
    let owner = with_address(tx, new_email, user.id).await?;
    if let Some(owner) = owner.filter(|owner| !pending::is_unproven(owner)) {
        let link = state.public_url.to_string();
        let message = Message::EmailTaken { link };
        mail::notify(tx, state, &owner.email, owner.locale.as_deref(), message).await?;
    } else {
        let payload = json!({ "email": new_email, "session_id": asking.session });
        let kind = TokenKind::EmailChange;
        let token = one_time::issue(tx, state, kind, user.id, payload, PROOF_TTL).await?;
        let message = Message::EmailChangeConfirm {
            link: link(state, "verify-email", &token),
            expires_at: now + PROOF_TTL,
        };
        mail::notify(tx, state, new_email, locale, message).await?;
    }
    let (link, expires_at) = undo_link(tx, state, user, PROOF_TTL + UNDO_TTL).await?;
    let message = Message::EmailChangeNotice {
        new_email: new_email.to_owned(),
        link,
        expires_at,
    };
    mail::notify(tx, state, &user.email, locale, message).await?;
    let noted = ("email_change_requested", "user.email_change_requested");
    note(
        tx,
        state,
        asking,
        user.id,
        noted,
        json!({ "email": new_email }),
    )
    .await
}

/// Puts the new address in the place of the old one: the token was sent there. Ends the user's
/// other sessions and whatever was open. Answers with the user's status.
///
/// # Errors
///
/// [`EmailError::InvalidToken`], also if somebody else has taken the address in the meantime.
pub(super) async fn confirm(
    state: &AppState,
    origin: &Origin,
    text: &str,
) -> Result<String, EmailError> {
    let kind = TokenKind::EmailChange;
    let found = one_time::find(&state.db, state, kind, text).await?;
    let found = found.ok_or(EmailError::InvalidToken)?;
    let mut tx = Tx::begin(state, &Scope::System).await?;
    let user = users::repo::find_for_update(&*tx, found.user_id).await?;
    let user = user.ok_or(EmailError::InvalidToken)?;
    let token = one_time::consume(&tx, state, kind, text).await?;
    let token = token.ok_or(EmailError::InvalidToken)?;
    gate::admit(&user).map_err(|_| EmailError::InvalidToken)?;
    let new_email = token.payload["email"].as_str().unwrap_or_default();
    let session = token.payload["session_id"]
        .as_str()
        .and_then(|id| id.parse().ok());
    let old = user.clone();
    let user = move_to(&tx, state, origin, user, new_email)
        .await?
        .ok_or(EmailError::InvalidToken)?;
    credentials::changed(&mut tx, state, user.id, session, "email_changed").await?;
    let (link, expires_at) = undo_link(&tx, state, &old, UNDO_TTL).await?;
    let message = Message::EmailChangeDone {
        new_email: new_email.to_owned(),
        link,
        expires_at,
    };
    mail::notify(&tx, state, &old.email, old.locale.as_deref(), message).await?;
    let asking = Asking {
        origin,
        doer: Doer::Principal(Principal::user(user.id), session),
        session,
    };
    let details = json!({ "old": old.email, "new": user.email });
    let noted = ("email_changed", "user.email_changed");
    note(&tx, state, &asking, user.id, noted, details).await?;
    tx.changed(Change::User(user.id));
    tx.commit().await?;
    state.mail.wake();
    Ok(user.status)
}

/// Stops a change of address, or undoes it: then somebody had the account who should not, so all
/// is closed as by [`lockdown`].
///
/// # Errors
///
/// [`EmailError::InvalidToken`].
pub async fn cancel(
    state: &AppState,
    origin: &Origin,
    text: &str,
) -> Result<Cancellation, EmailError> {
    let kind = TokenKind::EmailChangeCancel;
    let found = one_time::find(&state.db, state, kind, text).await?;
    let found = found.ok_or(EmailError::InvalidToken)?;
    let mut tx = Tx::begin(state, &Scope::System).await?;
    let user = users::repo::find_for_update(&*tx, found.user_id).await?;
    let user = user.ok_or(EmailError::InvalidToken)?;
    let token = one_time::consume(&tx, state, kind, text).await?;
    let token = token.ok_or(EmailError::InvalidToken)?;
    let old_email = token.payload["email"].as_str().unwrap_or_default();
    let (id, now) = (user.id, state.clock.now());
    // What was made after it went to an address that came after this one.
    one_time::void_younger(&*tx, &token, now).await?;
    let asking = Asking {
        origin,
        doer: Doer::Principal(Principal::user(id), None),
        session: None,
    };
    let outcome = if normalized(old_email) == user.email_normalized {
        one_time::void(&*tx, id, TokenKind::EmailChange, now).await?;
        let noted = ("email_change_cancelled", "user.email_change_cancelled");
        note(&tx, state, &asking, id, noted, json!({})).await?;
        Cancellation::Cancelled
    } else {
        let user = match move_to(&tx, state, origin, user.clone(), old_email).await? {
            Some(user) => user,
            // Somebody else has the old address by now, and the new one cannot be trusted:
            // an administrator has to look.
            None => disable(&tx, state, user).await?,
        };
        let details = json!({ "email": user.email });
        let noted = ("email_change_undone", "user.email_change_undone");
        note(&tx, state, &asking, id, noted, details).await?;
        lockdown::close(&mut tx, state, origin, user, token.created_at).await?;
        Cancellation::Undone
    };
    tx.commit().await?;
    state.mail.wake();
    Ok(outcome)
}

/// A link for the present address of `user`, and until when it is good.
async fn undo_link(
    tx: &Tx<'_>,
    state: &AppState,
    user: &user::Model,
    ttl: TimeDelta,
) -> Result<(String, chrono::DateTime<chrono::Utc>), DbErr> {
    let kind = TokenKind::EmailChangeCancel;
    let payload = json!({ "email": user.email });
    let token = one_time::issue(tx, state, kind, user.id, payload, ttl).await?;
    let link = link(state, "cancel-email-change", &token);
    Ok((link, state.clock.now() + ttl))
}

async fn with_address(tx: &Tx<'_>, email: &str, but: Uuid) -> Result<Option<user::Model>, DbErr> {
    user::Entity::find()
        .filter(user::Column::EmailNormalized.eq(normalized(email)))
        .filter(user::Column::Id.ne(but))
        .one(&**tx)
        .await
}

/// Gives a user an address that was proven just now; `None` if somebody else has it.
async fn move_to(
    tx: &Tx<'_>,
    state: &AppState,
    origin: &Origin,
    user: user::Model,
    email: &str,
) -> Result<Option<user::Model>, EmailError> {
    let normalized = normalized(email);
    pending::queue(tx, &normalized).await?;
    if normalized != user.email_normalized {
        pending::replace(tx, state, origin, &normalized, true).await?;
    }
    if with_address(tx, email, user.id).await?.is_some() {
        return Ok(None);
    }
    let (now, version) = (state.clock.now(), user.version);
    let mut row = user.into_active_model();
    row.email = Set(email.to_owned());
    row.email_normalized = Set(normalized);
    row.email_verified_at = Set(Some(now));
    row.updated_at = Set(now);
    row.version = Set(version + 1);
    match row.update(&**tx).await {
        // Made by other ways than registration, between the look and now.
        Err(error) if constraint(&error) == Some("users_email_key") => {
            Err(EmailError::InvalidToken)
        }
        updated => Ok(updated.map(Some)?),
    }
}

async fn disable(tx: &Tx<'_>, state: &AppState, user: user::Model) -> Result<user::Model, DbErr> {
    let (now, version) = (state.clock.now(), user.version);
    let mut row = user.into_active_model();
    row.status = Set("disabled".to_owned());
    row.updated_at = Set(now);
    row.version = Set(version + 1);
    row.update(&**tx).await
}

async fn note(
    tx: &Tx<'_>,
    state: &AppState,
    asking: &Asking<'_>,
    user_id: Uuid,
    (kind, action): (&'static str, &'static str),
    details: serde_json::Value,
) -> Result<(), DbErr> {
    activity::record(
        &**tx,
        &*state.clock,
        asking.origin,
        user_id,
        asking.session,
        kind,
        details,
    )
    .await?;
    let entry = Entry {
        doer: asking.doer,
        action,
        target: Target::global("user", user_id),
        // No address: entries outlive the person, and name them by id only.
        details: json!({}),
    };
    audit::record(&**tx, &*state.clock, asking.origin, entry).await
}
