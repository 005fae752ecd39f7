//! Making, changing and erasing users.

use chrono::TimeDelta;
use entity::user;
use sea_orm::{ActiveModelTrait, ActiveValue::Set, EntityTrait};
use secrecy::SecretString;
use serde_json::json;
use uuid::Uuid;

use super::{
    model::{AdminError, AdminUserView, CreateUser, DeleteUser, NewUser, UpdateUser, UserChange},
    steps,
};
use crate::{
    access::authority::Authority,
    activity,
    audit::{self, Entry, Target},
    crypto::token::TokenKind,
    database::tx::{Scope, Tx},
    email,
    http::{
        etag::IfMatch,
        idempotency::Once,
        text::{Email, normalized},
    },
    mail::{self, Mail, Message},
    one_time,
    state::AppState,
    users::{
        self, credentials, erasure, metadata,
        model::{UpdateMe, UserError},
    },
};

/// How long the link to set a first password is good; as long as an invitation.
const FIRST_PASSWORD_TTL: TimeDelta = TimeDelta::days(7);
/// Characters that the database has for an address.
const ADDRESS_LENGTH: usize = 254;

/// Makes a user who may log in: with a password that has to be changed, or by a link in a mail
/// that sets the first one.
///
/// # Errors
///
/// See [`AdminError`].
pub async fn create(
    state: &AppState,
    by: &Authority<'_, CreateUser>,
    new: NewUser,
    once: &Once,
) -> Result<AdminUserView, AdminError> {
    if let Some(metadata) = &new.metadata {
        metadata::check(state, &metadata.0)?;
    }
    let hash = match &new.password {
        Some(password) => Some(first_hash(state, &new, password.clone()).await?),
        None => None,
    };
    let now = state.clock.now();
    let tx = Tx::begin(state, &Scope::System).await?;
    if let Some(answer) = once.claim(&*tx, now).await? {
        return Ok(answer);
    }
    let row = row(&new, hash, by, state)?;
    let user = row.insert(&*tx).await?;
    if new.password.is_none() {
        send_first_link(state, &tx, &user).await?;
    }
    let (clock, origin) = (&*state.clock, by.origin());
    activity::record_by_other(&*tx, clock, origin, user.id, "created", json!({})).await?;
    let entry = Entry {
        doer: by.doer(),
        action: "user.created",
        target: Target::global("user", user.id),
        details: json!({ "password": new.password.is_some() }),
    };
    audit::record(&*tx, clock, origin, entry).await?;
    let view = AdminUserView::from(user);
    once.keep(&*tx, &view, now).await?;
    tx.commit().await?;
    state.mail.wake();
    Ok(view)
}

async fn first_hash(
    state: &AppState,
    new: &NewUser,
    password: SecretString,
) -> Result<String, AdminError> {
    let username = new.username.as_deref();
    let password = users::service::check_new(state, password, &new.email, username).await?;
    let hash = state.hasher.hash(&password).await;
    Ok(hash.map_err(UserError::from)?)
}

fn row(
    new: &NewUser,
    hash: Option<String>,
    by: &Authority<'_, CreateUser>,
    state: &AppState,
) -> Result<user::ActiveModel, AdminError> {
    let now = state.clock.now();
    let object = |given: &Option<users::model::Metadata>| {
        given
            .as_ref()
            .map_or_else(|| json!({}), |object| object.0.clone())
    };
    Ok(user::ActiveModel {
        id: Set(Uuid::now_v7()),
        email: Set(new.email.to_string()),
        email_normalized: Set(normalized_address(&new.email)?),
        username: Set(new.username.clone().map(Into::into)),
        username_normalized: Set(new.username.as_deref().map(normalized)),
        // Whoever chose it for somebody else knows it.
        password_must_change: Set(hash.is_some()),
        password_changed_at: Set(hash.is_some().then_some(now)),
        password_hash: Set(hash),
        display_name: Set(new.display_name.clone().map(Into::into)),
        locale: Set(new.locale.clone().map(Into::into)),
        metadata: Set(object(&new.metadata)),
        attributes: Set(object(&new.attributes)),
        status: Set("active".to_owned()),
        approved_by: Set(by.user_id()),
        approved_at: Set(Some(now)),
        created_at: Set(now),
        updated_at: Set(now),
        version: Set(1),
        ..Default::default()
    })
}

fn normalized_address(email: &Email) -> Result<String, AdminError> {
    let text = normalized(email);
    if text.chars().count() > ADDRESS_LENGTH {
        return Err(AdminError::Address);
    }
    Ok(text)
}

async fn send_first_link(
    state: &AppState,
    tx: &Tx<'_>,
    user: &user::Model,
) -> Result<(), AdminError> {
    let payload = json!({ "account_created": true });
    let (kind, ttl) = (TokenKind::PasswordReset, FIRST_PASSWORD_TTL);
    let token = one_time::issue(tx, state, kind, user.id, payload, ttl).await?;
    let now = state.clock.now();
    let message = Message::AccountCreated {
        link: email::service::link(state, "reset-password", &token),
        expires_at: now + ttl,
    };
    let mail = Mail::new(&user.email, user.locale.as_deref(), message);
    let mail = mail.map_err(|_| AdminError::Address)?;
    mail::enqueue(&**tx, &state.sealer, &mail, now).await?;
    Ok(())
}

/// Changes what `change` names.
///
/// # Errors
///
/// See [`AdminError`].
pub async fn update(
    state: &AppState,
    by: &Authority<'_, UpdateUser>,
    change: UserChange,
    if_match: &IfMatch,
) -> Result<user::Model, AdminError> {
    if let Some(metadata) = &change.metadata {
        metadata::check(state, &metadata.0)?;
    }
    let (mut tx, before) = steps::begin(state, by, if_match).await?;
    let mut changed = Vec::new();
    let mut row = steps::next_version(before.clone(), state);
    let UserChange {
        email,
        attributes,
        display_name,
        username,
        profile_picture_url,
        locale,
        metadata,
    } = change;
    let profile = UpdateMe {
        display_name,
        username,
        profile_picture_url,
        locale,
        metadata,
        ..UpdateMe::default()
    };
    users::service::apply(&mut row, profile, &mut changed);
    if let Some(attributes) = attributes {
        row.attributes = Set(attributes.0);
        changed.push("attributes");
    }
    if let Some(email) = email.filter(|email| **email != *before.email) {
        change_address(state, &mut tx, &before, &mut row, &email).await?;
        changed.push("email");
    }
    if changed.is_empty() {
        tx.commit().await?;
        return Ok(before);
    }
    let user = row.update(&*tx).await?;
    let kind = if changed.contains(&"email") {
        "email_changed"
    } else {
        "profile_changed"
    };
    let details = json!({ "fields": changed });
    steps::finish(state, tx, by, &user, kind, "user.updated", details, None).await?;
    Ok(user)
}

/// Puts another address into `row`. The old one is told, the new one is asked for a proof; what
/// was opened or sent out under the old one ends. Another spelling of the same address ends nothing.
async fn change_address(
    state: &AppState,
    tx: &mut Tx<'_>,
    before: &user::Model,
    row: &mut user::ActiveModel,
    address: &Email,
) -> Result<(), AdminError> {
    let normalized = normalized_address(address)?;
    row.email = Set(address.to_string());
    if normalized == before.email_normalized {
        return Ok(());
    }
    row.email_normalized = Set(normalized);
    row.email_verified_at = Set(None);
    credentials::changed(tx, state, before.id, None, "email_changed").await?;
    let locale = before.locale.as_deref();
    let message = Message::EmailChanged {
        new_email: address.to_string(),
    };
    mail::notify(tx, state, &before.email, locale, message).await?;
    if state.config.registration.email_verification {
        email::service::send_verification(tx, state, before.id, address, locale).await?;
    }
    Ok(())
}

/// Erases a user: see [`erasure`].
///
/// # Errors
///
/// See [`AdminError`].
pub async fn delete(
    state: &AppState,
    by: &Authority<'_, DeleteUser>,
    if_match: &IfMatch,
) -> Result<(), AdminError> {
    steps::must_not_be_above(state, by).await?;
    Ok(erasure::erase(state, by.id(), by.doer(), by.origin(), if_match).await?)
}

/// The id of the user whom `name` names: an id, an address or a username.
///
/// # Errors
///
/// [`AdminError::NotFound`].
pub async fn find(state: &AppState, name: &str) -> Result<user::Model, AdminError> {
    let found = match Uuid::try_parse(name) {
        Ok(id) => user::Entity::find_by_id(id).one(&state.db).await?,
        Err(_) => users::repo::find_by_login(&state.db, name).await?,
    };
    found.ok_or(AdminError::NotFound)
}
