//! The use cases of tokens that others hold. Transactions begin and end here.

use entity::refresh_token;
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter};
use serde_json::json;

use super::model::{Introspect, Introspection, TokenUse};
use crate::{
    access::{
        actor::{Actor, Credential},
        authenticate, grants,
        permit::Permit,
    },
    activity,
    api_keys::{model::ApiKeyError, service as api_keys},
    audit::{self, Doer, Target},
    crypto::token::{Token, TokenKind},
    database::tx::Tx,
    problem::Problem,
    sessions::{self, repo::Which},
    state::AppState,
};

/// A token that counts, and for whom.
struct Live {
    token_use: TokenUse,
    actor: Actor,
}

/// What `text` is, if it counts now. A token tells by its form what it is.
async fn find(state: &AppState, text: &str) -> Result<Option<Live>, Problem> {
    let (token_use, actor) = if text.starts_with(TokenKind::ApiKey.prefix()) {
        (
            TokenUse::ApiKey,
            authenticate::by_api_key(state, text).await?,
        )
    } else if let Some(token) = Token::parse(TokenKind::Refresh, text) {
        (
            TokenUse::RefreshToken,
            by_refresh_token(state, &token).await?,
        )
    } else {
        (
            TokenUse::AccessToken,
            authenticate::by_access_token(state, text).await?,
        )
    };
    Ok(actor.map(|actor| Live { token_use, actor }))
}

/// Whose refresh token this is, if it was not used and its session has not ended.
async fn by_refresh_token(state: &AppState, token: &Token) -> Result<Option<Actor>, Problem> {
    let unused = refresh_token::Entity::find()
        .filter(refresh_token::Column::TokenHash.eq(token.hash().to_vec()))
        .filter(refresh_token::Column::UsedAt.is_null())
        .one(&state.db)
        .await?;
    match unused {
        Some(row) => authenticate::by_session(state, row.session_id).await,
        None => Ok(None),
    }
}

/// What is known of a token; of one that does not count, only that.
///
/// # Errors
///
/// `503` if the database cannot say.
pub async fn introspect(
    state: &AppState,
    _: &Permit<Introspect>,
    text: &str,
) -> Result<Introspection, Problem> {
    let Some(Live { token_use, actor }) = find(state, text).await? else {
        return Ok(Introspection::default());
    };
    let subject = &actor.subject;
    let mut said = Introspection {
        active: true,
        token_use: Some(token_use),
        token_type: (token_use != TokenUse::RefreshToken).then_some("Bearer"),
        sub: Some(subject.principal.id),
        principal_type: Some(subject.principal.r#type),
        username: subject.username.clone().or_else(|| subject.email.clone()),
        iss: Some(state.public_url.to_string()),
        roles: Some(grants::system_roles(state, &actor).await?),
        ..Introspection::default()
    };
    match &actor.credential {
        Credential::ApiKey(key) => {
            said.exp = key.expires_at.map(|end| end.timestamp());
            said.iat = Some(key.created_at.timestamp());
            said.jti = Some(key.id.to_string());
            said.permissions = Some(key.permissions.clone());
        }
        Credential::Session(session) => {
            let end = session.expires_at.min(session.idle_expires_at);
            said.exp = Some(end.timestamp());
            said.sid = Some(session.id);
            said.amr = Some(session.amr.clone());
            said.auth_time = Some(session.auth_time.timestamp());
        }
    }
    if token_use == TokenUse::AccessToken
        && let Some(claims) = authenticate::verified(state, text)
    {
        said.exp = Some(claims.exp);
        said.iat = Some(claims.iat);
        said.nbf = Some(claims.nbf);
        said.aud = Some(claims.aud.clone());
        said.jti = Some(claims.jti.clone());
    }
    Ok(said)
}

/// Ends what a token gives: the session of an access or refresh token, or the API key.
/// What does not count is left as it is.
///
/// # Errors
///
/// `503` if the database cannot be written to.
pub async fn revoke(
    state: &AppState,
    permit: &Permit<Introspect>,
    text: &str,
) -> Result<(), Problem> {
    let Some(Live { actor, .. }) = find(state, text).await? else {
        return Ok(());
    };
    let owner = actor.principal();
    let mut tx = Tx::begin(state, &sessions::service::scope(owner.id)).await?;
    let (doer, origin) = (Doer::from(permit), permit.origin());
    match &actor.credential {
        Credential::ApiKey(key) => {
            match api_keys::revoke(&mut tx, state, doer, origin, owner, key.id).await {
                // Somebody else was faster.
                Ok(()) | Err(ApiKeyError::NotFound) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Credential::Session(session) => {
            let which = Which::Only(session.id);
            let ended =
                sessions::service::end(&mut tx, state, owner.id, which, "token_revoked").await?;
            if ended > 0 {
                let details = json!({ "session_id": session.id, "reason": "token_revoked" });
                let (clock, kind) = (&*state.clock, "token_revoked");
                let (id, session_id) = (owner.id, Some(session.id));
                activity::record(&*tx, clock, origin, id, session_id, kind, details.clone())
                    .await?;
                let entry = audit::Entry {
                    doer,
                    action: "session.ended",
                    target: Target::global("user", owner.id),
                    details,
                };
                audit::record(&*tx, clock, origin, entry).await?;
            }
        }
    }
    tx.commit().await?;
    Ok(())
}
