//! Registration: how a person becomes a user, and the break-glass administrator.

pub mod break_glass;
pub mod handlers;
pub mod model;
pub mod pending;
pub mod service;
