//! Service accounts: principals that are programs. They hold roles as users do, and call by API keys.

pub mod handlers;
pub mod model;
mod repo;
pub mod service;
