//! What the decision log looks like from outside.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use sea_orm::DbErr;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    access::permit::{Action, Target},
    policy::BundleFault,
    problem::{Code, Problem},
};

/// Decisions that one request decides again, if it does not say fewer.
pub const MOST_REPLAYED: u64 = 50_000;

/// Deciding again what was decided.
pub struct ReplayPolicy;
impl Action for ReplayPolicy {
    const NAME: &'static str = "policy:read";
    const TARGET: Target = Target::System;
}

/// Handing in the decisions of an OPA server: what may ask for all decisions may tell of them.
pub struct HandInDecisions;
impl Action for HandInDecisions {
    const NAME: &'static str = "authz:evaluate";
    const TARGET: Target = Target::System;
}

/// A stretch of time: a number and `m`, `h` or `d`, ten years at most.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(try_from = "String")]
#[schema(value_type = String, pattern = "^[1-9][0-9]{0,3}[mhd]$")]
pub struct Period(TimeDelta);

impl Period {
    /// How long it is.
    pub fn length(self) -> TimeDelta {
        self.0
    }
}

impl TryFrom<String> for Period {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl std::str::FromStr for Period {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const SHAPE: &str = "has to be a number from 1 to 9999 and `m`, `h` or `d`, such as `7d`";
        let unit = text.chars().last().ok_or(SHAPE)?;
        let digits = &text[..text.len() - unit.len_utf8()];
        let is_number = (1..=4).contains(&digits.len())
            && digits.bytes().all(|byte| byte.is_ascii_digit())
            && !digits.starts_with('0');
        let number: i64 = digits.parse().map_err(|_| SHAPE)?;
        match unit {
            'm' if is_number => Ok(Self(TimeDelta::minutes(number))),
            'h' if is_number => Ok(Self(TimeDelta::hours(number))),
            'd' if is_number => Ok(Self(TimeDelta::days(number))),
            _ => Err(SHAPE),
        }
    }
}

/// Body of `POST /api/admin/policy/replay`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = PolicyReplayRequest)]
pub struct ReplayRequest {
    /// How far back.
    pub since: Period,
    /// Only what was decided before this; now, if not given.
    #[serde(default)]
    pub until: Option<DateTime<Utc>>,
    /// Files that stand beside those of the policy in force, or in the place of those of the same
    /// path: `policies/**/*.rego` and `data/**/data.json`. None: the policy in force decides again.
    #[serde(default)]
    pub files: BTreeMap<String, String>,
    /// How many decisions at most, newest first.
    #[serde(default)]
    #[schema(value_type = Option<u32>, minimum = 1, maximum = 50_000)]
    pub limit: Option<std::num::NonZeroU32>,
}

/// What became of the decisions that an OPA server handed in.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = OpaLogsTaken)]
pub struct Taken {
    /// Written down.
    pub taken: u64,
    /// Not meant for this log: other rules' decisions, those that `DECISION_LOG` leaves out, and
    /// those that are older than `DECISION_LOG_DAYS` or of the future.
    pub ignored: u64,
}

/// Why decisions were not replayed or taken.
#[derive(Debug, thiserror::Error)]
pub enum DecisionError {
    /// The policy cannot be used.
    #[error(transparent)]
    Policy(#[from] BundleFault),
    /// What an OPA server sent is no decision log.
    #[error("{0}")]
    Malformed(String),
    /// It is larger than a decision log may be.
    #[error("more than {0} bytes")]
    TooLarge(usize),
    /// The number of decisions is out of bounds.
    #[error("limit")]
    Limit,
    /// The database failed.
    #[error("database failure")]
    Database(#[from] DbErr),
}

impl From<DecisionError> for Problem {
    fn from(error: DecisionError) -> Self {
        match error {
            DecisionError::Policy(fault) => {
                Self::invalid("files", "invalid_policy", fault.to_string())
            }
            DecisionError::Malformed(what) => Self::new(Code::MalformedBody, what),
            DecisionError::TooLarge(most) => Self::new(
                Code::PayloadTooLarge,
                format!("Decision logs may have at most {most} bytes."),
            ),
            DecisionError::Limit => Self::invalid(
                "limit",
                "out_of_range",
                format!("must be from 1 to {MOST_REPLAYED}"),
            ),
            DecisionError::Database(error) => error.into(),
        }
    }
}
