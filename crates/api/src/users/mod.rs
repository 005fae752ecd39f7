//! Users: the own profile and password.

pub mod credentials;
pub mod erasure;
pub mod export;
pub mod gate;
pub mod handlers;
pub mod hashes;
pub mod metadata;
pub mod model;
pub mod repo;
pub mod service;
