//! HTTP in, HTTP out.

use actix_web::{
    HttpResponse,
    http::header::CACHE_CONTROL,
    web::{Data, Json},
};

use super::{
    model::{Answer, Answers, Evaluate, Outcome, SignedMetadata},
    request::{BatchText, Kind, QuestionText, Questions, SearchText, Sent},
    search::{model::SearchAnswer, service::search},
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

/// Who may take this action on this resource?
///
/// Subjects of one type, page by page: all of whom an evaluation would say yes. Needs
/// `authz:evaluate` at the organization of the resource, where only those are found who hold a role
/// in it, or at the system.
#[utoipa::path(post, path = "/access/v1/search/subject", tag = "Authorization",
    request_body = SearchText,
    responses((status = 200, description = "One part of the subjects", body = SearchAnswer)))]
pub async fn search_subjects(
    permit: Permit<Evaluate>,
    state: Data<AppState>,
    sent: Sent,
) -> Result<Json<SearchAnswer>, Problem> {
    let asked = sent.search(Kind::Subject)?;
    Ok(Json(search(&state, &permit, &asked).await?))
}

/// On which resources may this subject take this action?
///
/// Resources of one type, page by page: all of which an evaluation would say yes. About someone else
/// it needs `authz:evaluate`; what is found then is in the organizations where the caller has that.
#[utoipa::path(post, path = "/access/v1/search/resource", tag = "Authorization",
    request_body = SearchText,
    responses((status = 200, description = "One part of the resources", body = SearchAnswer)))]
pub async fn search_resources(
    permit: Permit<Evaluate>,
    state: Data<AppState>,
    sent: Sent,
) -> Result<Json<SearchAnswer>, Problem> {
    let asked = sent.search(Kind::Resource)?;
    Ok(Json(search(&state, &permit, &asked).await?))
}

/// Which actions may this subject take on this resource?
///
/// Those that the permissions of the service, roles and rules name. About someone else it needs
/// `authz:evaluate` at the organization of the resource, or at the system.
#[utoipa::path(post, path = "/access/v1/search/action", tag = "Authorization",
    request_body = SearchText,
    responses((status = 200, description = "One part of the actions", body = SearchAnswer)))]
pub async fn search_actions(
    permit: Permit<Evaluate>,
    state: Data<AppState>,
    sent: Sent,
) -> Result<Json<SearchAnswer>, Problem> {
    let asked = sent.search(Kind::Action)?;
    Ok(Json(search(&state, &permit, &asked).await?))
}

/// Where the endpoints for decisions are; signed, too, by a key of `/.well-known/jwks.json`.
#[utoipa::path(get, path = "/.well-known/authzen-configuration", tag = "Authorization",
    responses((status = 200, description = "The endpoints that there are", body = SignedMetadata)))]
pub async fn metadata(state: Data<AppState>) -> Result<HttpResponse, Problem> {
    let metadata = SignedMetadata::make(&state.public_url, &state.keys, state.clock.now())
        .map_err(Problem::internal)?;
    Ok(HttpResponse::Ok()
        // No longer than the keys, which may be gone some minutes after a rotation.
        .insert_header((CACHE_CONTROL, "public, max-age=300"))
        .json(metadata))
}
