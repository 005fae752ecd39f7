//! How new what a decision rests on has to be, and how new it is: the header `Gatepost-Revision`.
//!
//! A revision counts the changes of who may do what ([`crate::roles::revision`]). Every instance
//! hears of the newest one after all that it stands for, so what is in memory contains at least the
//! last that was heard of.

use std::{str::FromStr, time::Duration};

use actix_web::{
    Error,
    body::{BoxBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    http::header::HeaderValue,
    middleware::Next,
    web::Data,
};
use sea_orm::DbErr;
use tokio::time::{Instant, sleep};

use crate::{
    problem::Problem,
    roles::revision::{self, GATEPOST_REVISION},
    state::AppState,
};

/// How long a request waits for the revision that it asks for.
const PATIENCE: Duration = Duration::from_millis(100);
/// How often it looks meanwhile.
const LOOK_EVERY: Duration = Duration::from_millis(2);

tokio::task_local! {
    static AT_WORK: Freshness;
}

/// What the request at work goes by.
#[derive(Clone, Copy)]
struct Freshness {
    revision: i64,
    is_from_database: bool,
}

/// Whether the request at work wants nothing from memory.
pub(super) fn is_from_database() -> bool {
    AT_WORK
        .try_with(|freshness| freshness.is_from_database)
        .unwrap_or(false)
}

/// The revision that everything contains which the request at work finds out, where it is known.
pub fn revision() -> Option<i64> {
    AT_WORK.try_with(|freshness| freshness.revision).ok()
}

/// What a request asks for.
enum Wanted {
    /// This revision or a newer one.
    AtLeast(i64),
    /// Everything that is committed.
    Latest,
}

impl FromStr for Wanted {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        if text == "latest" {
            return Ok(Self::Latest);
        }
        let number = text.strip_prefix("at-least=").ok_or(())?;
        let digits = number.bytes().all(|byte| byte.is_ascii_digit());
        digits.then_some(()).ok_or(())?;
        number.parse().map(Self::AtLeast).map_err(|_| ())
    }
}

/// Middleware of the routes that decide: sees to it that they go by what the request's
/// `Gatepost-Revision` asks for, and says in the answer's what they went by.
///
/// # Errors
///
/// `400` for a header that cannot be read, and for a revision that there is not.
pub(crate) async fn keep(
    req: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let state = Data::clone(AppState::of(req.request()));
    let freshness = match find(&state, req.headers().get(&GATEPOST_REVISION)).await {
        Ok(freshness) => freshness,
        Err(problem) => return Ok(req.error_response(problem)),
    };
    let answer = AT_WORK.scope(freshness, next.call(req)).await?;
    let mut answer = answer.map_into_boxed_body();
    let revision = HeaderValue::from(freshness.revision);
    answer
        .headers_mut()
        .insert(GATEPOST_REVISION.clone(), revision);
    Ok(answer)
}

async fn find(state: &AppState, header: Option<&HeaderValue>) -> Result<Freshness, Problem> {
    let wanted = header.map(|value| value.to_str().unwrap_or_default().parse());
    let wanted = wanted.transpose().map_err(|()| {
        let message = "must be `latest`, or `at-least=` and a number of an earlier answer";
        Problem::invalid("Gatepost-Revision", "invalid", message)
    })?;
    match wanted {
        None => match state.cache.revision() {
            Some(revision) => Ok(Freshness {
                revision,
                is_from_database: false,
            }),
            None => Ok(stored(state).await?),
        },
        Some(Wanted::Latest) => Ok(stored(state).await?),
        Some(Wanted::AtLeast(number)) => at_least(state, number).await,
    }
}

/// Waits until memory contains `number`, or else goes by the database.
async fn at_least(state: &AppState, number: i64) -> Result<Freshness, Problem> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(revision) = state.cache.revision().filter(|known| *known >= number) {
            return Ok(Freshness {
                revision,
                is_from_database: false,
            });
        }
        let freshness = stored(state).await?;
        if freshness.revision >= number {
            return Ok(freshness);
        }
        // The change may be about to be committed, or the database behind what it was.
        if Instant::now() >= deadline {
            let message = format!(
                "asks for revision {number}, and there is none after {}",
                freshness.revision
            );
            return Err(Problem::invalid("Gatepost-Revision", "unknown", message));
        }
        sleep(LOOK_EVERY).await;
    }
}

/// Nothing from memory. The revision is read first, so that what is read later contains it.
async fn stored(state: &AppState) -> Result<Freshness, DbErr> {
    Ok(Freshness {
        revision: revision::stored(&state.db).await?,
        is_from_database: true,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_asks_for_the_latest_or_for_a_revision() {
        let read = |text: &str| text.parse::<Wanted>();
        assert!(matches!(read("latest"), Ok(Wanted::Latest)));
        assert!(matches!(read("at-least=0"), Ok(Wanted::AtLeast(0))));
        assert!(matches!(read("at-least=34"), Ok(Wanted::AtLeast(34))));
        for wrong in [
            "",
            "34",
            "Latest",
            "at-least=",
            "at-least=-1",
            "at-least=+1",
            "at-least= 1",
            "at-least=99999999999999999999",
        ] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
