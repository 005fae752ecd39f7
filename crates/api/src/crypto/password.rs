//! Passwords: what may be one, and how they are hashed and checked.

mod decoys;
mod foreign;
mod hasher;
mod rules;

pub use decoys::Decoys;
pub use foreign::{Format, FormatFault, MAX_TEXT};
pub use hasher::{Argon2Params, HashingError, PasswordHasher, Verification};
pub use rules::{MAX_BYTES, MAX_CODE_POINTS, NewPassword, Password, PasswordFault, fold};
