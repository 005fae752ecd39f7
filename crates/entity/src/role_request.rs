//! A person asks for a role for a while, and somebody else decides.

use sea_orm::entity::prelude::*;

/// A row of `role_requests`.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "role_requests")]
pub struct Model {
    /// UUID v7, so that ordering by `id` is ordering by age.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// The tenant of the resource; none at system level only.
    pub organization_id: Option<Uuid>,
    /// Who asks.
    pub user_id: Uuid,
    pub role_id: Uuid,
    /// `system`, `organization`, `account`, `project` or `resource`: what an application registered.
    pub resource_type: String,
    /// None at system level only.
    pub resource_id: Option<Uuid>,
    /// How long the role is to be held, from the approval on.
    pub duration_seconds: i32,
    pub reason: String,
    /// `pending`, `approved`, `refused`, `withdrawn` or `expired`.
    pub state: String,
    pub decided_by: Option<Uuid>,
    pub decided_at: Option<DateTimeUtc>,
    pub decision_reason: Option<String>,
    /// The assignment that the approval made; it may be gone.
    pub role_assignment_id: Option<Uuid>,
    /// Until when it can be decided.
    pub expires_at: DateTimeUtc,
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
