//! Finds out who calls: the middleware of every protected route.

use std::sync::Arc;

use actix_web::{
    Error, HttpMessage, HttpRequest,
    body::{BoxBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    http::header::AUTHORIZATION,
    middleware::Next,
    web::Data,
};
use aws_lc_rs::digest::{SHA256, digest};
use entity::session;
use sea_orm::EntityTrait;
use uuid::Uuid;

use super::{
    actor::{Actor, Credential, Principal, SessionState},
    cache::Change,
    grants,
};
use crate::{
    crypto::keys::AccessClaims,
    problem::{Code, Problem},
    sessions::cookie,
    state::AppState,
};

/// Leaves the [`Actor`] for the handler, or answers `401`.
pub async fn authenticate(
    req: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let state = Data::clone(AppState::of(req.request()));
    match identify(&state, req.request()).await {
        Ok(actor) => {
            req.extensions_mut().insert(actor);
            Ok(next.call(req).await?.map_into_boxed_body())
        }
        Err(problem) => Ok(req.error_response(problem)),
    }
}

/// Who sent `request`.
///
/// # Errors
///
/// `401` without a token that counts now, `403` with a cookie but no CSRF
/// token, `503` if the database cannot say.
async fn identify(state: &AppState, request: &HttpRequest) -> Result<Actor, Problem> {
    let session = match bearer(request)? {
        Some(token) => {
            let claims = verified(state, token)?;
            live_session(state, claims.sid)
                .await?
                .filter(|session| session.user_id == claims.sub)
        }
        None => match cookie::presented(state, request).await? {
            Some(id) => live_session(state, id).await?,
            None => None,
        },
    };
    let session = session.ok_or_else(|| Problem::plain(Code::Unauthenticated))?;
    let subject = grants::subject(state, Principal::user(session.user_id)).await?;
    let subject = subject
        .filter(|subject| subject.status == "active")
        .ok_or_else(|| Problem::plain(Code::Unauthenticated))?;
    Ok(Actor {
        subject,
        credential: Credential::Session(session),
    })
}

/// The token of `Authorization: Bearer` (RFC 6750, section 2.1).
fn bearer(request: &HttpRequest) -> Result<Option<&str>, Problem> {
    let mut values = request.headers().get_all(AUTHORIZATION);
    let Some(value) = values.next() else {
        return Ok(None);
    };
    let refused = || Problem::plain(Code::Unauthenticated);
    if values.next().is_some() {
        return Err(refused());
    }
    let text = value.to_str().map_err(|_| refused())?;
    match text.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => Ok(Some(token.trim())),
        _ => Err(refused()),
    }
}

/// The claims of an access token. A signature is checked once, expiry each time.
fn verified(state: &AppState, token: &str) -> Result<Arc<AccessClaims>, Problem> {
    let refused = || Problem::plain(Code::Unauthenticated);
    let now = state.clock.now();
    let mut key = [0; 32];
    key.copy_from_slice(digest(&SHA256, token.as_bytes()).as_ref());
    if let Some(claims) = state.cache.tokens.get(&key) {
        return if claims.exp > now.timestamp() {
            Ok(claims)
        } else {
            Err(refused())
        };
    }
    let claims = state.keys.verify(token, now).map_err(|_| refused())?;
    let claims = Arc::new(claims);
    state.cache.tokens.insert(key, Arc::clone(&claims));
    Ok(claims)
}

/// A session that has not ended: not revoked, not idle for too long, not over.
async fn live_session(state: &AppState, id: Uuid) -> Result<Option<Arc<SessionState>>, Problem> {
    let load = async || {
        let row = session::Entity::find_by_id(id).one(&state.db).await?;
        Ok::<_, sea_orm::DbErr>(row.filter(|row| row.revoked_at.is_none()).map(|row| {
            Arc::new(SessionState {
                id: row.id,
                user_id: row.user_id,
                auth_time: row.auth_time,
                amr: row.amr,
                idle_expires_at: row.idle_expires_at,
                expires_at: row.expires_at,
            })
        }))
    };
    let now = state.clock.now();
    let is_live =
        |session: &Arc<SessionState>| session.expires_at > now && session.idle_expires_at > now;
    let session = state.cache.sessions.get_or_load(id, load).await?;
    if session.as_ref().is_none_or(is_live) {
        return Ok(session);
    }
    // Refreshes of other instances move the end without a notification: look again before saying no.
    state.cache.forget(&Change::Session(id));
    let session = state.cache.sessions.get_or_load(id, load).await?;
    Ok(session.filter(is_live))
}
