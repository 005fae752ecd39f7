//! Roles: named sets of permissions. The built-in ones come from the policy's data.
//!
//! [`reach`] tells what grants add up to, [`revision`] counts the changes to
//! who may do what.

pub mod reach;
mod repo;
pub mod revision;
pub mod service;
