//! HTTP in, HTTP out.

use actix_web::{
    HttpRequest, HttpResponse,
    web::{Data, Json, Query},
};

use super::{
    cookie,
    model::{CsrfToken, EndOwn, Ended, ReadOwn, Refresh, SessionView, TokenAnswer},
    repo::{self, Which},
    service,
};
use crate::{
    access::permit::Permit,
    http::{
        body::Body,
        origin::Origin,
        page::{Page, Paging},
        path,
    },
    problem::{Code, Problem},
    state::AppState,
};

/// Takes a refresh token and gives the next pair; the old token is dead.
#[utoipa::path(post, path = "/api/auth/refresh", tag = "Authentication", request_body = Refresh,
    responses((status = 200, body = TokenAnswer)))]
pub async fn refresh(
    state: Data<AppState>,
    origin: Origin,
    body: Body<Refresh>,
) -> Result<HttpResponse, Problem> {
    let answer = service::refresh(&state, &origin, &body.value.refresh_token).await?;
    Ok(HttpResponse::Ok().json(answer))
}

/// Ends this session.
#[utoipa::path(post, path = "/api/auth/logout", tag = "Authentication", responses((status = 204)))]
pub async fn logout(
    permit: Permit<EndOwn>,
    state: Data<AppState>,
) -> Result<HttpResponse, Problem> {
    let current = permit.actor().session_id();
    let current = current.ok_or_else(|| Problem::plain(Code::Forbidden))?;
    service::end_own(&state, &permit, Which::Only(current)).await?;
    Ok(HttpResponse::NoContent().cookie(cookie::remove()).finish())
}

/// Ends all sessions of the caller, this one too.
#[utoipa::path(post, path = "/api/auth/logout-all", tag = "Authentication", responses((status = 200, body = Ended)))]
pub async fn logout_all(
    permit: Permit<EndOwn>,
    state: Data<AppState>,
) -> Result<HttpResponse, Problem> {
    let ended = service::end_own(&state, &permit, Which::All).await?;
    Ok(HttpResponse::Ok()
        .cookie(cookie::remove())
        .json(Ended { ended }))
}

/// The token that unsafe methods need beside the session cookie.
#[utoipa::path(get, path = "/api/auth/csrf", tag = "Authentication", responses((status = 200, body = CsrfToken)))]
pub async fn csrf(
    permit: Permit<ReadOwn>,
    state: Data<AppState>,
) -> Result<Json<CsrfToken>, Problem> {
    let current = permit.actor().session_id();
    let current = current.ok_or_else(|| Problem::plain(Code::Forbidden))?;
    Ok(Json(CsrfToken {
        csrf_token: cookie::csrf_token(&state, current),
    }))
}

/// The caller's live sessions.
#[utoipa::path(get, path = "/api/users/me/sessions", tag = "The own account", params(Paging),
    responses((status = 200, body = Page<SessionView>)))]
pub async fn list_own(
    permit: Permit<ReadOwn>,
    state: Data<AppState>,
    paging: Query<Paging>,
) -> Result<Json<Page<SessionView>>, Problem> {
    let cut = paging.cut()?;
    let rows = repo::live(&state.db, permit.id(), state.clock.now(), &cut).await?;
    let current = permit.actor().session_id();
    Ok(Json(cut.page(
        rows,
        |row| row.id,
        |row| SessionView::of(row, current),
    )))
}

/// Ends one of the caller's sessions.
#[utoipa::path(delete, path = "/api/users/me/sessions/{session_id}", tag = "The own account",
    params(("session_id" = uuid::Uuid, Path)), responses((status = 204)))]
pub async fn end_own(
    permit: Permit<EndOwn>,
    state: Data<AppState>,
    req: HttpRequest,
) -> Result<HttpResponse, Problem> {
    let id = path::id(&req, "session_id")?;
    service::end_own(&state, &permit, Which::Only(id)).await?;
    Ok(HttpResponse::NoContent().finish())
}
