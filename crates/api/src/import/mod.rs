//! Users of other systems, with the hashes of their passwords, from a file.
//!
//! The file is read twice: first every line is checked, then they are written, a transaction for
//! each batch. Whoever is there already (by e-mail address) is left as they are, so that an import
//! that was interrupted is run again.

pub mod model;
pub mod read;
pub mod repo;
pub mod service;
