//! Everything that rests on a secret: opaque tokens, sealing at rest, passwords, signing keys.
//!
//! All primitives are aws-lc-rs, except Argon2id, which it does not have.

pub mod keys;
pub mod password;
pub mod seal;
pub mod token;
