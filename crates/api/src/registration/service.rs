//! The use case of registration. Its transaction begins and ends here.

use chrono::{DateTime, Utc};
use entity::user;
use sea_orm::{ActiveValue::Set, DbErr, EntityTrait, sea_query::OnConflict};
use serde_json::json;
use uuid::Uuid;

use super::{
    model::{Register, RegistrationError},
    pending,
};
use crate::{
    activity,
    audit::{self, Doer, Entry, Target},
    config::RegistrationMode,
    database::tx::{Scope, Tx},
    email,
    http::{language::Language, origin::Origin, text::normalized},
    invitations,
    login::throttle::{self, Key},
    mail::{
        self, Message,
        limit::{self, Limited},
    },
    state::AppState,
    users::{self, repo},
};

/// Registers a user. Who registers does not learn whether the address was known:
/// answer and work are the same, and the owner of a known address gets a mail.
///
/// Somebody who registered with the same address and never proved it makes way.
///
/// A taken username is dropped where telling would show that it exists; the user
/// chooses another one after the first login.
///
/// `language` is what the user is written to in, until they choose one.
///
/// # Errors
///
/// See [`RegistrationError`].
pub async fn register(
    state: &AppState,
    origin: &Origin,
    language: Option<Language>,
    new: Register,
) -> Result<&'static str, RegistrationError> {
    let invited = admit(state, &new).await?;
    let _slot = state
        .login_slots
        .try_acquire()
        .map_err(|_| RegistrationError::Busy)?;
    let key = Key::address(origin.ip, state.config.throttle.per_address);
    throttle::admit(state, &[key])
        .await?
        .map_err(|seconds| RegistrationError::Throttled { seconds })?;
    let username = new.username.as_deref();
    let password =
        users::service::check_new(state, new.password.clone(), &new.email, username).await?;
    let hash = state
        .hasher
        .hash(&password)
        .await
        .map_err(users::model::UserError::from)?;
    let config = &state.config.registration;
    let status = match config.mode {
        _ if invited => "active",
        _ if config.email_verification => "pending_verification",
        RegistrationMode::Open => "active",
        _ => "pending_approval",
    };
    // A user who was invited shows with the token that the address is theirs.
    let mut row = row(&new, hash, status, invited, state.clock.now());
    let locale = language.map(Language::tag);
    row.locale = Set(locale.map(ToOwned::to_owned));
    write(state, origin, &new, row, status, invited).await?;
    Ok(status)
}

/// Whether `new` may register: by an invitation, or because anybody may.
async fn admit(state: &AppState, new: &Register) -> Result<bool, RegistrationError> {
    let mode = state.config.registration.mode;
    if mode == RegistrationMode::Closed || !domain_is_allowed(state, &new.email) {
        return Err(RegistrationError::Closed);
    }
    let Some(token) = &new.invitation_token else {
        return if mode == RegistrationMode::Invitation {
            Err(RegistrationError::InvitationRequired)
        } else {
            Ok(false)
        };
    };
    if invitations::service::is_open(state, token, &new.email).await? {
        Ok(true)
    } else {
        Err(RegistrationError::InvitationRequired)
    }
}

/// Writes the user, or the mail to the one who has the address, in one transaction.
async fn write(
    state: &AppState,
    origin: &Origin,
    new: &Register,
    row: user::ActiveModel,
    status: &'static str,
    invited: bool,
) -> Result<(), RegistrationError> {
    let address = normalized(&new.email);
    let mut tx = Tx::begin(state, &Scope::System).await?;
    pending::queue(&tx, &address).await?;
    let limited = Limited::Verification(&address);
    let may_mail = limit::admit(&*tx, limited, state.clock.now()).await?;
    if !may_mail && status == "pending_verification" {
        // Without a mail nobody could prove the address; what is under way stays as it is.
        tx.commit().await?;
        return Ok(());
    }
    pending::replace(&tx, state, origin, &address, invited).await?;
    if let Some(owner) = repo::find_by_login(&*tx, &new.email).await? {
        if may_mail {
            tell_owner(&tx, state, &owner).await?;
        }
    } else {
        let locale = row.locale.clone().take().flatten();
        let id = insert(&tx, row, invited).await?;
        note(&tx, state, origin, id, status).await?;
        if status == "pending_verification" {
            email::service::send_verification(&tx, state, id, &new.email, locale.as_deref())
                .await?;
        }
        if let Some(token) = &new.invitation_token {
            invitations::service::redeem(&mut tx, state, origin, token, id, &new.email)
                .await
                .map_err(|_| RegistrationError::InvitationRequired)?;
        }
    }
    tx.commit().await?;
    state.mail.wake();
    Ok(())
}

fn row(
    new: &Register,
    hash: String,
    status: &str,
    invited: bool,
    now: DateTime<Utc>,
) -> user::ActiveModel {
    user::ActiveModel {
        id: Set(Uuid::now_v7()),
        email: Set(new.email.to_string()),
        email_normalized: Set(normalized(&new.email)),
        username: Set(new.username.clone().map(Into::into)),
        username_normalized: Set(new.username.as_deref().map(normalized)),
        password_hash: Set(Some(hash)),
        password_changed_at: Set(Some(now)),
        display_name: Set(new.display_name.clone().map(Into::into)),
        metadata: Set(json!({})),
        attributes: Set(json!({})),
        status: Set(status.to_owned()),
        email_verified_at: Set(invited.then_some(now)),
        created_at: Set(now),
        updated_at: Set(now),
        version: Set(1),
        ..Default::default()
    }
}

/// Inserts a user whose address is free; gives their id.
async fn insert(
    tx: &Tx<'_>,
    mut row: user::ActiveModel,
    invited: bool,
) -> Result<Uuid, RegistrationError> {
    let id = *row.id.as_ref();
    if try_insert(tx, row.clone()).await? {
        return Ok(id);
    }
    if invited {
        return Err(RegistrationError::UsernameTaken);
    }
    row.username = Set(None);
    row.username_normalized = Set(None);
    if try_insert(tx, row).await? {
        return Ok(id);
    }
    // The address was taken by other ways than registration, between the look and now.
    Err(DbErr::RecordNotInserted.into())
}

/// `false` if the address or the username is taken; the transaction lives on.
async fn try_insert(tx: &Tx<'_>, row: user::ActiveModel) -> Result<bool, DbErr> {
    let inserted = user::Entity::insert(row)
        .on_conflict(OnConflict::new().do_nothing().to_owned())
        .exec_without_returning(&**tx)
        .await?;
    Ok(inserted == 1)
}

async fn note(
    tx: &Tx<'_>,
    state: &AppState,
    origin: &Origin,
    id: Uuid,
    status: &str,
) -> Result<(), RegistrationError> {
    let details = json!({ "status": status });
    activity::record(
        &**tx,
        &*state.clock,
        origin,
        id,
        None,
        "registered",
        details.clone(),
    )
    .await?;
    let entry = Entry {
        doer: Doer::Anonymous,
        action: "user.registered",
        target: Target::global("user", id),
        details,
    };
    audit::record(&**tx, &*state.clock, origin, entry).await?;
    Ok(())
}

async fn tell_owner(
    tx: &Tx<'_>,
    state: &AppState,
    owner: &user::Model,
) -> Result<(), RegistrationError> {
    let link = state.public_url.to_string();
    let message = Message::RegistrationAttempt { link };
    mail::notify(tx, state, &owner.email, owner.locale.as_deref(), message).await?;
    Ok(())
}

/// Whether `REGISTRATION_ALLOWED_DOMAINS` lets an address in.
pub fn domain_is_allowed(state: &AppState, email: &str) -> bool {
    let allowed = &state.config.registration.allowed_domains;
    let domain = email.rsplit('@').next().map(normalized).unwrap_or_default();
    allowed.is_empty() || allowed.contains(&domain)
}
