//! Groups: people of one organization who hold roles together.

pub mod handlers;
pub mod model;
mod repo;
pub mod service;
