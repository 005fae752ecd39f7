//! The conventions of every endpoint, once each: request ids, bodies, pages,
//! entity tags, idempotency keys, where a request came from.

pub mod answer;
pub mod body;
pub mod envelope;
pub mod etag;
pub mod form;
pub mod html;
pub mod idempotency;
pub mod language;
pub mod origin;
pub mod pace;
pub mod page;
pub mod patch;
pub mod path;
pub mod request_id;
pub mod text;
