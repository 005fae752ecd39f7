//! Roles: named sets of permissions. The built-in ones come from the policy's data.
//!
//! Organizations make roles of their own ([`custom`]).
//!
//! [`reach`] tells what grants add up to, [`revision`] counts the changes to
//! who may do what,
//! [`preview`] says what a change would do to it.

pub mod custom;
pub mod handlers;
pub mod model;
pub mod preview;
pub mod reach;
mod repo;
pub mod revision;
pub mod service;
