//! Members: who has access to an organization, an account or a project, and by which ways; and the
//! review of all that is held in an organization.

mod csv;
pub mod handlers;
pub mod model;
mod repo;
pub mod review;
pub mod service;
