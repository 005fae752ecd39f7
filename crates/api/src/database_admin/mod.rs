//! The database for those who run the installation: what it is doing, and trying a connection.

pub mod handlers;
pub mod model;
mod repo;
pub mod service;
