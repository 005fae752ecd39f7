//! Second factors: enrolling them, proving them at login and in a session, and what stands in for
//! them when they are lost.
//!
//! | module | is about |
//! |---|---|
//! | [`attempts`] | how often a factor may be tried, counted before anything is compared |
//! | [`proof`] | is this the factor? One check for login, enrolment and step-up |
//! | [`totp`], [`email`], [`webauthn`], [`recovery`] | the kinds of factor |
//! | [`pending`] | logins that wait for a factor, and challenges inside a session |
//! | [`login`] | the second half of a login: challenge, proof, enrolment when one is demanded |
//! | [`service`] | factors of the own account |
//! | [`step_up`] | proving again, inside a session, who one is |

pub mod attempts;
pub mod email;
pub mod enrolment;
pub mod handlers;
pub mod login;
pub mod model;
pub mod notices;
pub mod pending;
pub mod proof;
pub mod recovery;
pub mod repo;
pub mod service;
pub mod step_up;
pub mod totp;
pub mod webauthn;
