//! Invitations: a person is asked by mail to take a role in an organization.

pub mod handlers;
pub mod model;
mod repo;
pub mod service;
