//! The session in a cookie, for pages of our own origin, and the CSRF token
//! that every unsafe method needs with it.

use actix_web::{
    HttpRequest,
    cookie::{Cookie, SameSite, time::Duration},
    http::Method,
};
use aws_lc_rs::hmac;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, TimeDelta, Utc};
use entity::session;
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QuerySelect};
use uuid::Uuid;

use super::repo;
use crate::{
    crypto::token::{Token, TokenKind},
    problem::{Code, Problem},
    state::AppState,
};

/// A session in use is written down no more often.
const TOUCH_EVERY: TimeDelta = TimeDelta::minutes(1);
const NAME: &str = "__Host-gatepost_session";
const HEADER: &str = "x-csrf-token";

/// The cookie of a session that was just opened, until `ends_at` when it is to be remembered.
pub fn set(token: &Token, lifetime: Option<Duration>) -> Cookie<'static> {
    let mut cookie = Cookie::build(NAME, token.expose().to_owned())
        .path("/")
        .secure(true)
        .http_only(true)
        .same_site(SameSite::Lax);
    if let Some(lifetime) = lifetime {
        cookie = cookie.max_age(lifetime);
    }
    cookie.finish()
}

/// The cookie that removes it.
pub fn remove() -> Cookie<'static> {
    let mut cookie = Cookie::build(NAME, "").path("/").secure(true).finish();
    cookie.make_removal();
    cookie
}

/// The session whose cookie came, if one did.
///
/// # Errors
///
/// `403 csrf_required` for an unsafe method without the session's CSRF token.
pub async fn presented(state: &AppState, request: &HttpRequest) -> Result<Option<Uuid>, Problem> {
    let Some(cookie) = request.cookie(NAME) else {
        return Ok(None);
    };
    let Some(token) = Token::parse(TokenKind::Session, cookie.value()) else {
        return Ok(None);
    };
    let found: Option<(Uuid, DateTime<Utc>)> = session::Entity::find()
        .select_only()
        .column(session::Column::Id)
        .column(session::Column::LastUsedAt)
        .filter(session::Column::CookieHash.eq(token.hash().to_vec()))
        .filter(repo::is_of_this_epoch())
        .into_tuple()
        .one(&state.db)
        .await?;
    let Some((id, last_used_at)) = found else {
        return Ok(None);
    };
    let is_safe = matches!(
        *request.method(),
        Method::GET | Method::HEAD | Method::OPTIONS
    );
    if !is_safe && !is_csrf_token(state, id, request) {
        return Err(Problem::plain(Code::CsrfRequired));
    }
    // A browser sends no refresh token: using the cookie is what keeps its session alive.
    let now = state.clock.now();
    if now - last_used_at >= TOUCH_EVERY {
        repo::touch(&state.db, id, now).await?;
    }
    Ok(Some(id))
}

/// The CSRF token of a session: an HMAC of its id under `CSRF_SECRET_KEY`.
pub fn csrf_token(state: &AppState, session: Uuid) -> String {
    URL_SAFE_NO_PAD.encode(hmac::sign(&key(state), session.as_bytes()))
}

fn is_csrf_token(state: &AppState, session: Uuid, request: &HttpRequest) -> bool {
    let given = request
        .headers()
        .get(HEADER)
        .and_then(|value| value.to_str().ok());
    given
        .and_then(|text| URL_SAFE_NO_PAD.decode(text).ok())
        .is_some_and(|tag| hmac::verify(&key(state), session.as_bytes(), &tag).is_ok())
}

fn key(state: &AppState) -> hmac::Key {
    hmac::Key::new(hmac::HMAC_SHA256, &state.csrf_key)
}

/// `Max-Age` for a session that lives for `seconds`.
pub fn lifetime(seconds: i64) -> Duration {
    Duration::seconds(seconds.max(0))
}
