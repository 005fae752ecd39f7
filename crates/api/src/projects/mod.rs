//! Projects: the parts of an account.

pub mod handlers;
pub mod model;
mod repo;
pub mod service;
