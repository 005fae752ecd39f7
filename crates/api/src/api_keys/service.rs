//! The use cases of API keys. Transactions begin and end here.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use chrono::{DateTime, Utc};
use entity::{api_key, user};
use sea_orm::{ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QuerySelect};
use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

use super::{
    model::{ApiKeyError, ApiKeyView, MOST, MadeKey, ManageOwn, NewApiKey, ReadOwn},
    repo::{self, Making},
};
use crate::{
    access::{
        actor::{Actor, Principal, PrincipalType},
        cache::Change,
        permit::Permit,
    },
    activity,
    audit::{self, Doer},
    config::OrganizationCreation,
    crypto::token::{Token, TokenKind},
    database::tx::{Scope, Tx},
    http::{
        idempotency::Once,
        origin::Origin,
        page::{Cut, Page},
    },
    mail::{self, Mail, Message},
    recovery::lockdown,
    roles::reach::{held_anywhere, lacking},
    state::AppState,
};

/// What a key can open of its owner's own account.
pub(crate) const OWN: [&str; 2] = ["self:read", "self:evaluate"];
/// Characters of a key that lists show, the kind's prefix included.
const SHOWN: usize = 9;
/// For which use the keys in kept answers are sealed.
const SEAL: &str = "idempotent api key";

/// The id of the key whose text has this hash.
pub async fn id_of(db: &impl ConnectionTrait, hash: &[u8; 32]) -> Result<Option<Uuid>, DbErr> {
    api_key::Entity::find()
        .select_only()
        .column(api_key::Column::Id)
        .filter(api_key::Column::KeyHash.eq(hash.to_vec()))
        .into_tuple()
        .one(db)
        .await
}

/// The caller's keys.
pub async fn list_own(
    state: &AppState,
    permit: &Permit<ReadOwn>,
    cut: &Cut<api_key::Model>,
) -> Result<Page<ApiKeyView>, ApiKeyError> {
    of(state, permit.principal(), cut).await
}

/// Keys of `owner` that were not revoked. Whether they may be seen is the caller's to know.
pub(crate) async fn of(
    state: &AppState,
    owner: Principal,
    cut: &Cut<api_key::Model>,
) -> Result<Page<ApiKeyView>, ApiKeyError> {
    let rows = repo::of(&state.db, owner, cut).await?;
    Ok(cut.page(rows, |row| row.id, Into::into))
}

/// Makes a key for the caller, and tells them by mail.
///
/// # Errors
///
/// [`ApiKeyError::Lacking`] with what the caller does not hold anywhere of what the key should
/// carry.
pub async fn create_own(
    state: &AppState,
    permit: &Permit<ManageOwn>,
    new: NewApiKey,
    once: &Once,
) -> Result<MadeKey, ApiKeyError> {
    demand_usable(state, &new)?;
    let lacking = lacking(&everything(state, permit.actor()), &new.permissions.0);
    if !lacking.is_empty() {
        return Err(ApiKeyError::Lacking(lacking));
    }
    let (owner, now) = (permit.principal(), state.clock.now());
    let tx = Tx::begin(state, &Scope::None).await?;
    if let Some(kept) = once.claim::<Kept>(&*tx, now).await? {
        return kept.open(state);
    }
    let made = make(&tx, state, permit.into(), permit.origin(), owner, &new).await?;
    let details = json!({ "api_key_id": made.view.id, "name": made.view.name });
    activity::record(
        &*tx,
        &*state.clock,
        permit.origin(),
        owner.id,
        permit.actor().session_id(),
        "api_key_created",
        details,
    )
    .await?;
    tell(&tx, state, owner.id, &made.view).await?;
    once.keep(&*tx, &Kept::of(state, &made), now).await?;
    tx.commit().await?;
    state.mail.wake();
    Ok(made)
}

/// Revokes a key of the caller's. It is refused from the next request on, everywhere.
///
/// # Errors
///
/// [`ApiKeyError::NotFound`] unless it is a live key of the caller's.
pub async fn revoke_own(
    state: &AppState,
    permit: &Permit<ManageOwn>,
    id: Uuid,
) -> Result<(), ApiKeyError> {
    let owner = permit.principal();
    let mut tx = Tx::begin(state, &Scope::None).await?;
    revoke(&mut tx, state, permit.into(), permit.origin(), owner, id).await?;
    tx.commit().await?;
    Ok(())
}

/// Whether nothing is wrong with the permissions of a key that whoever makes it could know.
///
/// # Errors
///
/// [`ApiKeyError::Permission`] with the first that no key can use.
pub(crate) fn demand_usable(state: &AppState, new: &NewApiKey) -> Result<(), ApiKeyError> {
    for permission in &new.permissions.0 {
        let why = if permission.starts_with("self:") && !OWN.contains(&permission.as_str()) {
            "takes a person who has logged in: no key can have it"
        } else if !state.catalog.knows(permission) {
            "is a permission that nothing asks for"
        } else {
            continue;
        };
        return Err(ApiKeyError::Permission {
            permission: permission.clone(),
            why,
        });
    }
    Ok(())
}

/// What the caller may do somewhere, without an operator's own rules.
fn everything(state: &AppState, actor: &Actor) -> Vec<String> {
    let mut all = held_anywhere(&actor.subject.grants, state.clock.now());
    all.extend(state.catalog.everyone.iter().cloned());
    all.extend(OWN.map(ToOwned::to_owned));
    if state.config.registration.organization_creation == OrganizationCreation::Open {
        all.push("organization:create".to_owned());
    }
    all
}

/// Writes a key and what goes with it. Whether it may be made is the caller's to know.
///
/// # Errors
///
/// [`ApiKeyError::TooMany`], [`ApiKeyError::Expiry`], [`ApiKeyError::NotFound`] without the owner.
pub(crate) async fn make(
    tx: &Tx<'_>,
    state: &AppState,
    doer: Doer,
    origin: &Origin,
    owner: Principal,
    new: &NewApiKey,
) -> Result<MadeKey, ApiKeyError> {
    let now = state.clock.now();
    let expires_at = expiry(state, new.expires_at, now)?;
    if !repo::lock_owner(&**tx, owner).await? {
        return Err(ApiKeyError::NotFound);
    }
    if repo::count(&**tx, owner, now).await? >= MOST {
        return Err(ApiKeyError::TooMany);
    }
    let token = Token::generate(TokenKind::ApiKey);
    let making = Making {
        owner,
        name: &new.name,
        permissions: new.permissions.0.clone(),
        expires_at,
        prefix: token.expose().chars().take(SHOWN).collect(),
        token: &token,
    };
    let row = repo::insert(&**tx, making, now).await?;
    let entry = audit::Entry {
        doer,
        action: "api_key.created",
        target: audit::Target::global("api_key", row.id),
        details: json!({
            "owner": owner, "name": row.name, "prefix": row.prefix,
            "permissions": row.permissions, "expires_at": row.expires_at,
        }),
    };
    audit::record(&**tx, &*state.clock, origin, entry).await?;
    Ok(MadeKey {
        view: row.into(),
        key: token.expose().to_owned(),
    })
}

fn expiry(
    state: &AppState,
    asked: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
) -> Result<DateTime<Utc>, ApiKeyError> {
    let longest = state.config.tokens.api_key_max_ttl;
    let end = asked.unwrap_or(now + longest);
    if end <= now || end > now + longest {
        return Err(ApiKeyError::Expiry {
            days: longest.num_days(),
        });
    }
    Ok(end)
}

/// Revokes one key of `owner`. Whether it may be revoked is the caller's to know.
///
/// # Errors
///
/// [`ApiKeyError::NotFound`] unless it is a live key of that owner.
pub(crate) async fn revoke(
    tx: &mut Tx<'_>,
    state: &AppState,
    doer: Doer,
    origin: &Origin,
    owner: Principal,
    id: Uuid,
) -> Result<(), ApiKeyError> {
    let row = repo::revoke(&**tx, owner, id, state.clock.now())
        .await?
        .ok_or(ApiKeyError::NotFound)?;
    note_revoked(tx, state, doer, origin, owner, &row).await?;
    Ok(())
}

/// Revokes all keys of `owner`, in the transaction of what is the reason. Returns how many.
pub async fn revoke_all(
    tx: &mut Tx<'_>,
    state: &AppState,
    doer: Doer,
    origin: &Origin,
    owner: Principal,
) -> Result<usize, DbErr> {
    let rows = repo::revoke_all(&**tx, owner, state.clock.now()).await?;
    for row in &rows {
        note_revoked(tx, state, doer, origin, owner, row).await?;
    }
    Ok(rows.len())
}

async fn note_revoked(
    tx: &mut Tx<'_>,
    state: &AppState,
    doer: Doer,
    origin: &Origin,
    owner: Principal,
    row: &api_key::Model,
) -> Result<(), DbErr> {
    tx.changed(Change::ApiKey(row.id));
    let details = json!({ "owner": owner, "name": row.name, "prefix": row.prefix });
    let entry = audit::Entry {
        doer,
        action: "api_key.revoked",
        target: audit::Target::global("api_key", row.id),
        details,
    };
    audit::record(&**tx, &*state.clock, origin, entry).await?;
    if owner.r#type == PrincipalType::User {
        let details = json!({ "api_key_id": row.id, "name": row.name });
        let kind = "api_key_revoked";
        activity::record(&**tx, &*state.clock, origin, owner.id, None, kind, details).await?;
    }
    Ok(())
}

/// Tells a user of a new key of theirs.
async fn tell(
    tx: &Tx<'_>,
    state: &AppState,
    user_id: Uuid,
    key: &ApiKeyView,
) -> Result<(), ApiKeyError> {
    let user = user::Entity::find_by_id(user_id).one(&**tx).await?;
    let user = user.ok_or(ApiKeyError::NotFound)?;
    let message = Message::ApiKeyCreated {
        name: key.name.clone(),
        lockdown: lockdown::link(tx, state, user_id).await?,
    };
    if let Ok(mail) = Mail::new(&user.email, user.locale.as_deref(), message) {
        mail::enqueue(&**tx, &state.sealer, &mail, state.clock.now()).await?;
    }
    Ok(())
}

/// An answer with a key, as it is kept for its idempotency key: sealed, because whoever reads
/// the database must not get keys out of it.
#[derive(Serialize, Deserialize)]
pub(crate) struct Kept {
    view: ApiKeyView,
    sealed_key: String,
}

impl Kept {
    /// Seals the key of an answer.
    pub(crate) fn of(state: &AppState, made: &MadeKey) -> Self {
        Self {
            view: made.view.clone(),
            sealed_key: STANDARD.encode(state.sealer.seal(SEAL, made.key.as_bytes())),
        }
    }

    /// The answer as it was given first.
    ///
    /// # Errors
    ///
    /// [`ApiKeyError::Sealed`] if `SECRET_KEY` was replaced twice since.
    pub(crate) fn open(self, state: &AppState) -> Result<MadeKey, ApiKeyError> {
        let sealed = STANDARD.decode(&self.sealed_key).unwrap_or_default();
        let key = state.sealer.open(SEAL, &sealed)?;
        Ok(MadeKey {
            view: self.view,
            key: String::from_utf8_lossy(&key).into_owned(),
        })
    }
}
