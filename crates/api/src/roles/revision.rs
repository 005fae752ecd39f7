//! The revision of who may do what. Triggers count it up with every change to
//! roles, assignments and the hierarchy; the answer to such a change tells it
//! as `Gatepost-Revision`.

use actix_web::{
    HttpResponse,
    http::header::{HeaderName, HeaderValue},
};
use entity::authz_state;
use sea_orm::{ConnectionTrait, DbErr, EntityTrait};

/// Carries the revision.
pub static GATEPOST_REVISION: HeaderName = HeaderName::from_static("gatepost-revision");

/// What a change left behind, and the revision that contains it.
#[derive(Debug)]
pub struct Revised<T> {
    /// What was made or changed.
    pub value: T,
    /// The revision, as the transaction of the change saw it last.
    pub revision: i64,
}

/// The revision in the database.
///
/// # Errors
///
/// The database's.
pub async fn stored(db: &impl ConnectionTrait) -> Result<i64, DbErr> {
    let state = authz_state::Entity::find_by_id(1_i16).one(db).await?;
    let state = state.ok_or_else(|| DbErr::RecordNotFound("authz_state has no row".to_owned()))?;
    Ok(state.revision)
}

impl<T> Revised<T> {
    /// Reads the revision; to be called after the last write of the transaction.
    pub async fn read(txn: &impl ConnectionTrait, value: T) -> Result<Self, DbErr> {
        let revision = stored(txn).await?;
        Ok(Self { value, revision })
    }

    /// The answer that `render` makes of the value, with the revision in its header.
    pub fn answer(self, render: impl FnOnce(T) -> HttpResponse) -> HttpResponse {
        let mut response = render(self.value);
        response
            .headers_mut()
            .insert(GATEPOST_REVISION.clone(), HeaderValue::from(self.revision));
        response
    }
}
