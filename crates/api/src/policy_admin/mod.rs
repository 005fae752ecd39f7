//! The policy for those who run it: what is in force, taking in new files, bundles for OPA servers.

pub mod handlers;
pub mod model;
pub mod service;
pub mod watch;
