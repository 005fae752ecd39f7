//! Login by password, its throttling, and the forced change of a password.

pub mod handlers;
pub mod model;
pub mod service;
pub mod throttle;
