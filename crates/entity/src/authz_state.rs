//! One row: the revision of who may do what. Triggers count it up.

use sea_orm::entity::prelude::*;

/// A row of `authz_state`.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "authz_state")]
pub struct Model {
    /// Always 1.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: i16,
    pub revision: i64,
}

impl ActiveModelBehavior for ActiveModel {}
