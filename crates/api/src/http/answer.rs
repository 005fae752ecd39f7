//! Answers with one resource: its entity tag, and where it is found.

use actix_web::{
    HttpResponse,
    http::header::{ETAG, LOCATION},
};
use serde::Serialize;

use super::etag;

/// What a single-resource answer is made of.
pub trait Versioned: Serialize {
    /// The version that `ETag` tells.
    fn version(&self) -> i64;
}

/// `200` with the resource and its `ETag`.
pub fn single(view: &impl Versioned) -> HttpResponse {
    HttpResponse::Ok()
        .insert_header((ETAG, etag::of(view.version())))
        .json(view)
}

/// `201` with the resource, its `ETag` and its address.
pub fn created(location: String, view: &impl Versioned) -> HttpResponse {
    HttpResponse::Created()
        .insert_header((LOCATION, location))
        .insert_header((ETAG, etag::of(view.version())))
        .json(view)
}
