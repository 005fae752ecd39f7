//! Finding users.

use entity::user;
use sea_orm::{
    ColumnTrait, Condition, EntityTrait, QueryFilter,
    sea_query::{Expr, ExprTrait},
};

use super::model::{AdminError, ReadUsers, UserFilter};
use crate::{
    access::authority::Authority,
    database::{
        pattern,
        tx::{Scope, Tx},
    },
    http::{page::Cut, text::normalized},
    state::AppState,
    users::repo::LAST_ACTIVE,
};

/// Holds the role now, on whatever resource.
const HOLDS: &str = "EXISTS (SELECT 1 FROM user_role_assignments a JOIN roles r ON r.id = a.role_id \
     WHERE (a.user_id = users.id OR a.group_id IN (SELECT m.group_id FROM group_members m \
         WHERE m.user_id = users.id)) AND r.key = $1 AND (a.expires_at IS NULL OR a.expires_at > $2))";

/// A page of users.
///
/// # Errors
///
/// The database's.
pub async fn users(
    state: &AppState,
    _by: &Authority<'_, ReadUsers>,
    filter: &UserFilter,
    cut: &Cut<user::Model>,
) -> Result<Vec<user::Model>, AdminError> {
    let mut query = user::Entity::find();
    if let Some(email) = &filter.email {
        query = query.filter(user::Column::EmailNormalized.eq(normalized(email)));
    }
    if let Some(status) = filter.status {
        query = query.filter(user::Column::Status.eq(status.as_str()));
    }
    if let Some(role) = &filter.role {
        let now = state.clock.now();
        let holds = Expr::cust_with_values(
            HOLDS,
            [role.as_str().into(), now.into()] as [sea_orm::Value; 2],
        );
        query = query.filter(holds);
    }
    if let Some(since) = filter.inactive_since {
        query = query.filter(Expr::cust(LAST_ACTIVE).lt(since));
    }
    if let Some(q) = &filter.q {
        let like = || pattern::prefix(&normalized(q));
        query = query.filter(
            Condition::any()
                .add(user::Column::EmailNormalized.like(like()))
                .add(user::Column::UsernameNormalized.like(like()))
                .add(Expr::cust("lower(display_name)").like(like())),
        );
    }
    // Roles are rows of tenants, and hidden from a transaction that says nothing of its scope.
    let tx = Tx::begin(state, &Scope::System).await?;
    let rows = cut.apply(query, user::Column::Id).all(&*tx).await?;
    tx.commit().await?;
    Ok(rows)
}
