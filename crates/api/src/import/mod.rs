//! What other systems know, to be known here: users with their passwords, and for those who had
//! them organizations, accounts, projects and role assignments.
//!
//! A [`source`] gives rows, a [`mapping`] makes them fields of ours, [`person`] and [`place`] judge
//! them, and [`service`] compares them with what is here and writes them, a transaction for each
//! batch. Whatever is here already stays as it is, and ids follow from the ids of the source
//! ([`ids`]): an import that was interrupted is run again, and goes on.

mod holdings;
pub mod ids;
pub mod mapping;
mod people;
pub mod person;
pub mod place;
mod places;
mod progress;
mod reader;
mod repo;
pub mod report;
pub mod service;
pub mod source;
