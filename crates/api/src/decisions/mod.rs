//! The decision log: what was decided, kept for a while, and decided again under another policy.

pub mod handlers;
pub mod mask;
pub mod model;
pub mod opa_log;
pub mod queue;
pub mod replay;
pub mod repo;
pub mod service;
