//! The action that asking is, and the answers.

use std::fmt;

use actix_web::http::StatusCode;
use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{
    access::{
        freshness,
        permit::{Action, Target},
    },
    crypto::keys::{KeysError, SigningKeys},
    policy::{Decision, Place, Reason},
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
    /// With `context.explain`: the same assignments, and how the subject comes by each.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grants: Option<Vec<GrantView>>,
    /// With `context.explain`, of a no: which role at which place would have made it a yes, the
    /// nearest place and the least role first. Absent where too much was asked to explain it all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub would_allow: Option<Vec<WouldAllow>>,
    /// What must be done besides. Who does not know one of these must refuse.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub obligations: Vec<Value>,
    /// The revision that everything contains which it rests on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
    /// SHA-256 of the policy that decided, where it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
    /// Why one item of a batch could not be decided; `decision` is `false` then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<ItemError>,
}

/// A role assignment that allows something, and how the subject comes by it.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = AuthzenGrant)]
pub struct GrantView {
    /// The role assignment.
    pub assignment: Uuid,
    /// The role's key.
    pub role: String,
    /// Where it is held.
    pub at: PlaceView,
    /// The group that holds it, if the subject does as its member.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<Uuid>,
    /// When it ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<DateTime<Utc>>,
}

/// A role that would allow what was asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = AuthzenWouldAllow)]
pub struct WouldAllow {
    /// The role's key.
    pub role: String,
    /// Where it would have to be held.
    pub at: PlaceView,
}

/// A place in the hierarchy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = AuthzenPlace)]
pub struct PlaceView {
    /// What it is.
    pub r#type: String,
    /// Which one; only the system has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
}

impl From<Place> for PlaceView {
    fn from(place: Place) -> Self {
        Self {
            r#type: place.r#type,
            id: place.id,
        }
    }
}

impl fmt::Display for PlaceView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.id {
            Some(id) => write!(f, "{}:{id}", self.r#type),
            None => f.write_str(&self.r#type),
        }
    }
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
                revision: at_work(),
                policy,
                ..AnswerContext::default()
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
                revision: at_work(),
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

fn at_work() -> Option<String> {
    freshness::revision().map(|revision| revision.to_string())
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
    /// For who may do something.
    pub search_subject_endpoint: String,
    /// For what someone may do it with.
    pub search_resource_endpoint: String,
    /// For what someone may do.
    pub search_action_endpoint: String,
}

impl Metadata {
    /// Of the instance at `public_url`, which ends without a slash.
    pub fn at(public_url: &str) -> Self {
        Self {
            policy_decision_point: public_url.to_owned(),
            access_evaluation_endpoint: format!("{public_url}/access/v1/evaluation"),
            access_evaluations_endpoint: format!("{public_url}/access/v1/evaluations"),
            search_subject_endpoint: format!("{public_url}/access/v1/search/subject"),
            search_resource_endpoint: format!("{public_url}/access/v1/search/resource"),
            search_action_endpoint: format!("{public_url}/access/v1/search/action"),
        }
    }
}

/// [`Metadata`], and the same once more as a JWT.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = AuthzenSignedConfiguration)]
pub struct SignedMetadata {
    /// As it is.
    #[serde(flatten)]
    pub metadata: Metadata,
    /// The same members, with `iss` and `iat`, as a JWS of type `authzen-configuration+jwt`.
    pub signed_metadata: String,
}

#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    iat: i64,
    #[serde(flatten)]
    metadata: &'a Metadata,
}

impl SignedMetadata {
    /// Of the instance at `public_url`, signed by its active key.
    ///
    /// # Errors
    ///
    /// [`KeysError::Crypto`] if the cryptographic library fails.
    pub fn make(
        public_url: &str,
        keys: &SigningKeys,
        now: DateTime<Utc>,
    ) -> Result<Self, KeysError> {
        let metadata = Metadata::at(public_url);
        let claims = Claims {
            iss: public_url,
            iat: now.timestamp(),
            metadata: &metadata,
        };
        let signed_metadata = keys.sign_as("authzen-configuration+jwt", &claims)?;
        Ok(Self {
            metadata,
            signed_metadata,
        })
    }
}
