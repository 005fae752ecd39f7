//! Gatepost: who you are, what you belong to, and what you may do.
//!
//! A request comes in through [`routes`], is wrapped by [`http::envelope`],
//! gets its actor from [`access::authenticate`] and its permit from
//! [`access::permit`], and ends in one of the features. Each feature has the
//! files it needs of `handlers` (HTTP in and out), `service` (what happens;
//! transactions), `repo` (queries) and `model` (types, errors).
//!
//! - Who you are: [`registration`], [`login`], [`mfa`], [`sessions`], [`devices`], [`users`],
//!   [`email`], [`recovery`], [`pages`], [`one_time`], [`activity`], [`keys`], [`api_keys`],
//!   [`service_accounts`], [`tokens`], [`forward`]
//! - What you belong to: [`organizations`], [`accounts`], [`projects`],
//!   [`groups`], [`roles`], [`role_assignments`],
//!   [`role_requests`], [`members`], [`invitations`], [`resources`]
//! - What you may do: [`policy`], [`policy_admin`], [`decisions`], [`authzen`]
//! - Running it: [`config`], [`database`], [`database_admin`], [`admin`], [`dormancy`], [`audit`], [`health`], [`mail`]

pub mod access;
pub mod accounts;
pub mod activity;
pub mod admin;
pub mod api_keys;
pub mod app;
pub mod audit;
pub mod authzen;
pub mod clock;
pub mod command;
pub mod config;
pub mod crypto;
pub mod database;
pub mod database_admin;
pub mod decisions;
pub mod devices;
pub mod dormancy;
pub mod email;
pub mod files;
pub mod forward;
pub mod groups;
pub mod health;
pub mod http;
pub mod import;
pub mod invitations;
pub mod keys;
pub mod login;
pub mod mail;
pub mod members;
pub mod mfa;
pub mod one_time;
pub mod openapi;
pub mod organizations;
pub mod pages;
pub mod policy;
pub mod policy_admin;
pub mod problem;
pub mod problems;
pub mod projects;
pub mod recovery;
pub mod registration;
pub mod resources;
pub mod role_assignments;
pub mod role_requests;
pub mod roles;
pub mod routes;
pub mod server;
pub mod service_accounts;
pub mod sessions;
pub mod state;
pub mod tokens;
pub mod users;
