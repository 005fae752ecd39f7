//! The addresses of users: proving them, and changing them.

pub mod change;
pub mod handlers;
pub mod model;
pub mod service;
