//! The use cases of proving an address. Transactions begin and end here.

use chrono::TimeDelta;
use entity::user;
use sea_orm::{ActiveModelTrait, ActiveValue::Set, DbErr, IntoActiveModel};
use serde_json::json;

use super::{change, model::EmailError};
use crate::{
    access::{actor::Principal, cache::Change},
    activity,
    audit::{self, Doer, Entry, Target},
    crypto::token::{Token, TokenKind},
    database::tx::{Scope, Tx},
    http::{origin::Origin, text::normalized},
    mail::{
        self, Message,
        limit::{self, Limited},
    },
    one_time,
    registration::pending,
    state::AppState,
    users,
};

/// How long a link that proves an address is good (NIST SP 800-63B-4, 4.2.1.2).
pub(super) const PROOF_TTL: TimeDelta = TimeDelta::hours(24);

/// The link of a mail to a page of ours.
pub(crate) fn link(state: &AppState, page: &str, token: &Token) -> String {
    format!(
        "{}/account/{page}?token={}",
        state.public_url,
        token.expose()
    )
}

/// Writes the mail that asks a user to prove their address, in the caller's transaction. Links
/// that were sent before are void.
///
/// # Errors
///
/// The database's.
pub async fn send_verification(
    tx: &Tx<'_>,
    state: &AppState,
    user_id: uuid::Uuid,
    email: &str,
    locale: Option<&str>,
) -> Result<(), DbErr> {
    let payload = json!({ "email": normalized(email) });
    let kind = TokenKind::EmailVerification;
    let token = one_time::issue(tx, state, kind, user_id, payload, PROOF_TTL).await?;
    let message = Message::EmailVerification {
        link: link(state, "verify-email", &token),
        expires_at: state.clock.now() + PROOF_TTL,
    };
    mail::notify(tx, state, email, locale, message).await
}

/// Takes the token of a mail as the proof of its address. Answers with the user's status.
///
/// # Errors
///
/// [`EmailError::InvalidToken`].
pub async fn verify(state: &AppState, origin: &Origin, text: &str) -> Result<String, EmailError> {
    if Token::parse(TokenKind::EmailChange, text).is_some() {
        return change::confirm(state, origin, text).await;
    }
    let kind = TokenKind::EmailVerification;
    let found = one_time::find(&state.db, state, kind, text).await?;
    let found = found.ok_or(EmailError::InvalidToken)?;
    let mut tx = Tx::begin(state, &Scope::System).await?;
    // The user before the token, as everywhere: so two never wait for each other.
    let user = users::repo::find_for_update(&*tx, found.user_id).await?;
    let user = user.ok_or(EmailError::InvalidToken)?;
    let token = one_time::consume(&tx, state, kind, text).await?;
    let token = token.ok_or(EmailError::InvalidToken)?;
    let is_closed = matches!(user.status.as_str(), "rejected" | "disabled");
    if is_closed || token.payload["email"] != user.email_normalized.as_str() {
        return Err(EmailError::InvalidToken);
    }
    let (id, now, version) = (user.id, state.clock.now(), user.version);
    let status = pending::after_proof(state, &user);
    let mut row = user.into_active_model();
    row.status = Set(status.clone());
    row.email_verified_at = Set(Some(now));
    row.updated_at = Set(now);
    row.version = Set(version + 1);
    row.update(&*tx).await?;
    let details = json!({ "status": status });
    activity::record(
        &*tx,
        &*state.clock,
        origin,
        id,
        None,
        "email_verified",
        details.clone(),
    )
    .await?;
    let entry = Entry {
        doer: Doer::Principal(Principal::user(id), None),
        action: "user.email_verified",
        target: Target::global("user", id),
        details,
    };
    audit::record(&*tx, &*state.clock, origin, entry).await?;
    tx.changed(Change::User(id));
    tx.commit().await?;
    Ok(status)
}

/// Sends the link that proves an address once more, if someone waits for it.
///
/// # Errors
///
/// [`EmailError::Throttled`] for a network address; nothing that depends on the address.
pub async fn resend(state: &AppState, origin: &Origin, email: &str) -> Result<(), EmailError> {
    let now = state.clock.now();
    if !limit::admit(&state.db, Limited::Address(origin.ip), now).await? {
        let seconds = limit::WINDOW;
        return Err(EmailError::Throttled { seconds });
    }
    let normalized = normalized(email);
    if !limit::admit(&state.db, Limited::Verification(&normalized), now).await? {
        return Ok(());
    }
    let tx = Tx::begin(state, &Scope::System).await?;
    let user = users::repo::find_by_login(&*tx, email).await?;
    if let Some(user) = user.filter(waits_for_proof) {
        let locale = user.locale.as_deref();
        send_verification(&tx, state, user.id, &user.email, locale).await?;
        let entry = Entry {
            doer: Doer::Anonymous,
            action: "user.email_verification_sent",
            target: Target::global("user", user.id),
            details: json!({}),
        };
        audit::record(&*tx, &*state.clock, origin, entry).await?;
    }
    tx.commit().await?;
    state.mail.wake();
    Ok(())
}

fn waits_for_proof(user: &user::Model) -> bool {
    user.email_verified_at.is_none()
        && matches!(
            user.status.as_str(),
            "pending_verification" | "pending_approval" | "active"
        )
}
