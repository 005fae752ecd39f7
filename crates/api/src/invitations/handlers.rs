//! HTTP in, HTTP out.

use actix_web::{
    HttpRequest, HttpResponse,
    http::header::LOCATION,
    web::{Data, Json, Query},
};
use secrecy::ExposeSecret;

use super::{
    model::{Accept, Acceptance, Create, InvitationView, List, NewInvitation, Revoke},
    service,
};
use crate::{
    access::permit::Permit,
    http::{
        body::Body,
        idempotency::IdempotencyKey,
        page::{Page, Paging},
        path,
    },
    problem::Problem,
    role_assignments::model::AssignmentView,
    state::AppState,
};

/// The invitations of an organization: those that are open, and what became of the others.
#[utoipa::path(get, path = "/api/organizations/{organization_id}/invitations",
    tag = "Organizations, accounts, projects", operation_id = "list_invitations",
    params(("organization_id" = uuid::Uuid, Path), Paging),
    responses((status = 200, body = Page<InvitationView>)))]
pub async fn list(
    permit: Permit<List>,
    state: Data<AppState>,
    paging: Query<Paging>,
) -> Result<Json<Page<InvitationView>>, Problem> {
    let cut = paging.cut()?;
    Ok(Json(service::list(&state, &permit, &cut).await?))
}

/// Invites someone by mail to take a role. The link in it is good for 7 days and for one use.
#[utoipa::path(post, path = "/api/organizations/{organization_id}/invitations",
    tag = "Organizations, accounts, projects", operation_id = "create_invitation", request_body = NewInvitation,
    params(("organization_id" = uuid::Uuid, Path),
        ("Idempotency-Key" = Option<String>, Header, min_length = 1, max_length = 255)),
    responses((status = 201, body = InvitationView)))]
pub async fn create(
    permit: Permit<Create>,
    state: Data<AppState>,
    key: IdempotencyKey,
    body: Body<NewInvitation>,
) -> Result<HttpResponse, Problem> {
    let once = key.of(permit.principal(), body.hash);
    let view = service::create(&state, &permit, body.value, &once).await?;
    let location = format!(
        "/api/organizations/{}/invitations/{}",
        view.organization_id, view.id
    );
    Ok(HttpResponse::Created()
        .insert_header((LOCATION, location))
        .json(view))
}

/// Takes an invitation back.
#[utoipa::path(delete, path = "/api/organizations/{organization_id}/invitations/{invitation_id}",
    tag = "Organizations, accounts, projects", operation_id = "revoke_invitation",
    params(("organization_id" = uuid::Uuid, Path), ("invitation_id" = uuid::Uuid, Path)),
    responses((status = 204)))]
pub async fn revoke(
    permit: Permit<Revoke>,
    state: Data<AppState>,
    req: HttpRequest,
) -> Result<HttpResponse, Problem> {
    service::revoke(&state, &permit, path::id(&req, "invitation_id")?).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Accepts an invitation that was sent to the caller's address; the caller gets the role.
#[utoipa::path(post, path = "/api/invitations/accept", tag = "Organizations, accounts, projects",
    operation_id = "accept_invitation", request_body = Acceptance,
    params(("Idempotency-Key" = Option<String>, Header, min_length = 1, max_length = 255)),
    responses((status = 200, body = AssignmentView)))]
pub async fn accept(
    permit: Permit<Accept>,
    state: Data<AppState>,
    key: IdempotencyKey,
    body: Body<Acceptance>,
) -> Result<HttpResponse, Problem> {
    let once = key.of(permit.principal(), body.hash);
    let joined = service::accept(&state, &permit, body.value.token.expose_secret(), &once).await?;
    Ok(joined.answer(|view| HttpResponse::Ok().json(view)))
}
