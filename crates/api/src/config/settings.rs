//! What the program is set to, one struct per section. Nothing here reads the environment.

use std::collections::HashSet;
use std::path::PathBuf;
use std::time::Duration;

use chrono::TimeDelta;
use ipnet::IpNet;
use secrecy::SecretString;
use url::Url;

use super::metadata_schema::MetadataSchema;
use super::secret_key::SecretKey;
use crate::database::url::DatabaseUrl;

/// Everything that an operator can set, read once at startup.
#[derive(Clone, Debug)]
pub struct Config {
    /// `ENVIRONMENT`
    pub environment: Environment,
    /// `PUBLIC_URL`: an origin without path, query or credentials; https in production.
    pub public_url: Url,
    /// Where the program listens, and whom it believes.
    pub http: HttpConfig,
    /// How `PostgreSQL` is reached.
    pub database: DatabaseConfig,
    /// The keys that everything else is derived from.
    pub secrets: SecretsConfig,
    /// The break-glass administrator.
    pub admin: AdminConfig,
    /// Who may join.
    pub registration: RegistrationConfig,
    /// `MFA_REQUIRED`
    pub mfa_required: MfaRequired,
    /// What a password must be, and how it is hashed.
    pub password: PasswordConfig,
    /// How long sessions and their tokens live.
    pub sessions: SessionConfig,
    /// How access tokens are signed.
    pub tokens: TokenConfig,
    /// How many failed logins are taken.
    pub throttle: ThrottleConfig,
    /// How mail leaves.
    pub mail: MailConfig,
    /// Who decides.
    pub policy: PolicyConfig,
    /// What becomes of accounts, and what is kept in them.
    pub accounts: AccountsConfig,
    /// Which decisions are written down, and for how long.
    pub decision_log: DecisionLogConfig,
    /// `ACTIVITY_RETENTION_DAYS`: 1 to 36500 days.
    pub activity_retention_days: u32,
    /// What is logged, and how.
    pub log: LogConfig,
}

/// `ENVIRONMENT`: how much is forgiven.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Environment {
    /// Missing secrets are made up, mail goes to the log.
    Development,
    /// Missing or weak secrets and plaintext mail are refused.
    Production,
}

/// Where the program listens, and whom it believes.
#[derive(Clone, Debug)]
pub struct HttpConfig {
    /// `APP_HOST`: the address to bind.
    pub host: String,
    /// `APP_PORT`: 0 lets the system choose.
    pub port: u16,
    /// `METRICS_PORT`: 0 lets the system choose.
    pub metrics_port: u16,
    /// `TRUSTED_PROXIES`: the only peers whose forwarded headers count.
    pub trusted_proxies: Vec<IpNet>,
    /// `CORS_ORIGINS`: exact origins as browsers send them (`https://app.example.com`).
    pub cors_origins: Vec<String>,
    /// `SHUTDOWN_TIMEOUT`: how long running requests may take to finish.
    pub shutdown_timeout: Duration,
}

/// How `PostgreSQL` is reached.
#[derive(Clone, Debug)]
pub struct DatabaseConfig {
    /// `DATABASE_URL` or what stands for it; `None` only in development.
    pub url: Option<DatabaseUrl>,
    /// `MIGRATION_DATABASE_URL`: the owner's; `None` means `url`.
    pub migration_url: Option<DatabaseUrl>,
    /// `DATABASE_LISTEN_URL`: where changes are heard of; `None` means `url`, if that is no pooler.
    pub listen_url: Option<DatabaseUrl>,
    /// `DATABASE_SCHEMA`: an unquoted identifier.
    pub schema: String,
    /// `DATABASE_MIN_SIZE`: connections that are kept open.
    pub min_size: u32,
    /// `DATABASE_MAX_SIZE`: connections at most; at least 1 and `min_size`.
    pub max_size: u32,
    /// `DATABASE_ACQUIRE_TIMEOUT`: how long a request waits for a connection.
    pub acquire_timeout: Duration,
    /// How long the start waits for the first connection: 30 s, or `acquire_timeout` if longer.
    pub startup_timeout: Duration,
    /// `DATABASE_MAX_LIFETIME`: a connection older than this is replaced.
    pub max_lifetime: Duration,
    /// `DATABASE_IDLE_TIMEOUT`: a connection unused for this long is closed.
    pub idle_timeout: Duration,
    /// `DATABASE_STATEMENT_TIMEOUT`: for everything but requests, see
    /// [`Self::request_statement_timeout`].
    pub statement_timeout: Duration,
    /// `AUTO_MIGRATE`: migrate before serving.
    pub auto_migrate: bool,
    /// `POSTGRES_ECHO`: log each statement.
    pub echo: bool,
    /// `DATABASE_TEST_ALLOWED_HOSTS`; `None` means the host and port of `url`.
    pub test_allowed_hosts: Option<Vec<TestHost>>,
}

/// Where a test of a connection may go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TestHost {
    /// A name, an address, or the directory of a socket.
    pub host: String,
    /// `None` means 5432.
    pub port: Option<u16>,
}

impl DatabaseConfig {
    /// The statement timeout of a request: `statement_timeout`, but 10 s at most, so that one slow
    /// query cannot hold a connection longer than a client waits.
    pub fn request_statement_timeout(&self) -> Duration {
        self.statement_timeout.min(Duration::from_secs(10))
    }
}

/// The keys that everything else is derived from.
#[derive(Clone, Debug)]
pub struct SecretsConfig {
    /// `SECRET_KEY`: `None` only in development.
    pub secret_key: Option<SecretKey>,
    /// `SECRET_KEY_PREVIOUS`: still opens what was sealed before a rotation.
    pub previous: Option<SecretKey>,
    /// `CSRF_SECRET_KEY`: `None` only in development; never equal to `secret_key`.
    pub csrf: Option<SecretKey>,
}

/// The break-glass administrator, made at the first start only.
#[derive(Clone, Debug)]
pub struct AdminConfig {
    /// `ADMIN_EMAIL`
    pub email: String,
    /// What `ADMIN_PASSWORD_FILE` holds; `None` when there is no such file.
    pub password: Option<SecretString>,
}

/// Who may join.
#[derive(Clone, Debug)]
pub struct RegistrationConfig {
    /// `REGISTRATION_MODE`
    pub mode: RegistrationMode,
    /// `REGISTRATION_ALLOWED_DOMAINS`: in lower case; empty means any.
    pub allowed_domains: Vec<String>,
    /// `EMAIL_VERIFICATION`: whether who registers has to prove the address first.
    pub email_verification: bool,
    /// `ORGANIZATION_CREATION`
    pub organization_creation: OrganizationCreation,
}

/// `REGISTRATION_MODE`: how an account comes to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RegistrationMode {
    /// Whoever registers may log in.
    Open,
    /// An administrator approves each.
    Approval,
    /// Only who was invited registers.
    Invitation,
    /// Nobody registers.
    Closed,
}

/// `MFA_REQUIRED`: who must have a second factor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MfaRequired {
    /// Nobody.
    Off,
    /// Holders of a role at the system.
    Admins,
    /// Everyone.
    All,
}

/// `ORGANIZATION_CREATION`: who may make organizations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OrganizationCreation {
    /// Administrators of the whole system.
    Admin,
    /// Every active user.
    Open,
}

/// What becomes of accounts, and what is kept in them.
#[derive(Clone, Debug)]
pub struct AccountsConfig {
    /// `DORMANT_AFTER_DAYS`: none means that accounts are never closed for want of use.
    pub dormancy: Option<DormancyConfig>,
    /// `USER_METADATA_SCHEMA`: what `metadata` has to fit.
    pub metadata_schema: Option<MetadataSchema>,
}

/// When accounts that nobody uses are closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DormancyConfig {
    /// `DORMANT_AFTER_DAYS`: 1 to 3650 days without a sign of life.
    pub after: TimeDelta,
    /// `DORMANT_WARN_DAYS`: the owner is told this long before; shorter than `after`, zero for not
    /// at all.
    pub warn: TimeDelta,
}

/// What a password must be, and how it is hashed.
#[derive(Clone, Debug)]
pub struct PasswordConfig {
    /// `PASSWORD_MIN_LENGTH`: in code points, 8 to 64.
    pub min_length: usize,
    /// What `PASSWORD_BLOCKLIST_FILE` holds, each [normalized](super::normalized_password).
    pub blocklist: HashSet<String>,
    /// How it is hashed.
    pub argon2: Argon2Config,
}

/// Argon2id parameters (RFC 9106) and the limit on waiting hashes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Argon2Config {
    /// `ARGON2_MEMORY_KIB`: at least 8 for each lane.
    pub memory_kib: u32,
    /// `ARGON2_TIME`: passes.
    pub time: u32,
    /// `ARGON2_PARALLELISM`: lanes.
    pub parallelism: u32,
    /// `ARGON2_QUEUE`: hashes that may wait; more are turned away.
    pub queue: usize,
}

/// How long sessions and their tokens live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionConfig {
    /// `ACCESS_TOKEN_TTL`: not longer than `idle_ttl`.
    pub access_ttl: TimeDelta,
    /// `SESSION_IDLE_TTL`: a session unused for this long ends; not longer than `max_ttl`.
    pub idle_ttl: TimeDelta,
    /// `SESSION_MAX_TTL`: a session ends after this however busy it is.
    pub max_ttl: TimeDelta,
    /// `SESSION_REMEMBER_TTL`: both, for "remember me"; not shorter than `max_ttl`.
    pub remember_ttl: TimeDelta,
    /// `REFRESH_REUSE_GRACE`: for this long a used refresh token answers with its successor.
    pub reuse_grace: TimeDelta,
    /// `TRUSTED_DEVICE_TTL`: for this long a trusted device is not asked for a second factor.
    pub trusted_device_ttl: TimeDelta,
}

/// How access tokens are signed.
#[derive(Clone, Debug)]
pub struct TokenConfig {
    /// `JWT_ALGORITHM`: of new signing keys.
    pub algorithm: Algorithm,
    /// `JWT_AUDIENCE`: the `aud` that is written and required.
    pub audience: String,
    /// `API_KEY_MAX_TTL`: the longest life of an API key; an hour to 3660 days.
    pub api_key_max_ttl: TimeDelta,
}

/// `JWT_ALGORITHM`: a signature algorithm for access tokens (RFC 7518, RFC 8037).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// Ed25519
    EdDSA,
    /// ECDSA on P-256 with SHA-256
    ES256,
    /// RSASSA-PKCS1-v1_5 with SHA-256
    RS256,
}

impl Algorithm {
    /// The name as it stands in a token's header.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::EdDSA => "EdDSA",
            Self::ES256 => "ES256",
            Self::RS256 => "RS256",
        }
    }
}

/// `LOGIN_RATE_LIMIT`: failed logins that are taken in one minute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ThrottleConfig {
    /// For one account from one address.
    pub per_account_and_address: u32,
    /// From one address, whatever the account.
    pub per_address: u32,
}

/// How mail leaves.
#[derive(Clone, Debug)]
pub struct MailConfig {
    /// `SMTP_URL`, checked; a secret because it holds a password.
    pub smtp: Option<SecretString>,
    /// `MAIL_FROM`: an RFC 5322 mailbox, `Name <address>` or an address.
    pub from: String,
}

/// Who decides.
#[derive(Clone, Debug)]
pub struct PolicyConfig {
    /// `OPA_URL`: an OPA server; `None` means the engine in the program.
    pub opa_url: Option<Url>,
    /// `OPA_TIMEOUT_MS`: a decision that takes longer is a refusal.
    pub timeout: Duration,
    /// `OPA_TOKEN`: sent to the OPA server as a bearer token.
    pub token: Option<SecretString>,
    /// `POLICY_DIR`: policy files that replace the copy in the program.
    pub dir: Option<PathBuf>,
}

/// Which decisions are written down, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecisionLogConfig {
    /// `DECISION_LOG`
    pub mode: DecisionLogMode,
    /// `DECISION_LOG_DAYS`: 1 to 3650 days.
    pub days: u32,
}

/// `DECISION_LOG`: which decisions are written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecisionLogMode {
    /// None.
    Off,
    /// Those that refuse.
    Deny,
    /// All.
    All,
}

/// What is logged, and how.
#[derive(Clone, Debug)]
pub struct LogConfig {
    /// `LOG_LEVEL`: a filter as `tracing_subscriber::EnvFilter` takes it.
    pub level: String,
    /// `LOG_FORMAT`
    pub format: LogFormat,
}

/// `LOG_FORMAT`: for machines or for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object per line.
    Json,
    /// For a terminal.
    Pretty,
}
