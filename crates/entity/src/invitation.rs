//! A person is asked by mail to take a role. The token itself is not stored.

use sea_orm::entity::prelude::*;

/// A row of `invitations`.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "invitations")]
pub struct Model {
    /// UUID v7, so that ordering by `id` is ordering by age.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub organization_id: Uuid,
    pub email: String,
    /// NFKC and lower case; what uniqueness is judged by.
    pub email_normalized: String,
    pub role_id: Uuid,
    /// `organization`, `account`, `project` or `resource`: what an application registered.
    pub resource_type: String,
    pub resource_id: Uuid,
    pub invited_by: Option<Uuid>,
    /// SHA-256 of the token.
    pub token_hash: Vec<u8>,
    pub expires_at: DateTimeUtc,
    pub accepted_at: Option<DateTimeUtc>,
    pub accepted_by: Option<Uuid>,
    pub revoked_at: Option<DateTimeUtc>,
    pub created_at: DateTimeUtc,
    #[sea_orm(belongs_to, from = "role_id", to = "id")]
    pub role: BelongsTo<super::role::Entity>,
}

/// What an application registered, if the row is about that.
impl Related<super::resource::Entity> for Entity {
    fn to() -> RelationDef {
        Entity::belongs_to(super::resource::Entity)
            .from(Column::ResourceId)
            .to(super::resource::Column::Id)
            .into()
    }
}

impl ActiveModelBehavior for ActiveModel {}
