//! `gatepost db backup` and `gatepost db restore`: PostgreSQL's own programs, and around them what
//! they do not know: which key the content is sealed with, how much there is, and what must not
//! come back to life.
//!
//! A backup is one file, a tar of three: `database.dump` (a custom archive of `pg_dump`),
//! `manifest.json` and `SHA256SUMS`. It comes into being whole or not at all.

mod archive;
mod make;
mod model;
mod programs;
mod restore;

pub use self::{
    make::{default_name, make},
    model::{BackupError, Manifest, fingerprint},
    restore::{Consent, Restored, restore},
};
