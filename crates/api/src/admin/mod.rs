//! What administrators do with users, and the audit log they read.

pub mod handlers;
pub mod model;
pub mod service;
