//! Projects: the parts of an account.

pub mod handlers;
pub mod model;
pub mod moving;
mod repo;
pub mod service;
