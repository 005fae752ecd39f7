//! Sessions: opening, refreshing, listing and ending them.

pub mod cookie;
pub mod handlers;
pub mod model;
pub mod repo;
pub mod service;
