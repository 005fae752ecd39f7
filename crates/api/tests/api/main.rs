//! The service as its clients see it: over HTTP, on a real PostgreSQL, with the real policy.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod accounts;
mod api_keys;
mod audit;
mod authzen;
mod databases;
mod devices;
mod documents;
mod dormancy;
mod email;
mod forward;
mod guides;
mod harness;
mod imports;
mod indistinct;
mod invitations;
mod login;
mod mail_server;
mod mfa;
mod organizations;
mod outbox;
mod own_account;
mod pages;
mod people;
mod policies;
mod policy;
mod post;
mod program;
mod projects;
mod recovery;
mod refusals;
mod registration;
mod role_assignments;
mod service_accounts;
mod sessions;
mod shell;
mod signing_keys;
mod smtp_sink;
mod soft_key;

mod tenants;
mod token_kinds;
mod tokens;
mod users;
mod webauthn;
