//! What the policy answers.

use actix_web::http::StatusCode;

use super::{
    explain::Explainer,
    inquiry::{Inquiry, Open, Prepared},
    model::{Answer, Evaluate},
    request::{Batch, Question, Semantic},
};
use crate::{
    access::{permit::Permit, question},
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
            let decision = question::decide(state, &open.input).await?;
            let mut answer = open.hidden.answer(decision, state.policy.digest());
            Explainer::new(state).explain(&open, &mut answer).await?;
            Ok(answer)
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
        for question in questions.by_ref().take(step) {
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
                        inputs.push(open.input.clone());
                        Slot::Open(open)
                    }
                },
            });
        }
        let mut decisions = decide_many(state, &inputs).await?.into_iter();
        let digest = state.policy.digest();
        for slot in slots {
            let answer = match slot {
                Slot::Answered(answer) => answer,
                Slot::Open(open) => {
                    let decision = decisions.next();
                    let decision = decision
                        .ok_or_else(|| question::unavailable(PolicyUnavailable::Undefined))?;
                    let mut answer = open.hidden.answer(decision, digest.clone());
                    explainer.explain(&open, &mut answer).await?;
                    answer
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
    let decisions = state.policy.decide_many(inputs).await;
    decisions.map_err(question::unavailable)
}

/// A place in the answer to a batch.
enum Slot {
    Answered(Answer),
    Open(Box<Open>),
}
