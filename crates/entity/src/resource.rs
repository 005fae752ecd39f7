//! A thing of an application that it registered, and where it stands.

use sea_orm::entity::prelude::*;

/// A row of `resources`.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "resources")]
pub struct Model {
    /// UUID v7, so that ordering by `id` is ordering by age. Applications never see it.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// The application's type; none of ours.
    #[sea_orm(column_name = "type")]
    pub kind: String,
    /// What the application calls it. Constraint `resources_type_external_id_key`.
    pub external_id: String,
    /// Always that of what it stands below.
    pub organization_id: Uuid,
    pub account_id: Option<Uuid>,
    pub project_id: Option<Uuid>,
    /// The registered thing right above it, if it does not stand right below one of ours.
    pub parent_id: Option<Uuid>,
    /// Registered things above it, the topmost first, the parent last.
    pub ancestors: Vec<Uuid>,
    pub properties: Json,
    pub created_at: DateTimeUtc,
    pub updated_at: DateTimeUtc,
    /// Counts changes; the `ETag`.
    pub version: i64,
}

impl ActiveModelBehavior for ActiveModel {}
