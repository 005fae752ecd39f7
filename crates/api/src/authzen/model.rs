//! The action that asking is, and the answers.

use actix_web::http::StatusCode;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::{
    access::permit::{Action, Target},
    policy::{Decision, Reason},
    problem::Problem,
};

/// Asking for decisions. About whom and what is judged once the body is read.
pub struct Evaluate;

impl Action for Evaluate {
    const NAME: &'static str = "self:evaluate";
    const TARGET: Target = Target::Own;
    const BY_KEY: bool = true;
    const TELLS_OUTAGE: bool = true;
}

/// A decision (`AuthZEN` 1.0).
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = AuthzenDecision)]
pub struct Answer {
    /// Whether it is allowed.
    pub decision: bool,
    /// Why.
    pub context: AnswerContext,
}

/// What a decision rests on.
#[derive(Clone, Debug, Default, Serialize, ToSchema)]
#[schema(as = AuthzenDecisionContext)]
pub struct AnswerContext {
    /// Why, or why not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reasons: Option<Vec<WhyView>>,
    /// The role assignments that allow it; empty if it is allowed for another reason.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub matched_grants: Option<Vec<String>>,
    /// What must be done besides. Who does not know one of these must refuse.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub obligations: Vec<Value>,
    /// SHA-256 of the policy that decided, where it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
    /// Why one item of a batch could not be decided; `decision` is `false` then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<ItemError>,
}

/// One reason of a decision.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = AuthzenReason)]
pub struct WhyView {
    /// Stable: `granted`, `self`, `everyone`, `no_grant`, `expired_grant`, `subject_inactive`,
    /// `denied_by_rule`, `unknown_subject`, `resource_not_found`, `malformed_input`, or
    /// `custom:<code>` of an operator's rule.
    pub code: String,
    /// The same for people.
    pub message: String,
}

impl From<Reason> for WhyView {
    fn from(reason: Reason) -> Self {
        Self {
            code: reason.code,
            message: reason.message,
        }
    }
}

/// Why an item could not be decided.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = AuthzenItemError)]
pub struct ItemError {
    /// The HTTP status that the item would have got as a request of its own.
    pub status: u16,
    /// The same for people.
    pub message: String,
}

impl Answer {
    /// What the policy said.
    /// A no, if `problem` is that the policy has no answer; its reason says which failure that was.
    ///
    /// # Errors
    ///
    /// Any other problem.
    pub fn unanswered(problem: Problem) -> Result<Self, Problem> {
        let Some(code) = problem.policy_failure() else {
            return Err(problem);
        };
        tracing::warn!(code, "refused, because the policy has no answer");
        let why = WhyView {
            code: code.to_owned(),
            message: "No decision could be had, and no decision means no.".to_owned(),
        };
        Ok(Self {
            decision: false,
            context: AnswerContext {
                reasons: Some(vec![why]),
                ..AnswerContext::default()
            },
        })
    }

    /// What the policy decided.
    pub fn of(decision: Decision, policy: Option<String>) -> Self {
        let policy = decision.policy.as_deref().map(ToOwned::to_owned).or(policy);
        Self {
            decision: decision.allow,
            context: AnswerContext {
                reasons: Some(decision.reasons.into_iter().map(WhyView::from).collect()),
                matched_grants: Some(decision.matched_grants),
                obligations: decision.obligations,
                policy,
                error: None,
            },
        }
    }

    /// A no for which the policy needs not be asked.
    pub fn no(absence: Absence) -> Self {
        let reason = WhyView {
            code: absence.code().to_owned(),
            message: absence.to_string(),
        };
        Self {
            decision: false,
            context: AnswerContext {
                reasons: Some(vec![reason]),
                matched_grants: Some(Vec::new()),
                ..AnswerContext::default()
            },
        }
    }

    /// An item of a batch that could not be decided.
    pub fn error(status: StatusCode, message: impl Into<String>) -> Self {
        Self {
            decision: false,
            context: AnswerContext {
                error: Some(ItemError {
                    status: status.as_u16(),
                    message: message.into(),
                }),
                ..AnswerContext::default()
            },
        }
    }
}

/// Something that was asked about is not there, as far as the caller may know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Absence {
    /// No such user or service account.
    #[error("There is no such subject here.")]
    Subject,
    /// No such organization, account, project or user.
    #[error("There is no such resource, or none that the subject may know of.")]
    Resource,
}

impl Absence {
    /// The code of the reason.
    pub fn code(self) -> &'static str {
        match self {
            Self::Subject => "unknown_subject",
            Self::Resource => "resource_not_found",
        }
    }
}

/// The decisions of a batch, in the order of the request.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = AuthzenDecisions)]
pub struct Answers {
    /// One for each item; ends with the deciding one where `evaluations_semantic` says so.
    pub evaluations: Vec<Answer>,
}

/// What `POST /access/v1/evaluations` answers.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(untagged)]
#[schema(as = AuthzenEvaluations)]
pub enum Outcome {
    /// To a request with `evaluations`.
    Many(Answers),
    /// To one without.
    One(Answer),
}

/// Where the endpoints are (`AuthZEN` 1.0). Those that are absent do not exist.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = AuthzenConfiguration)]
pub struct Metadata {
    /// Who decides: `PUBLIC_URL`.
    pub policy_decision_point: String,
    /// For one decision.
    pub access_evaluation_endpoint: String,
    /// For many.
    pub access_evaluations_endpoint: String,
}

impl Metadata {
    /// Of the instance at `public_url`, which ends without a slash.
    pub fn at(public_url: &str) -> Self {
        Self {
            policy_decision_point: public_url.to_owned(),
            access_evaluation_endpoint: format!("{public_url}/access/v1/evaluation"),
            access_evaluations_endpoint: format!("{public_url}/access/v1/evaluations"),
        }
    }
}
