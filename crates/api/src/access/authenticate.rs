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
use base64::{Engine as _, engine::general_purpose::STANDARD};
use entity::{api_key, session};
use sea_orm::{EntityTrait, QueryFilter};
use uuid::Uuid;
use zeroize::Zeroizing;

use super::{
    actor::{Actor, Credential, Principal, SessionState, Subject},
    cache::Change,
    grants,
    key::KeyState,
};
use crate::{
    api_keys::{self, usage},
    crypto::{
        keys::AccessClaims,
        token::{Token, TokenKind},
    },
    http::origin::Origin,
    problem::{Code, Problem},
    sessions::{self, cookie},
    state::AppState,
    tokens,
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

/// Who sent `request`: by the token or API key that it carries, or else by the session's cookie.
///
/// # Errors
///
/// `401` without a credential that counts now, `403` with a cookie but no CSRF
/// token, `503` if the database cannot say.
pub(crate) async fn identify(state: &AppState, request: &HttpRequest) -> Result<Actor, Problem> {
    let actor = match presented(request)? {
        Some(Presented::Token(token)) => by_access_token(state, token).await?,
        Some(Presented::Key(text)) => by_api_key(state, text).await?,
        Some(Presented::Basic { client_id, key }) => by_api_key(state, &key)
            .await?
            .filter(|actor| actor.principal().id == client_id),
        None => match cookie::presented(state, request).await? {
            Some(id) => by_session(state, id).await?,
            None => None,
        },
    };
    let actor = actor.ok_or_else(|| Problem::plain(Code::Unauthenticated))?;
    if let Some(user_id) = actor.user() {
        state.seen.note(user_id, state.clock.now());
    }
    if let Some(key) = actor.key() {
        usage::note(state, key, Origin::of(request).ip);
    }
    Ok(actor)
}

/// Whose access token this is, if it counts now.
///
/// # Errors
///
/// `503` if the database cannot say.
pub(crate) async fn by_access_token(
    state: &AppState,
    token: &str,
) -> Result<Option<Actor>, Problem> {
    let Some(claims) = verified(state, token) else {
        return Ok(None);
    };
    let actor = by_session(state, claims.sid).await?;
    Ok(actor.filter(|actor| actor.principal() == Principal::user(claims.sub)))
}

/// Whose session this is, if it has not ended and its user may act.
///
/// # Errors
///
/// `503` if the database cannot say.
pub(crate) async fn by_session(state: &AppState, id: Uuid) -> Result<Option<Actor>, Problem> {
    let Some(session) = live_session(state, id).await? else {
        return Ok(None);
    };
    let subject = active(state, Principal::user(session.user_id)).await?;
    Ok(subject.map(|subject| Actor {
        subject,
        credential: Credential::Session(session),
    }))
}

/// For whom the API key with this text acts, if it is good and its owner may act.
///
/// # Errors
///
/// `503` if the database cannot say.
pub(crate) async fn by_api_key(state: &AppState, text: &str) -> Result<Option<Actor>, Problem> {
    let Some(token) = Token::parse(TokenKind::ApiKey, text) else {
        return Ok(None);
    };
    let hash = token.hash();
    let id = match state.cache.key_ids.get(&hash) {
        Some(id) => id,
        None => match api_keys::service::id_of(&state.db, &hash).await? {
            Some(id) => {
                state.cache.key_ids.insert(hash, id);
                id
            }
            None => return Ok(None),
        },
    };
    let load = async || {
        let row = api_key::Entity::find_by_id(id).one(&state.db).await?;
        Ok::<_, sea_orm::DbErr>(row.and_then(KeyState::of).map(Arc::new))
    };
    let key = state.cache.keys.get_or_load(id, load).await?;
    let now = state.clock.now();
    let Some(key) = key.filter(|key| key.is_good(&hash, now)) else {
        return Ok(None);
    };
    let subject = active(state, key.owner).await?;
    Ok(subject.map(|subject| Actor {
        subject: key.narrow(&subject),
        credential: Credential::ApiKey(key),
    }))
}

/// What is known of a principal that may act.
async fn active(state: &AppState, principal: Principal) -> Result<Option<Arc<Subject>>, Problem> {
    let subject = grants::subject(state, principal).await?;
    Ok(subject.filter(|subject| subject.status == "active"))
}

/// What a request carries in `Authorization`.
enum Presented<'a> {
    /// An access token.
    Token(&'a str),
    /// An API key.
    Key(&'a str),
    /// An API key, as OAuth clients send secrets (RFC 6749, section 2.3.1).
    Basic {
        /// The id of the key's owner.
        client_id: Uuid,
        /// The key.
        key: Zeroizing<String>,
    },
}

/// Reads `Authorization`: `Bearer` (RFC 6750, section 2.1), and `Basic` where OAuth clients call.
fn presented(request: &HttpRequest) -> Result<Option<Presented<'_>>, Problem> {
    let mut values = request.headers().get_all(AUTHORIZATION);
    let Some(value) = values.next() else {
        return Ok(None);
    };
    let refused = || Problem::plain(Code::Unauthenticated);
    if values.next().is_some() {
        return Err(refused());
    }
    let text = value.to_str().map_err(|_| refused())?;
    let (scheme, rest) = text.split_once(' ').ok_or_else(refused)?;
    let rest = rest.trim();
    if scheme.eq_ignore_ascii_case("bearer") {
        let is_key = rest.starts_with(TokenKind::ApiKey.prefix());
        let presented = if is_key {
            Presented::Key
        } else {
            Presented::Token
        };
        return Ok(Some(presented(rest)));
    }
    // Browsers send what was once typed into their own dialog with every request: not elsewhere.
    let takes_basic = tokens::PATHS.contains(&request.path());
    (takes_basic && scheme.eq_ignore_ascii_case("basic"))
        .then(|| basic(rest))
        .flatten()
        .map(Some)
        .ok_or_else(refused)
}

/// Client id and secret, each encoded as in a form, with a colon between (RFC 6749, section 2.3.1).
fn basic(encoded: &str) -> Option<Presented<'static>> {
    let text = String::from_utf8(STANDARD.decode(encoded).ok()?).ok()?;
    let (client_id, key) = text.split_once(':')?;
    // Ids and keys have no character that a form would write differently.
    Some(Presented::Basic {
        client_id: Uuid::try_parse(client_id).ok()?,
        key: Zeroizing::new(key.to_owned()),
    })
}

/// The claims of an access token, whatever became of its session. A signature is checked once, expiry each time.
pub(crate) fn verified(state: &AppState, token: &str) -> Option<Arc<AccessClaims>> {
    let now = state.clock.now();
    let mut key = [0; 32];
    key.copy_from_slice(digest(&SHA256, token.as_bytes()).as_ref());
    if let Some(claims) = state.cache.tokens.get(&key) {
        return (claims.exp > now.timestamp()).then_some(claims);
    }
    let claims = Arc::new(state.keys.verify(token, now).ok()?);
    state.cache.tokens.insert(key, Arc::clone(&claims));
    Some(claims)
}

/// A session that has not ended: not revoked, not idle for too long, not over.
async fn live_session(state: &AppState, id: Uuid) -> Result<Option<Arc<SessionState>>, Problem> {
    let load = async || {
        let row = session::Entity::find_by_id(id)
            .filter(sessions::repo::is_of_this_epoch())
            .one(&state.db)
            .await?;
        Ok::<_, sea_orm::DbErr>(row.filter(|row| row.revoked_at.is_none()).map(|row| {
            Arc::new(SessionState {
                id: row.id,
                user_id: row.user_id,
                auth_time: row.auth_time,
                amr: row.amr,
                auth_factor: row.auth_factor.parse().ok(),
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
