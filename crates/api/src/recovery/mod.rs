//! Getting an account back: the forgotten password, and "this was not me".

pub mod handlers;
pub mod lockdown;
pub mod model;
pub mod service;
