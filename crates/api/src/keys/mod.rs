//! The signing keys, as others see them. The keys themselves are in [`crate::crypto::keys`].

pub mod handlers;
pub mod model;
pub mod service;
