//! What a search answers.

use serde::Serialize;
use utoipa::ToSchema;

/// What was found (`AuthZEN` 1.0).
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = AuthzenSearchAnswer)]
pub struct SearchAnswer {
    /// How to go on.
    pub page: PageAnswer,
    /// One part of what was found, each once. A part may be short, or empty, though more follows.
    pub results: Vec<Found>,
}

/// How a search goes on.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = AuthzenPageAnswer)]
pub struct PageAnswer {
    /// To be sent as `page.token` for the next part; empty after the last one.
    pub next_token: String,
    /// Results in this part.
    pub count: usize,
}

/// One thing that was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(untagged)]
#[schema(as = AuthzenFound)]
pub enum Found {
    /// A subject or a resource.
    Entity {
        /// What it is.
        r#type: String,
        /// Which one.
        id: String,
    },
    /// An action.
    Action {
        /// What to ask an evaluation for.
        name: String,
    },
}
