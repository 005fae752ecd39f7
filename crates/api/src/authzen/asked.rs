//! What someone at the command line asks: about anyone, with the reasons.

use serde::Serialize;
use serde_json::Map;

use super::{
    explain::{Explain, Explainer},
    inquiry::{Hidden, compose},
    lookup::{Lookup, Named},
    model::{Absence, Answer, PlaceView},
    request::{Entity, Question},
};
use crate::{access::question, problem::Problem, state::AppState};

/// An answer, and what it is about.
#[derive(Debug, Serialize)]
pub struct Asked {
    /// The permission that was asked for.
    pub permission: String,
    /// From the system down to the resource, as far as that is known.
    pub path: Vec<String>,
    /// The answer, explained.
    #[serde(flatten)]
    pub answer: Answer,
}

/// Asks whether `user` may do `action` with `resource`: names as people type them.
///
/// # Errors
///
/// `400` for a name that cannot be read, `503` if there is no answer.
pub async fn ask(
    state: &AppState,
    user: &str,
    action: &str,
    resource: &str,
) -> Result<Asked, Problem> {
    let subject = match user.split_once(':') {
        Some((kind, id)) => entity(kind, id),
        None => entity("user", user),
    };
    let resource = match resource.split_once(':') {
        Some((kind, id)) => entity(kind, id),
        None if resource == "system" => entity("system", "system"),
        None => {
            let message = "must be `system` or `<type>:<id>`";
            return Err(Problem::invalid("resource", "invalid_value", message));
        }
    };
    let question = Question::plain(subject, action, resource)
        .map_err(|fault| Problem::invalid_fields(vec![fault]))?;
    let permission = question.permission.clone();
    let mut lookup = Lookup::of_program(state);
    let absent = |absence| Asked {
        permission: permission.clone(),
        path: Vec::new(),
        answer: Answer::no(absence),
    };
    let Some(standing) = lookup.standing(&question).await? else {
        return Ok(absent(Absence::Resource));
    };
    let named = lookup.named(&question.subject).await?;
    let known = match named {
        Named::Nobody | Named::Foreign => None,
        Named::ById(principal) | Named::ByLogin(principal) => lookup.subject(principal).await?,
    };
    let Some(known) = known else {
        return Ok(absent(Absence::Subject));
    };
    let subject = question::subject(&known);
    let input = compose(state, question, subject, Some(&known), &standing);
    let path = input.resource.path.iter().cloned();
    let path = path
        .map(|place| PlaceView::from(place).to_string())
        .collect();
    let decision = state.policy.decide(&input).await;
    let decision = decision.map_err(question::unavailable)?;
    let answer = Answer::of(decision, state.policy.digest());
    let explain = Explain {
        subject: Some(known),
        organization: standing.base.organization_id(),
        registered: standing.below.ids.len(),
    };
    let mut explainer = Explainer::new(state);
    let answer = explainer
        .explain(&input, Hidden::No, Some(explain), answer)
        .await?;
    Ok(Asked {
        permission,
        path,
        answer,
    })
}

fn entity(kind: &str, id: &str) -> Entity {
    Entity {
        kind: kind.to_owned(),
        id: id.to_owned(),
        properties: Map::new(),
    }
}
