//! The use cases of signing keys. Transactions begin and end here.

use entity::signing_key;
use sea_orm::{ConnectionTrait, EntityTrait, QueryOrder};
use serde_json::json;

use super::model::{KeyError, KeyView, ManageKeys};
use crate::{
    access::{cache::Change, permit::Permit},
    audit::{self, Doer, Entry, Target},
    clock::Clock,
    crypto::{
        keys::{Rotation, SigningKeys},
        seal::Sealer,
    },
    database::db::{Db, DbTx},
    http::{idempotency::Once, origin::Origin},
    state::AppState,
};

/// All signing keys, without their private halves: newest first.
///
/// # Errors
///
/// The database's.
pub async fn list(
    state: &AppState,
    _permit: &Permit<ManageKeys>,
) -> Result<Vec<KeyView>, KeyError> {
    Ok(read(&state.db).await?)
}

async fn read(db: &impl ConnectionTrait) -> Result<Vec<KeyView>, sea_orm::DbErr> {
    let rows = signing_key::Entity::find()
        .order_by_desc(signing_key::Column::CreatedAt)
        .order_by_desc(signing_key::Column::Kid)
        .all(db)
        .await?;
    Ok(rows.into_iter().map(KeyView::from).collect())
}

/// What rotating takes; a command has less than a running instance.
pub struct Signing<'a> {
    /// Where the keys are.
    pub db: &'a Db,
    /// What seals them.
    pub sealer: &'a Sealer,
    /// The keys of this process.
    pub keys: &'a SigningKeys,
    /// The time.
    pub clock: &'a dyn Clock,
    /// How long access tokens are good.
    pub access_ttl: chrono::TimeDelta,
}

/// Makes the next key sign from now on, once for one idempotency key; gives all keys as they are
/// then.
///
/// # Errors
///
/// See [`KeyError`].
pub async fn rotate(
    state: &AppState,
    permit: &Permit<ManageKeys>,
    once: &Once,
) -> Result<Vec<KeyView>, KeyError> {
    let signing = Signing {
        db: &state.db,
        sealer: &state.sealer,
        keys: &state.keys,
        clock: &*state.clock,
        access_ttl: state.config.sessions.access_ttl,
    };
    let now = state.clock.now();
    let tx = state.db.begin().await?;
    if let Some(answer) = once.claim(&tx, now).await? {
        return Ok(answer);
    }
    write(&signing, &tx, permit.into(), permit.origin()).await?;
    let views = read(&tx).await?;
    once.keep(&tx, &views, now).await?;
    tx.commit().await?;
    state.cache.forget(&Change::Keys);
    state.keys.reload(&state.db, &state.sealer).await?;
    Ok(views)
}

/// The same for a command.
///
/// # Errors
///
/// See [`KeyError`].
pub async fn rotate_from_shell(
    signing: &Signing<'_>,
    origin: &Origin,
) -> Result<Rotation, KeyError> {
    let tx = signing.db.begin().await?;
    let rotation = write(signing, &tx, Doer::Program, origin).await?;
    tx.commit().await?;
    Ok(rotation)
}

async fn write(
    signing: &Signing<'_>,
    tx: &DbTx,
    doer: Doer,
    origin: &Origin,
) -> Result<Rotation, KeyError> {
    let now = signing.clock.now();
    let rotation = signing
        .keys
        .rotate(tx, signing.sealer, now, signing.access_ttl)
        .await?;
    let entry = Entry {
        doer,
        action: "keys.rotated",
        target: Target::global("signing_key", &rotation.active),
        details: json!({ "before": rotation.retired }),
    };
    audit::record(tx, signing.clock, origin, entry).await?;
    Ok(rotation)
}
