//! Organizations: the tenants.

pub mod handlers;
pub mod model;
mod repo;
pub mod service;
