//! Accounts that nobody uses: `DORMANT_AFTER_DAYS` after the last sign of life they are disabled,
//! and `DORMANT_WARN_DAYS` before that their owners are told by mail.
//!
//! Nobody is disabled who was not told that long before, also when the policy is new. Break-glass
//! administrators and the last administrator of the system stay whatever happens. One instance
//! works at a time.

pub mod service;
