//! Who may do what: one question, one policy in Rego, two engines that answer alike.
//!
//! [`Embedded`] evaluates the policy inside this process; [`Remote`] asks an OPA server
//! that has loaded the same files. Whoever asks learns `allow` from a [`Decision`], or
//! that there is none, [`PolicyUnavailable`], which is never a yes.
mod breaker;
mod bundle;
mod catalog;
mod embedded;
mod files;
mod input;
mod lint;
pub mod opa_bundle;
mod rego_tests;
mod remote;
pub mod source;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

pub use self::{
    bundle::{Bundle, BundleFault},
    catalog::{
        BuiltinRole, Catalog, CatalogFault, TYPES, common, covers, is_permission, sufficient,
    },
    embedded::{Embedded, try_policy},
    input::{Action, Context, Grant, Input, Place, Resource, Subject},
    lint::{Fault, Faults, check},
    rego_tests::{Outcome, TestResult, run as run_tests},
    remote::{Remote, RemoteFault, RemoteOptions},
};

/// An engine that answers questions by the policy.
#[async_trait]
pub trait Policy: Send + Sync {
    /// Answers one question.
    ///
    /// # Errors
    ///
    /// There is no answer; the caller must refuse.
    async fn decide(&self, input: &Input) -> Result<Decision, PolicyUnavailable>;

    /// Answers many questions, in their order, or none of them.
    ///
    /// # Errors
    ///
    /// As [`Self::decide`], for the first question that has no answer.
    async fn decide_many(&self, inputs: &[Input]) -> Result<Vec<Decision>, PolicyUnavailable>;

    /// Answers a question that is JSON already, such as one from a decision log; it may
    /// lack what an [`Input`] has.
    ///
    /// # Errors
    ///
    /// As [`Self::decide`].
    async fn decide_document(
        &self,
        input: &serde_json::Value,
    ) -> Result<Decision, PolicyUnavailable>;

    /// Which engine this is: `embedded` or `opa`.
    fn engine(&self) -> &'static str;

    /// SHA-256 of the policy that answers, in hexadecimal; `None` if another program
    /// holds the policy and does not say.
    fn digest(&self) -> Option<String>;

    /// Whether nobody is allowed anything but by the roles that they hold and by the lists of the
    /// catalog. A search may then look only where roles are held; else it has to try everything.
    fn grants_alone(&self) -> bool {
        false
    }

    /// The number of the policy in force if its rules are the delivered ones and no others: what
    /// they say follows from the subject's type, id, status and grants, the resource's path, the
    /// action's name and the time alone. No two policies of a process have the same number.
    fn as_delivered(&self) -> Option<u64> {
        None
    }

    /// Whether questions are being answered, and known ones rightly.
    ///
    /// # Errors
    ///
    /// Why they are not.
    async fn health(&self) -> Result<(), PolicyUnavailable>;
}

/// The answer to an [`Input`]. Two are equal if they say the same, whichever policy said it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Decision {
    /// Whether the action is allowed.
    pub allow: bool,
    /// Why, or why not.
    pub reasons: Vec<Reason>,
    /// Ids of the grants that allow it; empty if it is allowed for another reason.
    pub matched_grants: Vec<String>,
    /// What must be done besides. Whoever enforces the decision and does not know one of
    /// these must refuse.
    pub obligations: Vec<serde_json::Value>,
    /// SHA-256 of the policy that decided, in hexadecimal, where it is known.
    #[serde(skip)]
    pub policy: Option<Arc<str>>,
}

impl PartialEq for Decision {
    fn eq(&self, other: &Self) -> bool {
        (
            self.allow,
            &self.reasons,
            &self.matched_grants,
            &self.obligations,
        ) == (
            other.allow,
            &other.reasons,
            &other.matched_grants,
            &other.obligations,
        )
    }
}

impl Decision {
    /// What stands in the place of a decision that there is none of: a refusal.
    pub fn none(failure: &PolicyUnavailable) -> Self {
        Self {
            allow: false,
            reasons: vec![Reason {
                code: failure.code().to_owned(),
                message: "No decision could be had, and no decision means no.".to_owned(),
            }],
            matched_grants: Vec::new(),
            obligations: Vec::new(),
            policy: None,
        }
    }

    /// Whether one of the reasons has this code.
    pub fn has_reason(&self, code: &str) -> bool {
        self.reasons.iter().any(|reason| reason.code == code)
    }
}

/// One reason of a [`Decision`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason {
    /// Stable: `granted`, `self`, `everyone`, `no_grant`, `expired_grant`,
    /// `subject_inactive`, `malformed_input`, `denied_by_rule`, and `custom` or
    /// `custom:<code>` for an operator's own rules; where there was no decision, what
    /// [`PolicyUnavailable::code`] says.
    pub code: String,
    /// The same for people.
    pub message: String,
}

/// There is no decision, and so no permission.
///
/// Messages are for the log; they hold no credentials and no personal data.
#[derive(Debug, thiserror::Error)]
pub enum PolicyUnavailable {
    /// The OPA server cannot be reached, or the connection broke.
    #[error("the policy engine cannot be reached: {0}")]
    Unreachable(String),
    /// There was no answer in time.
    #[error("no decision within {} ms", .0.as_millis())]
    TimedOut(Duration),
    /// The OPA server has failed often and is left alone for a while.
    #[error("the policy engine failed repeatedly and is not being asked for now")]
    CircuitOpen,
    /// The OPA server answered with an error.
    #[error("the policy engine answered with status {0}")]
    Status(u16),
    /// The answer is not a decision, or larger than any decision.
    #[error("the policy engine's answer is not a decision: {0}")]
    InvalidAnswer(String),
    /// The engine knows no such policy, or the policy leaves the question open.
    #[error("the policy does not define a decision")]
    Undefined,
    /// The policy failed while it was evaluated.
    #[error("the policy failed: {0}")]
    Evaluation(String),
}

impl PolicyUnavailable {
    /// A stable name of what happened, for logs, metrics and decision records.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unreachable(_) | Self::Status(502..=504) => "policy_unavailable",
            Self::TimedOut(_) => "policy_timeout",
            Self::CircuitOpen => "policy_circuit_open",
            Self::InvalidAnswer(_) => "policy_invalid_answer",
            Self::Undefined => "policy_undefined",
            Self::Status(_) | Self::Evaluation(_) => "policy_error",
        }
    }

    /// Whether a rule failed on what was asked, so that another question may well have an answer.
    pub fn is_of_the_question(&self) -> bool {
        matches!(self, Self::Evaluation(_) | Self::Status(500))
    }

    fn evaluation(error: impl std::fmt::Display) -> Self {
        Self::Evaluation(error.to_string())
    }
}

/// Questions whose answers are known, to try an engine with before it is trusted.
fn known_questions() -> [Input; 2] {
    let allowed = Input {
        subject: Subject::new("user", "known", "active"),
        action: Action::new("organization:read"),
        resource: Resource::at(vec![Place::system(), Place::new("organization", "known")]),
        grants: vec![Grant {
            id: uuid::Uuid::nil(),
            role: "admin".to_owned(),
            permissions: vec!["*".to_owned()],
            resource: Place::system(),
            expires_at: None,
        }],
        context: Context::at(chrono::DateTime::UNIX_EPOCH),
    };
    let denied = Input {
        subject: Subject::new("user", "known", "disabled"),
        ..allowed.clone()
    };
    [allowed, denied]
}

/// Whether these are the right answers to [`known_questions`].
fn check_known_answers(answers: &[Decision]) -> Result<(), PolicyUnavailable> {
    let wrong = |what: &str| Err(PolicyUnavailable::Evaluation(what.to_owned()));
    match answers {
        // An operator's rule may deny whatever it likes.
        [allowed, _] if !allowed.allow && !allowed.has_reason("denied_by_rule") => {
            wrong("it refuses what a system administrator may do")
        }
        [_, denied] if denied.allow => wrong("it allows what a disabled user asks"),
        [_, _] => Ok(()),
        _ => wrong("it left known questions unanswered"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_failure_is_stable() {
        for (failure, code) in [
            (
                PolicyUnavailable::Unreachable(String::new()),
                "policy_unavailable",
            ),
            (PolicyUnavailable::Status(503), "policy_unavailable"),
            (PolicyUnavailable::Status(500), "policy_error"),
            (
                PolicyUnavailable::TimedOut(Duration::ZERO),
                "policy_timeout",
            ),
            (PolicyUnavailable::CircuitOpen, "policy_circuit_open"),
            (
                PolicyUnavailable::InvalidAnswer(String::new()),
                "policy_invalid_answer",
            ),
            (PolicyUnavailable::Undefined, "policy_undefined"),
            (PolicyUnavailable::evaluation("x"), "policy_error"),
        ] {
            assert_eq!(failure.code(), code);
        }
    }
}
