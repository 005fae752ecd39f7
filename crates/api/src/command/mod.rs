//! The commands of the program, each one call away from a module that does the work.

pub mod admin;
pub mod audit;
pub mod db;
pub mod dev;
mod explain;
pub mod health;
pub mod import;
pub mod keys;
pub mod logging;
pub mod policy;
pub mod replay;
pub mod serve;
pub mod shell;
