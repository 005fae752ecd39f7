//! Searches: who may do this, with what may someone do this, and what may someone do.
//!
//! [`places`] and [`holders`] find candidates in the database, in the order of their ids and only
//! as many as a page needs; [`service`] puts each to the policy by the way that an evaluation
//! takes, so a search cannot say anything else than evaluations would; [`token`] is how a client
//! goes on from page to page.

mod actions;
mod holders;
pub mod model;
mod places;
pub mod service;
mod token;
