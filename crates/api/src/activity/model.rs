//! What an activity entry looks like from outside.

use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::access::permit::{Action, Target};

/// Reading the own activity.
pub struct ReadOwnActivity;
impl Action for ReadOwnActivity {
    const NAME: &'static str = "self:read";
    const TARGET: Target = Target::Own;
}

/// Something that happened to or by a user.
#[derive(Serialize, ToSchema)]
pub struct ActivityView {
    /// Its id.
    pub id: Uuid,
    /// What: `login`, `login_failed`, `password_changed` and so on.
    pub kind: String,
    /// When.
    pub created_at: DateTime<Utc>,
    /// From which address.
    pub ip: Option<String>,
    /// With what.
    pub user_agent: Option<String>,
    /// In which session.
    pub session_id: Option<Uuid>,
    /// The request, as the logs know it.
    pub request_id: Option<String>,
    /// What else there is to know.
    pub details: serde_json::Value,
}

impl From<entity::user_activity::Model> for ActivityView {
    fn from(row: entity::user_activity::Model) -> Self {
        Self {
            id: row.id,
            kind: row.kind,
            created_at: row.created_at,
            ip: row.ip.map(|ip| ip.ip().to_string()),
            user_agent: row.user_agent,
            session_id: row.session_id,
            request_id: row.request_id,
            details: row.details,
        }
    }
}
