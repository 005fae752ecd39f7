//! A credential change ends everything older.

use entity::mfa_verification;
use sea_orm::{ColumnTrait, DbErr, EntityTrait, QueryFilter, sea_query::Expr};
use uuid::Uuid;

use crate::{
    access::actor::Principal,
    api_keys,
    audit::Doer,
    database::tx::Tx,
    devices,
    http::origin::Origin,
    mfa::webauthn,
    one_time,
    sessions::{self, repo::Which},
    state::AppState,
};

/// Ends what was opened or sent out under the credentials of before: sessions but `keep`, the
/// trust in devices, links and codes that are under way. Belongs into the transaction of every
/// change of password, address or second factor.
///
/// `reason` is written to the sessions that end.
///
/// # Errors
///
/// The database's.
pub async fn changed(
    tx: &mut Tx<'_>,
    state: &AppState,
    user_id: Uuid,
    keep: Option<Uuid>,
    reason: &'static str,
) -> Result<(), DbErr> {
    let now = state.clock.now();
    let which = keep.map_or(Which::All, Which::AllBut);
    sessions::service::end(tx, state, user_id, which, reason).await?;
    one_time::void_all(&**tx, user_id, now).await?;
    devices::forget(&**tx, user_id, now).await?;
    webauthn::forget(&**tx, user_id, now).await?;
    mfa_verification::Entity::update_many()
        .col_expr(mfa_verification::Column::ConsumedAt, Expr::value(now))
        .filter(mfa_verification::Column::UserId.eq(user_id))
        .filter(mfa_verification::Column::ConsumedAt.is_null())
        .exec(&**tx)
        .await?;
    Ok(())
}

/// Revokes the API keys of a user. A change of credentials does not: keys are what programs
/// live on. "This was not me" does, and so does the proof of an address that had none.
///
/// # Errors
///
/// The database's.
pub async fn revoke_api_keys(
    tx: &mut Tx<'_>,
    state: &AppState,
    origin: &Origin,
    user_id: Uuid,
) -> Result<(), DbErr> {
    let owner = Principal::user(user_id);
    api_keys::service::revoke_all(tx, state, Doer::Principal(owner, None), origin, owner).await?;
    Ok(())
}
