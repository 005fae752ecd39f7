//! The service as its clients see it: over HTTP, on a real PostgreSQL, with the real policy.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod accounts;
mod authzen;
mod databases;
mod documents;
mod harness;
mod invitations;
mod login;
mod organizations;
mod outbox;
mod policy;
mod projects;
mod refusals;
mod registration;
mod role_assignments;
mod sessions;
mod signing_keys;
mod smtp_sink;
mod tenants;
mod users;
