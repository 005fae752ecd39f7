//! Accounts: the parts of an organization.

pub mod handlers;
pub mod model;
mod repo;
pub mod service;
