//! The devices that people log in from: which are new, and which are trusted.
//!
//! A device is known by the family of its browser and its platform ([`agent`]). That is little on
//! purpose: it does not change with every update, and it tells no two people apart. The network
//! it was last seen in is kept beside it, for its owner to read; it decides nothing, because
//! people move about.
//!
//! Trust is another matter: it hangs on a token that the device keeps, never on what it looks like.

pub mod agent;
pub mod handlers;
pub mod model;
pub mod repo;
pub mod service;

pub use service::{forget, seen, trust, trusted};
