//! Erasing a person: the account and all that belongs to it go, at once.
//!
//! What stays are the entries of the audit log, which name people by id. Once the row of `users`
//! is gone, nothing says whose id that was: it has become the pseudonym. See decision 0007.

use entity::user;
use sea_orm::{ConnectionTrait, DbErr, EntityTrait, FromQueryResult, Statement};
use serde_json::json;
use uuid::Uuid;

use super::{model::UserError, repo};
use crate::{
    access::{
        actor::Principal,
        cache::Change,
        permit::{Action, Permit, Target},
    },
    audit::{self, Doer, Entry},
    database::tx::{Scope, Tx},
    http::{etag::IfMatch, origin::Origin},
    login::throttle,
    mail::{self, Mail, Message},
    problem::{Code, Problem, constraint, sqlstate},
    sessions::{self, repo::Which},
    state::AppState,
};

/// The constraint that speaks when the system would be left without an administrator.
pub const LAST_ADMINISTRATOR: &str = "user_role_assignments_last_administrator";
/// What PostgreSQL says when an organization would lose its last owner.
const LAST_OWNER: &str = "GP001";

/// Deleting the own account.
pub struct DeleteOwn;
impl Action for DeleteOwn {
    const NAME: &'static str = "self:delete";
    const TARGET: Target = Target::Own;
    const STEP_UP: bool = true;
}

/// Why somebody was not erased.
#[derive(Debug, thiserror::Error)]
pub enum ErasureError {
    /// No such user, or not any more.
    #[error("user not found")]
    NotFound,
    /// It was changed in the meantime.
    #[error("changed in the meantime")]
    Stale,
    /// Organizations would be left without an owner: their names and ids.
    #[error("sole owner of {}: make someone else owner there, or delete it, first", .0.join(", "))]
    SoleOwner(Vec<String>),
    /// The system would be left without an administrator.
    #[error("the last administrator of the system stays: make another one first")]
    LastAdministrator,
    /// The database failed.
    #[error("database failure")]
    Database(#[source] DbErr),
}

impl From<DbErr> for ErasureError {
    fn from(error: DbErr) -> Self {
        match constraint(&error) {
            Some(LAST_ADMINISTRATOR) => Self::LastAdministrator,
            _ => Self::Database(error),
        }
    }
}

impl From<ErasureError> for Problem {
    fn from(error: ErasureError) -> Self {
        match error {
            ErasureError::NotFound => UserError::NotFound.into(),
            ErasureError::Stale => UserError::Stale.into(),
            ErasureError::SoleOwner(organizations) => Self::new(
                Code::LastOwner,
                format!(
                    "Sole owner of {}. Make someone else owner there, or delete it, first.",
                    organizations.join(", ")
                ),
            ),
            ErasureError::LastAdministrator => Self::plain(Code::LastAdministrator),
            ErasureError::Database(source) => source.into(),
        }
    }
}

/// Erases the caller.
///
/// # Errors
///
/// See [`ErasureError`].
pub async fn erase_own(
    state: &AppState,
    permit: &Permit<DeleteOwn>,
    if_match: &IfMatch,
) -> Result<(), ErasureError> {
    erase(state, permit.id(), permit.into(), permit.origin(), if_match).await
}

/// Erases a user. Whether that may be is the caller's to know.
///
/// # Errors
///
/// See [`ErasureError`]; nothing has changed then.
pub(crate) async fn erase(
    state: &AppState,
    id: Uuid,
    doer: Doer,
    origin: &Origin,
    if_match: &IfMatch,
) -> Result<(), ErasureError> {
    let mut tx = Tx::begin(state, &Scope::System).await?;
    let user = repo::find_for_update(&*tx, id)
        .await?
        .ok_or(ErasureError::NotFound)?;
    if_match
        .check(user.version)
        .map_err(|_| ErasureError::Stale)?;
    // For the caches of this instance; the rows themselves go with the user.
    sessions::service::end(&mut tx, state, id, Which::All, "account_deleted").await?;
    remove_what_no_key_leads_to(&tx, &user).await?;
    user::Entity::delete_by_id(id).exec(&*tx).await?;
    if let Err(error) = tx.execute_unprepared("SET CONSTRAINTS ALL IMMEDIATE").await {
        let is_last_owner = sqlstate(&error).as_deref() == Some(LAST_OWNER);
        drop(tx);
        return Err(if is_last_owner {
            ErasureError::SoleOwner(owned_alone(state, id).await?)
        } else {
            error.into()
        });
    }
    let locale = user.locale.as_deref();
    if let Ok(mail) = Mail::new(&user.email, locale, Message::AccountDeleted) {
        mail::enqueue(&*tx, &state.sealer, &mail, state.clock.now()).await?;
    }
    let entry = Entry {
        doer,
        action: "user.erased",
        target: audit::Target::global("user", id),
        details: json!({}),
    };
    audit::record(&*tx, &*state.clock, origin, entry).await?;
    tx.changed(Change::User(id));
    tx.changed(Change::Grants(Principal::user(id)));
    tx.commit().await?;
    state.mail.wake();
    Ok(())
}

/// Deletes what names a person otherwise than by a foreign key.
async fn remove_what_no_key_leads_to(tx: &Tx<'_>, user: &user::Model) -> Result<(), DbErr> {
    let principal = Principal::user(user.id).to_string();
    let backend = tx.get_database_backend();
    for (sql, values) in [
        (
            "DELETE FROM idempotency_keys WHERE principal = $1",
            vec![principal.into()],
        ),
        (
            "DELETE FROM invitations WHERE email_normalized = $1 OR accepted_by = $2",
            vec![user.email_normalized.as_str().into(), user.id.into()],
        ),
    ] {
        tx.execute_raw(Statement::from_sql_and_values(backend, sql, values))
            .await?;
    }
    throttle::forget(&**tx, user.id).await
}

/// Organizations that have no other owner who is active and whose role does not expire.
async fn owned_alone(state: &AppState, user_id: Uuid) -> Result<Vec<String>, DbErr> {
    #[derive(FromQueryResult)]
    struct Row {
        name: String,
        id: Uuid,
    }
    let sql = "SELECT o.name, o.id FROM user_role_assignments mine \
               JOIN roles r ON r.id = mine.role_id AND r.key = 'owner' AND r.organization_id IS NULL \
               JOIN organizations o ON o.id = mine.resource_id \
               WHERE mine.user_id = $1 AND mine.resource_type = 'organization' AND mine.expires_at IS NULL \
                 AND NOT EXISTS (SELECT FROM user_role_assignments a \
                   LEFT JOIN users u ON u.id = a.user_id \
                   LEFT JOIN service_accounts s ON s.id = a.service_account_id \
                   WHERE a.role_id = mine.role_id AND a.resource_type = 'organization' \
                     AND a.resource_id = o.id AND a.id <> mine.id AND a.expires_at IS NULL \
                     AND 'active' IN (u.status, s.status)) \
               ORDER BY o.name LIMIT 20";
    let tx = Tx::begin(state, &Scope::System).await?;
    let statement =
        Statement::from_sql_and_values(tx.get_database_backend(), sql, [user_id.into()]);
    let rows = Row::find_by_statement(statement).all(&*tx).await?;
    tx.commit().await?;
    Ok(rows
        .into_iter()
        .map(|row| format!("{} ({})", row.name, row.id))
        .collect())
}
