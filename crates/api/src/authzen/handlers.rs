//! HTTP in, HTTP out.

use actix_web::{
    HttpResponse,
    http::header::CACHE_CONTROL,
    web::{Data, Json},
};

use super::{
    model::{Answer, Answers, Evaluate, Metadata, Outcome},
    request::{BatchText, QuestionText, Questions, Sent},
    service,
};
use crate::{access::permit::Permit, problem::Problem, state::AppState};

/// May this subject take this action on this resource?
///
/// A no is a `200`, too. To ask about someone else, the caller needs `authz:evaluate` at the
/// organization of the resource, or at the system where there is none.
#[utoipa::path(post, path = "/access/v1/evaluation", tag = "Authorization", request_body = QuestionText,
    responses((status = 200, description = "Yes or no", body = Answer)))]
pub async fn evaluation(
    permit: Result<Permit<Evaluate>, Problem>,
    state: Data<AppState>,
    sent: Sent,
) -> Result<Json<Answer>, Problem> {
    let question = sent.question()?;
    let answer = match permit {
        Ok(permit) => service::one(&state, &permit, question).await,
        Err(problem) => Err(problem),
    };
    answer.or_else(Answer::unanswered).map(Json)
}

/// Many such questions at once.
///
/// The faults of one item, and that the caller may not ask it, are told in its place of the answer.
#[utoipa::path(post, path = "/access/v1/evaluations", tag = "Authorization", request_body = BatchText,
    responses((status = 200, description = "One answer for each item, in their order", body = Outcome)))]
pub async fn evaluations(
    permit: Result<Permit<Evaluate>, Problem>,
    state: Data<AppState>,
    sent: Sent,
) -> Result<Json<Outcome>, Problem> {
    let outcome = match sent.questions()? {
        Questions::One(question) => {
            let answer = match permit {
                Ok(permit) => service::one(&state, &permit, *question).await,
                Err(problem) => Err(problem),
            };
            Outcome::One(answer.or_else(Answer::unanswered)?)
        }
        Questions::Many(batch) => {
            let answers = match permit {
                Ok(permit) => service::many(&state, &permit, &batch).await,
                Err(problem) => Err(problem),
            };
            let refuse = |problem| service::refuse_all(problem, &batch);
            Outcome::Many(Answers {
                evaluations: answers.or_else(refuse)?,
            })
        }
    };
    Ok(Json(outcome))
}

/// Where the endpoints for decisions are.
#[utoipa::path(get, path = "/.well-known/authzen-configuration", tag = "Authorization",
    responses((status = 200, description = "The endpoints that there are", body = Metadata)))]
pub async fn metadata(state: Data<AppState>) -> HttpResponse {
    HttpResponse::Ok()
        .insert_header((CACHE_CONTROL, "max-age=3600"))
        .json(Metadata::at(&state.public_url))
}
