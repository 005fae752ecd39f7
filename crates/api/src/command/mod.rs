//! The commands of the program, each one call away from a module that does the work.

pub mod dev;
pub mod health;
pub mod keys;
pub mod logging;
pub mod serve;
