//! Passkeys and security keys: WebAuthn Level 3 by the library `webauthn-rs`.
//!
//! A *passkey* is kept by the device so that it can be found without a name, and verifies its
//! user: it logs in alone, or is a second factor. A *security key* need do neither, and is a second
//! factor only.
//!
//! Each ceremony has two requests. The first makes a challenge and seals what the library must
//! know later into `webauthn_challenges`; the second finds that row by the challenge that the
//! authenticator signed, and uses it up before anything is compared.

mod ceremony;
pub mod handlers;
mod login;
pub mod model;
mod own;
mod relying_party;
mod repo;
pub mod service;

pub use ceremony::Purpose;
pub use model::{Assertion, Proof, RequestOptions, WebauthnFault};
pub use service::{
    begin_enrolment, begin_login, finish_enrolment, finish_login, forget, insert, is_available,
};
