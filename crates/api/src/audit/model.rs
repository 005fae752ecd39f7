//! What the chain looks like from outside.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::verify::{Break, Kind};
use crate::access::permit::{Action, Target};

/// Checking the chain of the audit log.
pub struct VerifyAudit;
impl Action for VerifyAudit {
    const NAME: &'static str = "audit:read";
    const TARGET: Target = Target::System;
}

/// Query of `GET /api/admin/audit/verify`.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct VerifyFrom {
    /// Begin anew at this link; 1 is the first. Without it, the check goes on where the last one
    /// of this instance ended.
    #[param(value_type = Option<u32>, minimum = 1)]
    pub from: Option<std::num::NonZeroU32>,
}

/// How the chain is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ChainState {
    /// Whole from where the check began to its end.
    Whole,
    /// Whole as far as this request could check; the next one goes on.
    Incomplete,
    /// A link does not hold.
    Broken,
}

/// Body of `GET /api/admin/audit/verify`.
#[derive(Debug, Serialize, ToSchema)]
pub struct ChainView {
    /// How the chain is.
    pub state: ChainState,
    /// The last link that was checked and holds; 0 if none.
    pub verified_seq: i64,
    /// The last link.
    pub head: HeadView,
    /// Entries that are written and not sealed yet.
    pub unsealed: UnsealedView,
    /// The first link that does not hold, if the state is `broken`.
    pub fault: Option<FaultView>,
}

/// The end of the chain.
#[derive(Debug, Serialize, ToSchema)]
pub struct HeadView {
    /// The number of the last link; 0 for an empty chain.
    pub seq: i64,
    /// Its hash, 64 hexadecimal digits.
    pub hash: String,
    /// When it was sealed.
    pub at: Option<DateTime<Utc>>,
}

/// Entries that wait for their seal.
#[derive(Debug, Serialize, ToSchema)]
pub struct UnsealedView {
    /// How many.
    pub count: i64,
    /// For how many seconds the oldest does.
    pub oldest_seconds: f64,
}

/// A link that does not hold.
#[derive(Debug, Serialize, ToSchema)]
pub struct FaultView {
    /// `altered`, `reordered`, `entry_missing`, `seal_missing`, `unlinked`, `cut` or `replaced`.
    #[schema(value_type = String)]
    pub kind: Kind,
    /// Where in the chain.
    pub seq: i64,
    /// Which entry.
    pub entry_id: Option<Uuid>,
    /// The same for people.
    pub message: String,
}

impl From<Break> for FaultView {
    fn from(broken: Break) -> Self {
        Self {
            kind: broken.kind,
            seq: broken.seq,
            entry_id: broken.entry_id,
            message: broken.text,
        }
    }
}
