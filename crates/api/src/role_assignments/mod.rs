//! Role assignments: who holds which role where.

pub mod handlers;
pub mod model;
mod repo;
pub mod service;
pub mod trial;
