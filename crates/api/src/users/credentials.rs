//! A credential change ends everything older.

use entity::{device_fingerprint, mfa_verification};
use sea_orm::{ColumnTrait, DbErr, EntityTrait, QueryFilter, sea_query::Expr};
use uuid::Uuid;

use crate::{
    database::tx::Tx,
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
    device_fingerprint::Entity::update_many()
        .col_expr(device_fingerprint::Column::RevokedAt, Expr::value(now))
        .filter(device_fingerprint::Column::UserId.eq(user_id))
        .filter(device_fingerprint::Column::TokenHash.is_not_null())
        .filter(device_fingerprint::Column::RevokedAt.is_null())
        .exec(&**tx)
        .await?;
    mfa_verification::Entity::update_many()
        .col_expr(mfa_verification::Column::ConsumedAt, Expr::value(now))
        .filter(mfa_verification::Column::UserId.eq(user_id))
        .filter(mfa_verification::Column::ConsumedAt.is_null())
        .exec(&**tx)
        .await?;
    Ok(())
}
