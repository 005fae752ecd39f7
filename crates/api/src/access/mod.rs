//! Who calls, what they hold, and the proof that the policy said yes.
//!
//! [`authenticate`] finds the [`actor::Actor`], [`permit`] asks the policy and
//! builds [`permit::Permit`]s, [`cache`] keeps the database off the way, and
//! [`listener`] keeps the cache true.

pub mod actor;
pub mod authenticate;
pub mod authority;
pub mod cache;
pub mod freshness;
pub mod grants;
pub mod key;
pub mod listener;
pub mod memo;
pub mod permit;
pub mod question;
pub mod registered;
pub mod resource;
pub mod seen;
pub mod step_up;
