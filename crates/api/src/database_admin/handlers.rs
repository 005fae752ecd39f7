//! HTTP in, HTTP out.

use actix_web::web::{Data, Json};

use super::{
    model::{ConnectionTest, DatabaseView, ReadDatabase, TestDatabase, TestResult},
    service,
};
use crate::{access::permit::Permit, http::body::Body, problem::Problem, state::AppState};

/// The database of this installation: version, encryption, migrations, connections, sizes, slow
/// queries.
#[utoipa::path(get, path = "/api/admin/database", tag = "Administration",
    responses((status = 200, body = DatabaseView)))]
pub async fn show(
    permit: Permit<ReadDatabase>,
    state: Data<AppState>,
) -> Result<Json<DatabaseView>, Problem> {
    Ok(Json(service::show(&state, &permit).await?))
}

/// Tries a connection to a PostgreSQL, as `gatepost db check` does, and tells what keeps this
/// program from working there.
#[utoipa::path(post, path = "/api/admin/database/test", tag = "Administration", request_body = ConnectionTest,
    responses((status = 200, body = TestResult)))]
pub async fn test(
    permit: Permit<TestDatabase>,
    state: Data<AppState>,
    body: Body<ConnectionTest>,
) -> Result<Json<TestResult>, Problem> {
    Ok(Json(service::test(&state, &permit, body.value).await?))
}
