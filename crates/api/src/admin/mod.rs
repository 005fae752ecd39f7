//! What administrators do with users, and the audit log they read.
//!
//! [`list`] finds users, [`known`] tells what is known of one, [`people`] makes, changes and
//! erases them, [`steps`] takes them from one state to another, [`overview`] counts. Over HTTP
//! and from the command line it is the same code: see [`crate::access::authority`].

pub mod handlers;
pub mod known;
pub mod list;
pub mod model;
pub mod overview;
pub mod people;
pub mod recovery;
pub mod roles;
pub mod service;
pub mod steps;
