//! The public side of the signing keys. The keys themselves are in [`crate::crypto::keys`].

pub mod handlers;
