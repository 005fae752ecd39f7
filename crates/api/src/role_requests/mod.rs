//! Role requests: people ask for a role for a while, somebody who could give it decides, and it
//! ends by itself.

pub mod handlers;
pub mod model;
mod repo;
pub mod service;
