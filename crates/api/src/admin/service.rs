//! The use cases of administration. Transactions begin and end here.

use entity::user;
use sea_orm::{
    ActiveModelTrait,
    ActiveValue::Set,
    ColumnTrait, Condition, EntityTrait, IntoActiveModel, QueryFilter,
    sea_query::{Expr, ExprTrait, LikeExpr},
};
use serde_json::json;

use super::model::{AdminError, AuditFilter, Status, UserFilter};
use crate::{
    access::{actor::Principal, cache::Change, grants, permit::Permit, resource::ResourceRef},
    activity,
    audit::{self, Entry, Target},
    database::tx::{Scope, Tx},
    http::{
        etag::IfMatch,
        page::Cut,
        text::{Reason, normalized},
    },
    login::throttle,
    mail::{self, Mail, Message},
    policy,
    sessions::{self, repo::Which},
    state::AppState,
    users::repo,
};

/// A page of users.
///
/// # Errors
///
/// The database's.
pub async fn users(
    state: &AppState,
    filter: &UserFilter,
    cut: &Cut<user::Model>,
) -> Result<Vec<user::Model>, AdminError> {
    let mut query = user::Entity::find();
    if let Some(email) = &filter.email {
        query = query.filter(user::Column::EmailNormalized.eq(normalized(email)));
    }
    if let Some(status) = filter.status {
        query = query.filter(user::Column::Status.eq(status.as_str()));
    }
    if let Some(q) = &filter.q {
        let start = normalized(q)
            .replace('\\', "\\\\")
            .replace('%', "\\%")
            .replace('_', "\\_");
        let like = || LikeExpr::new(format!("{start}%"));
        let name = Expr::cust("lower(display_name)");
        query = query.filter(
            Condition::any()
                .add(user::Column::EmailNormalized.like(like()))
                .add(user::Column::UsernameNormalized.like(like()))
                .add(name.like(like())),
        );
    }
    Ok(cut.apply(query, user::Column::Id).all(&state.db).await?)
}

/// A page of the audit log.
///
/// # Errors
///
/// The database's.
pub async fn audit_entries(
    state: &AppState,
    filter: &AuditFilter,
    cut: &Cut<entity::audit_log::Model>,
) -> Result<Vec<entity::audit_log::Model>, AdminError> {
    use entity::audit_log::{Column, Entity};

    let mut query = Entity::find();
    if let Some(actor) = filter.actor_id {
        query = query.filter(Column::ActorId.eq(actor));
    }
    if let Some(action) = &filter.action {
        query = query.filter(Column::Action.eq(action));
    }
    if let Some(kind) = &filter.target_type {
        query = query.filter(Column::TargetType.eq(kind));
    }
    if let Some(id) = &filter.target_id {
        query = query.filter(Column::TargetId.eq(id));
    }
    if let Some(from) = filter.from {
        query = query.filter(Column::At.gte(from));
    }
    if let Some(until) = filter.until {
        query = query.filter(Column::At.lt(until));
    }
    Ok(cut.apply(query, Column::Id).all(&state.db).await?)
}

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

    fn message(self, state: &AppState) -> Option<Message> {
        match self {
            Self::Approve => Some(Message::AccountApproved {
                link: state.public_url.to_string(),
            }),
            Self::Reject => Some(Message::AccountRejected),
            Self::Disable | Self::Enable => None,
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
    permit: &Permit<A>,
    step: Step,
    if_match: &IfMatch,
    reason: Option<Reason>,
) -> Result<user::Model, AdminError> {
    if permit.id() == permit.actor().user_id() {
        return Err(AdminError::Oneself);
    }
    must_not_be_above(state, permit).await?;
    let mut tx = Tx::begin(state, &Scope::System).await?;
    let user = repo::find_for_update(&*tx, permit.id())
        .await?
        .ok_or(AdminError::NotFound)?;
    if_match
        .check(user.version)
        .map_err(|_| AdminError::Stale)?;
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
    let (id, now, version) = (user.id, state.clock.now(), user.version);
    let mut row = user.into_active_model();
    row.status = Set(target.to_owned());
    row.updated_at = Set(now);
    row.version = Set(version + 1);
    if step == Step::Approve {
        row.approved_by = Set(Some(permit.actor().user_id()));
        row.approved_at = Set(Some(now));
    }
    let user = row.update(&*tx).await?;
    if step == Step::Disable {
        sessions::service::end(&mut tx, state, id, Which::All, "user_disabled").await?;
    }
    if let Some(message) = step.message(state)
        && let Ok(mail) = Mail::new(&user.email, user.locale.as_deref(), message)
    {
        mail::enqueue(&*tx, &state.sealer, &mail, now).await?;
    }
    let details = json!({ "reason": reason.map(String::from) });
    activity::record(
        &*tx,
        &*state.clock,
        permit.origin(),
        id,
        None,
        step.activity_kind(),
        json!({}),
    )
    .await?;
    let entry = Entry {
        doer: permit.into(),
        action: step.audit_action(),
        target: Target::global("user", id),
        details,
    };
    audit::record(&*tx, &*state.clock, permit.origin(), entry).await?;
    tx.changed(Change::User(id));
    tx.commit().await?;
    state.mail.wake();
    Ok(user)
}

/// Nobody changes the state of someone who holds more on the system than they do.
async fn must_not_be_above<A>(state: &AppState, permit: &Permit<A>) -> Result<(), AdminError> {
    let now = state.clock.now();
    let counts = |grant: &&crate::access::actor::Grant| {
        grant.resource == ResourceRef::SYSTEM && grant.expires_at.is_none_or(|end| end > now)
    };
    let subject = grants::subject(state, Principal::user(permit.id())).await?;
    let theirs = subject.ok_or(AdminError::NotFound)?;
    let mine: Vec<String> = permit
        .actor()
        .subject
        .grants
        .iter()
        .filter(counts)
        .flat_map(|grant| grant.permissions.iter().cloned())
        .collect();
    let is_above = theirs
        .grants
        .iter()
        .filter(counts)
        .flat_map(|grant| grant.permissions.iter())
        .any(|permission| !policy::covers(&mine, permission));
    if is_above {
        Err(AdminError::Above)
    } else {
        Ok(())
    }
}
