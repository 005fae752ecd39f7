//! Decisions for applications: the `OpenID` `AuthZEN` Authorization API 1.0.
//!
//! [`request`] reads what was sent, [`lookup`] finds the subjects and resources that it names,
//! [`inquiry`] decides who may ask, [`service`] puts the questions to the policy, and [`search`] finds
//! the questions to which the answer is yes.

pub mod asked;
mod explain;
pub mod handlers;
mod inquiry;
pub mod lookup;
pub mod model;
pub mod repo;
pub mod request;
pub mod search;
pub mod service;
