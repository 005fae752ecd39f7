//! API keys: credentials for programs that act for a person or a service account.
//!
//! A key is 256 random bits behind `gp_`, kept as SHA-256 only. What it may do
//! is in [`crate::access::key`]; this module makes, lists and revokes keys, and
//! writes down when they were used.

pub mod handlers;
pub mod model;
mod repo;
pub mod service;
pub mod usage;
