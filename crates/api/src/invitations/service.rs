//! The use cases of invitations. Transactions begin and end here, but for [`redeem`].

use chrono::TimeDelta;
use entity::{role, user, user_role_assignment};
use sea_orm::DbErr;
use serde_json::json;
use uuid::Uuid;

use super::{
    model::{Accept, Create, InvitationError, InvitationView, List, NewInvitation, Revoke},
    repo::{self, Inviting},
};
use crate::{
    access::{actor::Principal, permit::Permit, registered::Spot, resource::ResourceRef},
    audit::{self, Doer},
    crypto::token::{Token, TokenKind},
    database::tx::{Scope, Tx},
    email,
    http::{
        idempotency::Once,
        origin::Origin,
        page::{Cut, Page},
        text::normalized,
    },
    mail::{self, Mail, Message},
    role_assignments::{
        model::{AssignmentError, AssignmentView, ResourceName},
        service::{self as role_assignments, Giving},
    },
    roles::{self, revision::Revised},
    state::AppState,
    users,
};

/// How long an invitation can be accepted.
const OPEN_FOR: TimeDelta = TimeDelta::days(7);
/// Characters that the database has for an address.
const ADDRESS_LENGTH: usize = 254;

/// The invitations of an organization.
pub async fn list(
    state: &AppState,
    permit: &Permit<List>,
    cut: &Cut<InvitationView>,
) -> Result<Page<InvitationView>, InvitationError> {
    let tx = Tx::begin(state, &permit.scope()).await?;
    let rows = repo::of_organization(&*tx, permit.id(), cut).await?;
    tx.commit().await?;
    let now = state.clock.now();
    let views = rows
        .into_iter()
        .map(|(row, role, thing)| {
            let role =
                role.ok_or_else(|| DbErr::RecordNotFound("the role of an invitation".to_owned()))?;
            let id = Some(row.resource_id);
            let name = ResourceName::stored(&row.resource_type, id, thing.as_ref())?;
            Ok(InvitationView::of(row, &role, name, now))
        })
        .collect::<Result<Vec<_>, DbErr>>()?;
    Ok(cut.page(views, |view| view.id, |view| view))
}

/// Invites someone by mail. An open invitation to the same is replaced.
pub async fn create(
    state: &AppState,
    permit: &Permit<Create>,
    new: NewInvitation,
    once: &Once,
) -> Result<InvitationView, InvitationError> {
    let spot = match new.resource {
        Some(name) => name.find(state).await?,
        None => permit.spot(),
    };
    if spot.resource() == ResourceRef::SYSTEM {
        return Err(InvitationError::System);
    }
    let place = role_assignments::permit_to_assign(state, permit, &spot, &new.role).await?;
    if place.located().organization_id() != Some(permit.id()) {
        return Err(InvitationError::NotFound);
    }
    let email_normalized = normalized(&new.email);
    if email_normalized.chars().count() > ADDRESS_LENGTH {
        return Err(InvitationError::Address);
    }
    let now = state.clock.now();
    let tx = Tx::begin(state, &permit.scope()).await?;
    if let Some(answer) = once.claim(&*tx, now).await? {
        return Ok(answer);
    }
    let role = role_assignments::assignable(&*tx, &new.role, &spot, Some(permit.id())).await?;
    role_assignments::demand_all_of(&place, &role, now)?;
    let inviting = Inviting {
        organization_id: permit.id(),
        email: &new.email,
        email_normalized: &email_normalized,
        role: &role,
        resource: spot.resource(),
        invited_by: permit.principal().id,
        expires_at: now + OPEN_FOR,
    };
    repo::queue(&*tx, &inviting).await?;
    repo::replace(&*tx, &inviting, now).await?;
    let token = Token::generate(TokenKind::Invitation);
    let row = repo::insert(&*tx, &inviting, &token, now).await?;
    send(state, &tx, &inviting, &token).await?;
    let view = InvitationView::of(row, &role, (&spot).into(), now);
    let entry = audit::Entry {
        doer: permit.into(),
        action: "invitation.created",
        target: audit::Target::within(Some(permit.id()), "invitation", view.id),
        details: json!({ "role": role.key, "role_id": role.id, "resource": view.resource }),
    };
    audit::record(&*tx, &*state.clock, permit.origin(), entry).await?;
    once.keep(&*tx, &view, now).await?;
    tx.commit().await?;
    state.mail.wake();
    Ok(view)
}

/// Writes the mail with the link; whether anyone has an account there is no matter.
async fn send(
    state: &AppState,
    tx: &Tx<'_>,
    inviting: &Inviting<'_>,
    token: &Token,
) -> Result<(), InvitationError> {
    let inviter = repo::user(&**tx, inviting.invited_by).await?;
    // Who has an account reads their own language; others more likely that of who invites them.
    let recipient = users::repo::find_by_login(&**tx, inviting.email).await?;
    let locale = recipient
        .and_then(|user| user.locale)
        .or_else(|| inviter.as_ref().and_then(|user| user.locale.clone()));
    let inviter = inviter.and_then(|user| user.display_name.or(user.username));
    let organization = repo::organization_name(&**tx, inviting.organization_id).await?;
    let message = Message::Invitation {
        inviter: inviter.unwrap_or_else(|| "An administrator".to_owned()),
        organization: organization.ok_or(InvitationError::NotFound)?,
        role: inviting.role.name.clone(),
        link: email::service::link(state, "invitation", token),
        expires_at: inviting.expires_at,
    };
    let mail = Mail::new(inviting.email, locale.as_deref(), message)
        .map_err(|_| InvitationError::Address)?;
    mail::enqueue(&**tx, &state.sealer, &mail, state.clock.now()).await?;
    Ok(())
}

/// Takes an invitation back. One that has been taken back already stays so.
pub async fn revoke(
    state: &AppState,
    permit: &Permit<Revoke>,
    id: Uuid,
) -> Result<(), InvitationError> {
    let tx = Tx::begin(state, &permit.scope()).await?;
    let row = repo::lock(&*tx, id, permit.id())
        .await?
        .ok_or(InvitationError::NotFound)?;
    if row.accepted_at.is_some() {
        return Err(InvitationError::Accepted);
    }
    if row.revoked_at.is_none() {
        repo::revoke(&*tx, id, state.clock.now()).await?;
        let entry = audit::Entry {
            doer: permit.into(),
            action: "invitation.revoked",
            target: audit::Target::within(Some(permit.id()), "invitation", id),
            details: json!({}),
        };
        audit::record(&*tx, &*state.clock, permit.origin(), entry).await?;
    }
    tx.commit().await?;
    Ok(())
}

/// Accepts an invitation that was sent to the caller's address.
///
/// # Errors
///
/// [`InvitationError::NotFound`] unless the token is that of an open invitation to this address.
pub async fn accept(
    state: &AppState,
    permit: &Permit<Accept>,
    token: &str,
    once: &Once,
) -> Result<Revised<AssignmentView>, InvitationError> {
    // What the invitation opens is a tenant that the caller does not belong to yet.
    let mut tx = Tx::begin(state, &Scope::System).await?;
    if let Some(answer) = once.claim(&*tx, state.clock.now()).await? {
        return Ok(Revised::read(&*tx, answer).await?);
    }
    let user = repo::user(&*tx, permit.id())
        .await?
        .ok_or(InvitationError::NotFound)?;
    let invitee = Invitee {
        doer: permit.into(),
        id: user.id,
        email_normalized: user.email_normalized,
    };
    let (row, role, spot) = take(&mut tx, state, permit.origin(), token, &invitee).await?;
    let view = AssignmentView::of(row, &role, (&spot).into())?;
    once.keep(&*tx, &view, state.clock.now()).await?;
    let revised = Revised::read(&*tx, view).await?;
    tx.commit().await?;
    Ok(revised)
}

/// Whether `token` is that of an open invitation to `email`.
///
/// # Errors
///
/// The database's.
pub async fn is_open(state: &AppState, token: &str, email: &str) -> Result<bool, DbErr> {
    let Some(token) = Token::parse(TokenKind::Invitation, token) else {
        return Ok(false);
    };
    let tx = Tx::begin(state, &Scope::System).await?;
    let found = repo::find_open(&*tx, &token, &normalized(email), state.clock.now()).await?;
    tx.commit().await?;
    Ok(found.is_some())
}

/// What an invitation says to those who hold its token.
pub struct Offer {
    /// The organization's name.
    pub organization: String,
    /// The role's name.
    pub role: String,
    /// The address that it was sent to.
    pub email: String,
    /// The user with that address, but none who waits and has not proven it.
    pub user: Option<user::Model>,
}

/// Reads an open invitation.
///
/// # Errors
///
/// The database's.
pub async fn offer(state: &AppState, token: &str) -> Result<Option<Offer>, DbErr> {
    let Some(token) = Token::parse(TokenKind::Invitation, token) else {
        return Ok(None);
    };
    let tx = Tx::begin(state, &Scope::System).await?;
    let Some(row) = repo::find_by_token(&*tx, &token, state.clock.now()).await? else {
        return Ok(None);
    };
    let role = roles::service::by_id(&*tx, row.role_id).await?;
    let organization = repo::organization_name(&*tx, row.organization_id).await?;
    let user = users::repo::find_by_login(&*tx, &row.email).await?;
    tx.commit().await?;
    Ok(Some(Offer {
        organization: organization.unwrap_or_default(),
        role: role.name,
        email: row.email,
        // As registration with an invitation sees it: who waits and has proven nothing makes way.
        user: user.filter(|user| {
            user.email_verified_at.is_some() || !user.status.starts_with("pending_")
        }),
    }))
}

/// Accepts an invitation for the user whom it was sent to, by the mail alone: only who reads the
/// mail of the address has the token, and all it can do is give this user a role.
///
/// # Errors
///
/// As [`accept`]; [`InvitationError::NotFound`] also if the user may not log in.
pub async fn accept_by_mail(
    state: &AppState,
    origin: &Origin,
    token: &str,
) -> Result<(), InvitationError> {
    let offer = offer(state, token).await?;
    let user = offer
        .and_then(|offer| offer.user)
        .filter(|user| users::gate::admit(user).is_ok())
        .ok_or(InvitationError::NotFound)?;
    let mut tx = Tx::begin(state, &Scope::System).await?;
    redeem(&mut tx, state, origin, token, user.id, &user.email).await?;
    tx.commit().await?;
    Ok(())
}

/// Gives a user who has just been made the role that they were invited to.
///
/// `tx` has to see the rows of all tenants; it is the caller's to commit, and
/// to drop on any error.
///
/// # Errors
///
/// As [`accept`].
pub async fn redeem(
    tx: &mut Tx<'_>,
    state: &AppState,
    origin: &Origin,
    token: &str,
    user_id: Uuid,
    email: &str,
) -> Result<(), InvitationError> {
    let invitee = Invitee {
        doer: Doer::Principal(Principal::user(user_id), None),
        id: user_id,
        email_normalized: normalized(email),
    };
    take(tx, state, origin, token, &invitee).await?;
    Ok(())
}

/// Who takes an invitation up.
struct Invitee {
    doer: Doer,
    id: Uuid,
    email_normalized: String,
}

async fn take(
    tx: &mut Tx<'_>,
    state: &AppState,
    origin: &Origin,
    token: &str,
    joining: &Invitee,
) -> Result<(user_role_assignment::Model, role::Model, Spot), InvitationError> {
    let now = state.clock.now();
    let token = Token::parse(TokenKind::Invitation, token).ok_or(InvitationError::NotFound)?;
    let row = repo::consume(&**tx, &token, &joining.email_normalized, joining.id, now)
        .await?
        .ok_or(InvitationError::NotFound)?;
    let id = Some(row.resource_id);
    // What went took its invitations along.
    let spot = Spot::stored_in(&**tx, &row.resource_type, id).await?;
    let spot = spot.ok_or(InvitationError::NotFound)?;
    let resource = spot.resource();
    let role = roles::service::by_id(&**tx, row.role_id).await?;
    let inviter = row.invited_by.ok_or(InvitationError::InviterLacks)?;
    role_assignments::demand_all_of_user(&**tx, inviter, &role, resource, row.organization_id, now)
        .await
        .map_err(|error| match error {
            AssignmentError::Lacking(_) => InvitationError::InviterLacks,
            other => other.into(),
        })?;
    // The token came by mail, so the address is theirs.
    repo::prove_address(&**tx, joining.id, now).await?;
    let entry = audit::Entry {
        doer: joining.doer,
        action: "invitation.accepted",
        target: audit::Target::within(Some(row.organization_id), "invitation", row.id),
        details: json!({ "role": role.key, "invited_by": inviter }),
    };
    audit::record(&**tx, &*state.clock, origin, entry).await?;
    let giving = Giving {
        principal: Principal::user(joining.id).into(),
        role: &role,
        spot: spot.clone(),
        organization_id: Some(row.organization_id),
        granted_by: Some(inviter),
        reason: Some("accepted an invitation".to_owned()),
        expires_at: None,
    };
    let assignment = role_assignments::give(state, tx, joining.doer, origin, giving).await?;
    Ok((assignment, role, spot))
}
