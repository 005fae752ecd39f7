//! One file per table: its shape, no behaviour.
//!
//! | module | table | a row is |
//! |---|---|---|
//! | [`account`] | `accounts` | A part of an organization |
//! | [`api_key`] | `api_keys` | A key by which a program calls, for a person or for a service account |
//! | [`audit_log`] | `audit_log` | Who did what. The API may add entries and read them, nothing else |
//! | [`audit_seal`] | `audit_seals` | The place of an audit entry in the chain. The API may add seals, nothing else |
//! | [`authz_state`] | `authz_state` | One row: the revision of who may do what. Triggers count it up |
//! | [`decision_log`] | `decision_log` | What was decided. The API may add rows and read them, nothing else. Partitioned by day |
//! | [`device_fingerprint`] | `device_fingerprints` | A device that a person used, and whether they trust it |
//! | [`group`] | `groups` | People of an organization who hold roles together |
//! | [`group_member`] | `group_members` | Who is in a group, and so holds what it holds |
//! | [`idempotency_key`] | `idempotency_keys` | What a creating request was answered, to answer the same once more |
//! | [`invitation`] | `invitations` | A person is asked by mail to take a role. The token itself is not stored |
//! | [`lineage`] | `lineage` | One row: which primary the data comes from, and the epoch of sessions |
//! | [`login_throttle`] | `login_throttles` | How often a login was tried and failed, across instances |
//! | [`mfa_factor`] | `mfa_factors` | A second means of a person to prove who they are |
//! | [`mfa_verification`] | `mfa_verifications` | A second factor that was asked for and must be answered |
//! | [`one_time_token`] | `one_time_tokens` | A link or a step that counts once. The token itself is not stored |
//! | [`organization`] | `organizations` | A tenant |
//! | [`outbox`] | `outbox` | Mail and other effects outside the database, written with what causes them |
//! | [`project`] | `projects` | A part of an account |
//! | [`recovery_code`] | `recovery_codes` | A code that stands in for a lost factor, once |
//! | [`refresh_token`] | `refresh_tokens` | The chain of refresh tokens of a session; one of them is unused |
//! | [`resource`] | `resources` | A thing of an application that it registered, and where it stands |
//! | [`role`] | `roles` | A named set of permissions: built in, or made by one organization |
//! | [`role_request`] | `role_requests` | A person asks for a role for a while, and somebody else decides |
//! | [`service_account`] | `service_accounts` | A principal that is a program |
//! | [`session`] | `sessions` | Where a person is logged in: one row per login, kept after it ends |
//! | [`signing_key`] | `signing_keys` | A key that signs access tokens |
//! | [`user`] | `users` | A person who may log in |
//! | [`user_activity`] | `user_activity` | What happened to an account, for its owner to read. Partitioned by month |
//! | [`user_role_assignment`] | `user_role_assignments` | Who holds which role where. It holds on the resource and on all below it |
//! | [`webauthn_challenge`] | `webauthn_challenges` | What a security key or passkey was asked to sign |
//!
//! Rules that hold between tables (tenancy, the last owner, revisions, notifications) are in the
//! crate `migration`, because the database keeps them.
#![expect(
    missing_docs,
    reason = "a column is documented where its name does not say it, and the derives document nothing"
)]

pub mod account;
pub mod api_key;
pub mod audit_log;
pub mod audit_seal;
pub mod authz_state;
pub mod decision_log;
pub mod device_fingerprint;
pub mod group;
pub mod group_member;
pub mod idempotency_key;
pub mod invitation;
pub mod lineage;
pub mod login_throttle;
pub mod mfa_factor;
pub mod mfa_verification;
pub mod one_time_token;
pub mod organization;
pub mod outbox;
pub mod project;
pub mod recovery_code;
pub mod refresh_token;
pub mod resource;
pub mod role;
pub mod role_request;
pub mod service_account;
pub mod session;
pub mod signing_key;
pub mod user;
pub mod user_activity;
pub mod user_role_assignment;
pub mod webauthn_challenge;
