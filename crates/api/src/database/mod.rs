//! PostgreSQL: where it is, how it is reached, and what one transaction is.

pub mod backup;
pub mod bundled;
pub mod check;
pub mod connector;
pub mod db;
mod held;
pub mod migrate;
pub mod pattern;
pub mod pool;
pub mod retry;
pub mod setup;
pub mod stats;
pub mod tls;
pub mod tx;
pub mod url;
pub mod verify;
