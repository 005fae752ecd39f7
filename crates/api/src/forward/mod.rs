//! Forward auth: a proxy asks about each request before it passes it on.
//!
//! For nginx (`auth_request`), Traefik (`forwardAuth`) and Caddy (`forward_auth`);
//! examples that work are in `deploy/`.

pub mod handlers;
mod login;
pub mod model;
pub mod service;
