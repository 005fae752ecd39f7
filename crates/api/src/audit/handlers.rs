//! HTTP in, HTTP out.

use actix_web::web::{Data, Json, Query};

use super::{
    model::{ChainView, VerifyAudit, VerifyFrom},
    service,
};
use crate::{access::permit::Permit, problem::Problem, state::AppState};

/// Checks up to 5,000 links of the audit log's chain, and tells its state.
#[utoipa::path(get, path = "/api/admin/audit/verify", tag = "Administration", params(VerifyFrom),
    responses((status = 200, body = ChainView)))]
pub async fn verify(
    _permit: Permit<VerifyAudit>,
    state: Data<AppState>,
    query: Query<VerifyFrom>,
) -> Result<Json<ChainView>, Problem> {
    let from = query.from.map(|from| i64::from(from.get()));
    Ok(Json(service::check(&state, from).await?))
}
