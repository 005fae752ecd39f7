//! Taking a user from one state to another, and what else is done to an account.
//!
//! Each step can be repeated: one that was made before changes nothing, and nobody is told twice.

use entity::user;
use sea_orm::{ActiveModelTrait, ActiveValue::Set, IntoActiveModel};
use serde_json::{Value, json};
use uuid::Uuid;

use super::model::{AdminError, Status, UpdateUser};
use crate::{
    access::{
        actor::{Grant, Principal},
        authority::Authority,
        cache::Change,
        grants,
        resource::ResourceRef,
    },
    activity,
    audit::{self, Entry, Target},
    database::tx::{Scope, Tx},
    devices,
    http::{etag::IfMatch, text::Reason},
    login::throttle,
    mail::{self, Mail, Message},
    mfa, policy,
    sessions::{self, repo::Which},
    state::AppState,
    users::{credentials, repo},
};

/// What an administrator does to a user's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Lets in someone who waits, or who was turned away.
    Approve,
    /// Turns away someone who waits.
    Reject,
    /// Closes an account.
    Disable,
    /// Opens it again, and forgets its wrong passwords.
    Enable,
}

impl Step {
    fn target(self) -> Status {
        match self {
            Self::Approve | Self::Enable => Status::Active,
            Self::Reject => Status::Rejected,
            Self::Disable => Status::Disabled,
        }
    }

    /// States that lead to the target.
    fn sources(self) -> &'static [&'static str] {
        match self {
            Self::Approve => &["pending_approval", "pending_verification", "rejected"],
            Self::Reject => &["pending_approval", "pending_verification"],
            Self::Disable => &["active"],
            Self::Enable => &["disabled"],
        }
    }

    fn audit_action(self) -> &'static str {
        match self {
            Self::Approve => "user.approved",
            Self::Reject => "user.rejected",
            Self::Disable => "user.disabled",
            Self::Enable => "user.enabled",
        }
    }

    fn activity_kind(self) -> &'static str {
        match self {
            Self::Approve => "approved",
            Self::Reject => "rejected",
            Self::Disable => "disabled",
            Self::Enable => "enabled",
        }
    }

    fn message(self, link: String, reason: Option<&Reason>) -> Message {
        match self {
            Self::Approve => Message::AccountApproved { link },
            Self::Reject => reason.map_or(Message::AccountRejected, |reason| {
                Message::AccountRejectedFor {
                    reason: reason.to_string(),
                }
            }),
            Self::Disable => Message::AccountDisabled,
            Self::Enable => Message::AccountEnabled { link },
        }
    }
}

/// Takes a user a step on. A step that was made before changes nothing.
///
/// # Errors
///
/// See [`AdminError`].
pub async fn take<A>(
    state: &AppState,
    by: &Authority<'_, A>,
    step: Step,
    if_match: &IfMatch,
    reason: Option<Reason>,
) -> Result<user::Model, AdminError> {
    let (mut tx, user) = begin(state, by, if_match).await?;
    if step == Step::Enable {
        throttle::forgive(&*tx, user.id, state.clock.now()).await?;
    }
    let target = step.target().as_str();
    if user.status == target {
        tx.commit().await?;
        return Ok(user);
    }
    if !step.sources().contains(&user.status.as_str()) {
        return Err(AdminError::WrongState {
            from: user.status,
            to: step.activity_kind(),
        });
    }
    let now = state.clock.now();
    let mut row = next_version(user, state);
    row.status = Set(target.to_owned());
    match step {
        Step::Approve => {
            row.approved_by = Set(by.user_id());
            row.approved_at = Set(Some(now));
        }
        Step::Enable => row.enabled_at = Set(Some(now)),
        Step::Reject | Step::Disable => {}
    }
    let user = row.update(&*tx).await?;
    if step == Step::Disable {
        sessions::service::end(&mut tx, state, user.id, Which::All, "user_disabled").await?;
        devices::forget(&*tx, user.id, now).await?;
    }
    let message = step.message(state.public_url.to_string(), reason.as_ref());
    let details = json!({ "reason": reason.map(String::from) });
    let (kind, action) = (step.activity_kind(), step.audit_action());
    finish(state, tx, by, &user, kind, action, details, Some(message)).await?;
    Ok(user)
}

/// Lifts the lock that wrong passwords brought. What is not locked stays as it is; a second factor
/// that is locked is so until it is removed.
///
/// # Errors
///
/// See [`AdminError`].
pub async fn unlock(
    state: &AppState,
    by: &Authority<'_, UpdateUser>,
    if_match: &IfMatch,
) -> Result<user::Model, AdminError> {
    let (tx, user) = begin(state, by, if_match).await?;
    if !throttle::forgive(&*tx, user.id, state.clock.now()).await? {
        tx.commit().await?;
        return Ok(user);
    }
    let message = Message::AccountUnlocked {
        link: state.public_url.to_string(),
    };
    let (kind, action) = ("unlocked", "user.unlocked");
    finish(state, tx, by, &user, kind, action, json!({}), Some(message)).await?;
    Ok(user)
}

/// Has the next login set a new password, and ends all that was opened with the old one.
///
/// # Errors
///
/// See [`AdminError`].
pub async fn require_password_change(
    state: &AppState,
    by: &Authority<'_, UpdateUser>,
    if_match: &IfMatch,
    reason: Option<Reason>,
) -> Result<user::Model, AdminError> {
    let (mut tx, user) = begin(state, by, if_match).await?;
    if user.password_must_change {
        tx.commit().await?;
        return Ok(user);
    }
    let mut row = next_version(user, state);
    row.password_must_change = Set(true);
    let user = row.update(&*tx).await?;
    let why = "password_change_required";
    credentials::changed(&mut tx, state, user.id, None, why).await?;
    let details = json!({ "reason": reason.map(String::from) });
    let action = "user.password_change_required";
    finish(state, tx, by, &user, why, action, details, None).await?;
    Ok(user)
}

/// Removes all second factors and recovery codes of someone who has lost them, and ends everything
/// that was opened with them. Who has none stays as they are.
///
/// # Errors
///
/// See [`AdminError`].
pub async fn reset_mfa(
    state: &AppState,
    by: &Authority<'_, UpdateUser>,
    if_match: &IfMatch,
    reason: Option<Reason>,
) -> Result<user::Model, AdminError> {
    let (mut tx, user) = begin(state, by, if_match).await?;
    let removed = mfa::service::remove_all(&tx, user.id).await?;
    if removed == 0 {
        tx.commit().await?;
        return Ok(user);
    }
    let kind = "mfa_reset";
    credentials::changed(&mut tx, state, user.id, None, kind).await?;
    let message = Message::FactorsReset {
        link: state.public_url.to_string(),
    };
    let details = json!({ "reason": reason.map(String::from), "factors": removed });
    let action = "user.mfa_reset";
    finish(state, tx, by, &user, kind, action, details, Some(message)).await?;
    Ok(user)
}

/// Ends all sessions of a user; says how many there were.
///
/// # Errors
///
/// See [`AdminError`].
pub async fn end_sessions(
    state: &AppState,
    by: &Authority<'_, UpdateUser>,
) -> Result<u64, AdminError> {
    let (mut tx, user) = begin(state, by, &IfMatch::Any).await?;
    let why = "ended_by_administrator";
    let ended = sessions::service::end(&mut tx, state, user.id, Which::All, why).await?;
    if ended == 0 {
        tx.commit().await?;
        return Ok(0);
    }
    let details = json!({ "sessions": ended, "reason": why });
    finish(state, tx, by, &user, why, "session.ended", details, None).await?;
    Ok(ended)
}

/// Begins a change of someone, after it is clear that it may be made: locks their row.
pub(super) async fn begin<'s, A>(
    state: &'s AppState,
    by: &Authority<'_, A>,
    if_match: &IfMatch,
) -> Result<(Tx<'s>, user::Model), AdminError> {
    must_not_be_above(state, by).await?;
    let tx = Tx::begin(state, &Scope::System).await?;
    let user = repo::find_for_update(&*tx, by.id())
        .await?
        .ok_or(AdminError::NotFound)?;
    if_match
        .check(user.version)
        .map_err(|_| AdminError::Stale)?;
    Ok((tx, user))
}

/// The row to write, one version on.
pub(super) fn next_version(user: user::Model, state: &AppState) -> user::ActiveModel {
    let version = user.version + 1;
    let mut row = user.into_active_model();
    row.updated_at = Set(state.clock.now());
    row.version = Set(version);
    row
}

/// Writes down what was done, tells it to the user, and commits.
#[expect(
    clippy::too_many_arguments,
    reason = "what an entry is made of, each once"
)]
pub(super) async fn finish<A>(
    state: &AppState,
    mut tx: Tx<'_>,
    by: &Authority<'_, A>,
    user: &user::Model,
    kind: &'static str,
    action: &'static str,
    details: Value,
    message: Option<Message>,
) -> Result<(), AdminError> {
    let (id, now) = (user.id, state.clock.now());
    if let Some(message) = message
        && let Ok(mail) = Mail::new(&user.email, user.locale.as_deref(), message)
    {
        mail::enqueue(&*tx, &state.sealer, &mail, now).await?;
    }
    activity::record_by_other(&*tx, &*state.clock, by.origin(), id, kind, json!({})).await?;
    let entry = Entry {
        doer: by.doer(),
        action,
        target: Target::global("user", id),
        details,
    };
    audit::record(&*tx, &*state.clock, by.origin(), entry).await?;
    tx.changed(Change::User(id));
    tx.commit().await?;
    state.mail.wake();
    Ok(())
}

/// Nobody does this to themselves, or to someone who holds more on the system than they do.
/// The command line stands above everyone.
///
/// # Errors
///
/// [`AdminError::Oneself`], [`AdminError::Above`], [`AdminError::NotFound`].
pub async fn must_not_be_above<A>(
    state: &AppState,
    by: &Authority<'_, A>,
) -> Result<(), AdminError> {
    let Some(actor) = by.actor() else {
        return Ok(());
    };
    if by.user_id() == Some(by.id()) {
        return Err(AdminError::Oneself);
    }
    let subject = grants::subject(state, Principal::user(by.id())).await?;
    let theirs = subject.ok_or(AdminError::NotFound)?;
    let mine = on_the_system(state, &actor.subject.grants);
    let is_above = on_the_system(state, &theirs.grants)
        .iter()
        .any(|permission| !policy::covers(&mine, permission));
    if is_above {
        Err(AdminError::Above)
    } else {
        Ok(())
    }
}

fn on_the_system(state: &AppState, grants: &[Grant]) -> Vec<String> {
    let now = state.clock.now();
    let counts = |grant: &&Grant| {
        grant.resource == ResourceRef::SYSTEM && grant.expires_at.is_none_or(|end| end > now)
    };
    grants
        .iter()
        .filter(counts)
        .flat_map(|grant| grant.permissions.iter().cloned())
        .collect()
}

/// The resource that a user is, for an authority over them.
pub fn user(id: Uuid) -> ResourceRef {
    ResourceRef::new(crate::access::resource::ResourceType::User, id)
}
