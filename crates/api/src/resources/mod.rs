//! What applications register: their own things, where each stands, and what policies see of it.

pub mod handlers;
pub mod model;
mod plan;
mod repo;
pub mod service;
