//! Users: the own profile and password.

pub mod credentials;
pub mod gate;
pub mod handlers;
pub mod model;
pub mod repo;
pub mod service;
