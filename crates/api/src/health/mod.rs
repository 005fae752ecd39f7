//! Whether the service is up, and whether it may get traffic.

pub mod handlers;
pub mod model;
pub mod service;
