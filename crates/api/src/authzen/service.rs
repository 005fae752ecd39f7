//! What the policy answers.

use actix_web::http::StatusCode;

use super::{
    explain::{Explain, Explainer},
    inquiry::{Hidden, Inquiry, Prepared},
    model::{Answer, Evaluate},
    request::{Batch, Question, Semantic},
};
use crate::{
    access::{memo::Asked, permit::Permit, question},
    policy::{Decision, Input, PolicyUnavailable},
    problem::{Code, Problem},
    state::AppState,
};

pub(super) const REFUSED: &str = "To ask about someone else, `authz:evaluate` is needed at the organization \
                       of the resource, or at the system where there is none.";
/// Items that are decided at once where the first ones may be all that is needed.
const STEP: usize = 16;

/// Decides one question.
///
/// # Errors
///
/// `403` if the caller may not ask it, `503` if there is no answer.
pub async fn one(
    state: &AppState,
    permit: &Permit<Evaluate>,
    question: Question,
) -> Result<Answer, Problem> {
    match Inquiry::new(state, permit).prepare(question).await? {
        Prepared::Refused => Err(Problem::new(Code::Forbidden, REFUSED)),
        Prepared::Known(answer) => Ok(answer),
        Prepared::Open(open) => {
            let decision = question::decide(state, open.asked, &open.input).await?;
            let answer = open.hidden.answer(decision, state.policy.digest());
            let mut explainer = Explainer::new(state);
            explainer
                .explain(&open.input, open.hidden, open.explain, answer)
                .await
        }
    }
}

/// Decides the questions of a batch, as many as its semantic asks for.
///
/// # Errors
///
/// `503` if one of them has no answer.
pub async fn many(
    state: &AppState,
    permit: &Permit<Evaluate>,
    batch: &Batch<'_>,
) -> Result<Vec<Answer>, Problem> {
    let mut inquiry = Inquiry::new(state, permit);
    let step = match batch.semantic {
        Semantic::ExecuteAll => usize::MAX,
        Semantic::DenyOnFirstDeny | Semantic::PermitOnFirstPermit => STEP,
    };
    let mut explainer = Explainer::new(state);
    let mut questions = batch.questions().peekable();
    let mut answers = Vec::new();
    while questions.peek().is_some() {
        let (mut slots, mut inputs) = (Vec::new(), Vec::new());
        let step: Vec<_> = questions.by_ref().take(step).collect();
        inquiry.lookup.know_resources(step.iter().flatten()).await?;
        for question in step {
            slots.push(match question {
                Err(fault) => {
                    let message = format!("{}: {}", fault.field, fault.message);
                    Slot::Answered(Answer::error(StatusCode::BAD_REQUEST, message))
                }
                Ok(question) => match inquiry.prepare(question).await? {
                    Prepared::Refused => {
                        Slot::Answered(Answer::error(StatusCode::FORBIDDEN, REFUSED))
                    }
                    Prepared::Known(answer) => Slot::Answered(answer),
                    Prepared::Open(open) => {
                        inputs.push(open.input);
                        Slot::Open(open.hidden, open.asked, open.explain)
                    }
                },
            });
        }
        let decisions = decide_many(state, &inputs).await?;
        let mut decided = inputs.iter().zip(decisions);
        let digest = state.policy.digest();
        for slot in slots {
            let answer = match slot {
                Slot::Answered(answer) => answer,
                Slot::Open(hidden, asked, explain) => {
                    let (input, decision) = decided
                        .next()
                        .ok_or_else(|| question::unavailable(PolicyUnavailable::Undefined))?;
                    question::keep(state, asked, &decision);
                    let answer = hidden.answer(decision, digest.clone());
                    explainer.explain(input, hidden, explain, answer).await?
                }
            };
            let is_last = batch.semantic.ends_with(answer.decision);
            answers.push(answer);
            if is_last {
                return Ok(answers);
            }
        }
    }
    Ok(answers)
}

async fn decide_many(state: &AppState, inputs: &[Input]) -> Result<Vec<Decision>, Problem> {
    if inputs.is_empty() {
        return Ok(Vec::new());
    }
    question::decide_many(state, inputs).await
}

/// The answers to a batch when the policy has none.
///
/// # Errors
///
/// Any other problem.
pub fn refuse_all(problem: Problem, batch: &Batch<'_>) -> Result<Vec<Answer>, Problem> {
    let answer = Answer::unanswered(problem)?;
    let count = if batch.semantic.ends_with(false) {
        1
    } else {
        batch.questions().count()
    };
    Ok(vec![answer; count])
}

/// A place in the answer to a batch.
enum Slot {
    Answered(Answer),
    Open(Hidden, Option<Asked>, Option<Explain>),
}
