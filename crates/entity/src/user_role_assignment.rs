//! Who holds which role where. It holds on the resource and on all below it.

use sea_orm::entity::prelude::*;

/// A row of `user_role_assignments`.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "user_role_assignments")]
pub struct Model {
    /// UUID v7, so that ordering by `id` is ordering by age.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// `user`, `service_account` or `group`: says which of the next three is set.
    pub principal_type: String,
    pub user_id: Option<Uuid>,
    pub service_account_id: Option<Uuid>,
    pub group_id: Option<Uuid>,
    pub role_id: Uuid,
    /// `system`, `organization`, `account`, `project` or `resource`: what an application registered.
    pub resource_type: String,
    /// None at system level only.
    pub resource_id: Option<Uuid>,
    /// The tenant of the resource; none at system level only.
    pub organization_id: Option<Uuid>,
    /// The principal who granted it; none: the program did.
    pub granted_by: Option<Uuid>,
    pub reason: Option<String>,
    /// It ends at this instant. None: it stays.
    pub expires_at: Option<DateTimeUtc>,
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
