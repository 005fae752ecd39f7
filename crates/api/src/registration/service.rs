//! The use case of registration. Its transaction begins and ends here.

use chrono::{DateTime, Utc};
use entity::user;
use sea_orm::{ActiveValue::Set, EntityTrait, sea_query::OnConflict};
use serde_json::json;
use uuid::Uuid;

use super::model::{Register, RegistrationError};
use crate::{
    activity,
    audit::{self, Doer, Entry, Target},
    config::RegistrationMode,
    database::tx::{Scope, Tx},
    http::{origin::Origin, text::normalized},
    invitations,
    login::throttle::{self, Key},
    mail::{self, Mail, Message},
    state::AppState,
    users,
};

/// Registers a user. Who registers does not learn whether the address was known:
/// answer and work are the same, and the owner of a known address gets a mail.
///
/// A taken username is dropped where telling would show that it exists; the user
/// chooses another one after the first login.
///
/// # Errors
///
/// See [`RegistrationError`].
pub async fn register(
    state: &AppState,
    origin: &Origin,
    new: Register,
) -> Result<&'static str, RegistrationError> {
    let config = &state.config.registration;
    if config.mode == RegistrationMode::Closed || !domain_is_allowed(state, &new.email) {
        return Err(RegistrationError::Closed);
    }
    let invited = match (&new.invitation_token, config.mode) {
        (Some(token), _) => {
            if !invitations::service::is_open(state, token, &new.email).await? {
                return Err(RegistrationError::InvitationRequired);
            }
            true
        }
        (None, RegistrationMode::Invitation) => return Err(RegistrationError::InvitationRequired),
        (None, _) => false,
    };
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
    let status = if invited || config.mode == RegistrationMode::Open {
        "active"
    } else {
        "pending_approval"
    };
    let now = state.clock.now();
    // A user who was invited shows with the token that the address is theirs.
    let mut row = row(&new, hash, status, invited, now);
    let mut tx = Tx::begin(state, &Scope::System).await?;
    let mut inserted = insert(&tx, row.clone()).await?;
    let is_known = user::Entity::find()
        .filter_by_email(&normalized(&new.email))
        .one(&*tx)
        .await?
        .filter(|_| !inserted);
    if !inserted && is_known.is_none() {
        if invited {
            return Err(RegistrationError::UsernameTaken);
        }
        row.username = Set(None);
        row.username_normalized = Set(None);
        inserted = insert(&tx, row.clone()).await?;
    }
    let id = row.id.unwrap();
    if inserted {
        note(&tx, state, origin, id, status).await?;
        if let Some(token) = &new.invitation_token {
            invitations::service::redeem(&mut tx, state, origin, token, id, &new.email)
                .await
                .map_err(|_| RegistrationError::InvitationRequired)?;
        }
    } else if let Some(owner) = is_known {
        tell_owner(&tx, state, &owner, now).await?;
    }
    tx.commit().await?;
    state.mail.wake();
    Ok(status)
}

trait ByEmail {
    fn filter_by_email(self, normalized: &str) -> Self;
}

impl ByEmail for sea_orm::Select<user::Entity> {
    fn filter_by_email(self, normalized: &str) -> Self {
        use sea_orm::{ColumnTrait, QueryFilter};
        self.filter(user::Column::EmailNormalized.eq(normalized))
    }
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

/// `false` if the address or the username is taken; the transaction lives on.
async fn insert(tx: &Tx<'_>, row: user::ActiveModel) -> Result<bool, RegistrationError> {
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
    now: DateTime<Utc>,
) -> Result<(), RegistrationError> {
    let message = Message::RegistrationAttempt {
        link: state.public_url.to_string(),
    };
    // The break-glass administrator's address need not be one that mail reaches.
    if let Ok(mail) = Mail::new(&owner.email, owner.locale.as_deref(), message) {
        mail::enqueue(&**tx, &state.sealer, &mail, now).await?;
    }
    Ok(())
}

fn domain_is_allowed(state: &AppState, email: &str) -> bool {
    let allowed = &state.config.registration.allowed_domains;
    let domain = email.rsplit('@').next().map(normalized).unwrap_or_default();
    allowed.is_empty() || allowed.contains(&domain)
}
