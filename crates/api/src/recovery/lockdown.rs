//! "This was not me": one link closes everything until its owner has set a new password.

use chrono::{DateTime, TimeDelta, Utc};
use entity::{mfa_factor, recovery_code, user};
use sea_orm::{
    ActiveModelTrait, ActiveValue::Set, ColumnTrait, Condition, DbErr, EntityTrait,
    IntoActiveModel, QueryFilter,
};
use serde_json::json;
use uuid::Uuid;

use super::{
    model::RecoveryError,
    service::{self, is_closed},
};
use crate::{
    access::{actor::Principal, cache::Change},
    activity,
    audit::{self, Doer, Entry, Target},
    crypto::token::TokenKind,
    database::tx::{Scope, Tx},
    email,
    http::origin::Origin,
    mail::{self, Message},
    one_time,
    state::AppState,
    users::{self, credentials},
};

/// How long a link is good: the mail may wait for its reader over a week-end.
const LINK_TTL: TimeDelta = TimeDelta::days(7);
/// What a mail tells of happened in its own request, which takes less.
const SAME_REQUEST: TimeDelta = TimeDelta::minutes(1);

/// A link for a mail that tells a user what happened to their account: it closes everything.
///
/// Make it in the transaction that writes the mail.
///
/// # Errors
///
/// The database's.
pub async fn link(tx: &Tx<'_>, state: &AppState, user_id: Uuid) -> Result<String, DbErr> {
    let kind = TokenKind::Lockdown;
    let token = one_time::issue(tx, state, kind, user_id, json!({}), LINK_TTL).await?;
    Ok(email::service::link(state, "lockdown", &token))
}

/// Closes everything of the user whom the token was sent to. A token that was used before, or
/// together with another one, changes nothing and is no error: what it asks for is done.
///
/// # Errors
///
/// [`RecoveryError::InvalidToken`] for one that never was or has expired.
pub async fn act(state: &AppState, origin: &Origin, text: &str) -> Result<(), RecoveryError> {
    let kind = TokenKind::Lockdown;
    let Some(found) = one_time::find(&state.db, state, kind, text).await? else {
        let was_made = one_time::was_made(&state.db, state, kind, text).await?;
        return was_made.then_some(()).ok_or(RecoveryError::InvalidToken);
    };
    let mut tx = Tx::begin(state, &Scope::System).await?;
    let user = users::repo::find_for_update(&*tx, found.user_id).await?;
    let user = user.ok_or(RecoveryError::InvalidToken)?;
    let Some(token) = one_time::consume(&tx, state, kind, text).await? else {
        return Ok(());
    };
    close(&mut tx, state, origin, user, token.created_at).await?;
    tx.commit().await?;
    state.mail.wake();
    Ok(())
}

/// Ends every session, device, token and API key of a user, makes their password useless, and
/// sends a link to set a new one. Until then [`gate`](crate::users::gate) lets nobody in by any
/// other way either. Second factors stay, but for those that are no older than the mail of
/// `noticed_at`: they may be what it told of.
///
/// # Errors
///
/// The database's.
pub(crate) async fn close(
    tx: &mut Tx<'_>,
    state: &AppState,
    origin: &Origin,
    user: user::Model,
    noticed_at: DateTime<Utc>,
) -> Result<(), DbErr> {
    let (id, now, version) = (user.id, state.clock.now(), user.version);
    let mut row = user.into_active_model();
    row.password_hash = Set(None);
    row.password_must_change = Set(false);
    row.locked_down_at = Set(Some(now));
    row.updated_at = Set(now);
    row.version = Set(version + 1);
    let user = row.update(&**tx).await?;
    credentials::changed(tx, state, id, None, "locked_down").await?;
    credentials::revoke_api_keys(tx, state, origin, id).await?;
    one_time::void(&**tx, id, TokenKind::Lockdown, now).await?;
    forget_factors(tx, id, noticed_at - SAME_REQUEST).await?;
    if !is_closed(&user) {
        let (link, expires_at) = service::link(tx, state, &user).await?;
        let message = Message::LockedDown { link, expires_at };
        mail::notify(tx, state, &user.email, user.locale.as_deref(), message).await?;
    }
    activity::record(
        &**tx,
        &*state.clock,
        origin,
        id,
        None,
        "locked_down",
        json!({}),
    )
    .await?;
    let entry = Entry {
        doer: Doer::Principal(Principal::user(id), None),
        action: "user.locked_down",
        target: Target::global("user", id),
        details: json!({}),
    };
    audit::record(&**tx, &*state.clock, origin, entry).await?;
    tx.changed(Change::User(id));
    Ok(())
}

/// Takes out the second factors and recovery codes that were made since.
async fn forget_factors(tx: &Tx<'_>, user_id: Uuid, since: DateTime<Utc>) -> Result<(), DbErr> {
    mfa_factor::Entity::delete_many()
        .filter(mfa_factor::Column::UserId.eq(user_id))
        .filter(
            Condition::any()
                .add(mfa_factor::Column::CreatedAt.gte(since))
                .add(mfa_factor::Column::ConfirmedAt.gte(since)),
        )
        .exec(&**tx)
        .await?;
    recovery_code::Entity::delete_many()
        .filter(recovery_code::Column::UserId.eq(user_id))
        .filter(recovery_code::Column::CreatedAt.gte(since))
        .exec(&**tx)
        .await?;
    Ok(())
}
