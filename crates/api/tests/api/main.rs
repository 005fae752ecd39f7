//! The service as its clients see it: over HTTP, on a real PostgreSQL, with the real policy.
#![expect(
    missing_docs,
    reason = "a test program has no interface; names of tests are sentences"
)]

mod authzen;
mod databases;
mod harness;
mod login;
mod outbox;
mod policy;
mod refusals;
mod registration;
mod sessions;
mod signing_keys;
mod smtp_sink;
mod users;
