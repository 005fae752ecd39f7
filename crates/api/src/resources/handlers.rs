//! HTTP in, HTTP out.

use std::fmt::Write as _;

use actix_web::{
    HttpResponse,
    web::{Data, Json, Path, Query},
};

use super::{
    model::{
        BatchAnswer, ManageAnywhere, ReadAnywhere, ResourceBatch, ResourceBody, ResourceFilter,
        ResourceView,
    },
    service,
};
use crate::{
    access::permit::Permit,
    http::{answer, body::Body, etag::IfMatch, page::Page},
    problem::Problem,
    state::AppState,
};

/// The registered resources that the caller may read.
#[utoipa::path(get, path = "/api/resources", tag = "Authorization", operation_id = "list_resources",
    params(ResourceFilter), responses((status = 200, body = Page<ResourceView>)))]
pub async fn list(
    permit: Permit<ReadAnywhere>,
    state: Data<AppState>,
    filter: Query<ResourceFilter>,
) -> Result<Json<Page<ResourceView>>, Problem> {
    let cut = filter.paging().cut()?;
    let parent = filter.parent()?;
    let kind = filter.r#type.as_deref();
    Ok(Json(
        service::list(&state, &permit, kind, parent.as_ref(), &cut).await?,
    ))
}

/// One registered resource.
#[utoipa::path(get, path = "/api/resources/{type}/{id}", tag = "Authorization",
    operation_id = "read_resource",
    params(("type" = String, Path, min_length = 1, max_length = 63),
        ("id" = String, Path, min_length = 1, max_length = 256)),
    responses((status = 200, body = ResourceView)))]
pub async fn read(
    permit: Permit<ReadAnywhere>,
    state: Data<AppState>,
    name: Path<(String, String)>,
) -> Result<HttpResponse, Problem> {
    let (kind, id) = name.into_inner();
    Ok(answer::single(
        &service::read(&state, &permit, &kind, &id).await?,
    ))
}

/// Registers a resource, or changes what is registered of it.
///
/// Needs `resource:manage` at what it stands below, and where it stood before.
#[utoipa::path(put, path = "/api/resources/{type}/{id}", tag = "Authorization",
    operation_id = "put_resource", request_body = ResourceBody,
    params(("type" = String, Path, min_length = 1, max_length = 63),
        ("id" = String, Path, min_length = 1, max_length = 256),
        ("If-Match" = Option<String>, Header)),
    responses((status = 200, body = ResourceView), (status = 201, body = ResourceView)))]
pub async fn put(
    permit: Permit<ManageAnywhere>,
    state: Data<AppState>,
    name: Path<(String, String)>,
    if_match: IfMatch,
    body: Body<ResourceBody>,
) -> Result<HttpResponse, Problem> {
    let resource = service::named(name.into_inner(), body.value)?;
    let place = format!(
        "/api/resources/{}/{}",
        &*resource.r#type,
        encoded(&resource.id)
    );
    let put = service::put(&state, &permit, resource, &if_match).await?;
    Ok(put.answer(|(is_new, view)| {
        if is_new {
            answer::created(place, &view)
        } else {
            answer::single(&view)
        }
    }))
}

/// Registers up to 1,000 resources, or changes what is registered of them: all or none.
#[utoipa::path(post, path = "/api/resources/batch", tag = "Authorization",
    operation_id = "register_resources", request_body = ResourceBatch,
    responses((status = 200, body = BatchAnswer)))]
pub async fn register(
    permit: Permit<ManageAnywhere>,
    state: Data<AppState>,
    body: Body<ResourceBatch>,
) -> Result<HttpResponse, Problem> {
    let done = service::register(&state, &permit, body.value.resources).await?;
    Ok(done.answer(|answer| HttpResponse::Ok().json(answer)))
}

/// Takes a resource and all that is registered below it off the register.
#[utoipa::path(delete, path = "/api/resources/{type}/{id}", tag = "Authorization",
    operation_id = "delete_resource",
    params(("type" = String, Path, min_length = 1, max_length = 63),
        ("id" = String, Path, min_length = 1, max_length = 256),
        ("If-Match" = Option<String>, Header)),
    responses((status = 204)))]
pub async fn delete(
    permit: Permit<ManageAnywhere>,
    state: Data<AppState>,
    name: Path<(String, String)>,
    if_match: IfMatch,
) -> Result<HttpResponse, Problem> {
    let (kind, id) = name.into_inner();
    let deleted = service::delete(&state, &permit, &kind, &id, &if_match).await?;
    Ok(deleted.answer(|()| HttpResponse::NoContent().finish()))
}

/// An id as one segment of a path (RFC 3986, 2.3).
fn encoded(id: &str) -> String {
    let mut segment = String::with_capacity(id.len());
    for byte in id.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            segment.push(char::from(byte));
        } else {
            let _ = write!(segment, "%{byte:02X}");
        }
    }
    segment
}
