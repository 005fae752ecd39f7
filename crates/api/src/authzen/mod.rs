//! Decisions for applications: the `OpenID` `AuthZEN` Authorization API 1.0.
//!
//! [`request`] reads what was sent, [`lookup`] finds the subjects and resources that it names,
//! [`service`] decides who may ask and puts the questions to the policy.

pub mod handlers;
pub mod lookup;
pub mod model;
pub mod repo;
pub mod request;
pub mod service;
