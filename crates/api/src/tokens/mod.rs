//! What applications ask about tokens: whether one counts (RFC 7662), and that it
//! shall count no more (RFC 7009).

pub mod handlers;
pub mod model;
pub mod service;

/// The addresses of both, which take HTTP Basic too, as OAuth clients send it.
pub const PATHS: [&str; 2] = ["/api/auth/introspect", "/api/auth/revoke"];
