//! The table itself.

use super::Preset::{Derived, Nothing, Text};
use super::{Group, MIGRATION_ONLY, Preset, Variable};

const fn plain(
    name: &'static str,
    default: Preset,
    example: &'static str,
    meaning: &'static str,
) -> Variable {
    Variable {
        name,
        default,
        secret: false,
        meaning,
        example,
    }
}

const fn secret(
    name: &'static str,
    default: Preset,
    example: &'static str,
    meaning: &'static str,
) -> Variable {
    Variable {
        name,
        default,
        secret: true,
        meaning,
        example,
    }
}

/// All variables, in the order in which they are documented.
pub const GROUPS: &[Group] = &[
    Group {
        title: "The program",
        variables: PROGRAM,
    },
    Group {
        title: "Secrets",
        variables: SECRETS,
    },
    Group {
        title: "Database",
        variables: DATABASE,
    },
    Group {
        title: "Database, in single parts or under older names",
        variables: DATABASE_ALIASES,
    },
    Group {
        title: "Accounts",
        variables: ACCOUNTS,
    },
    Group {
        title: "Sessions and tokens",
        variables: SESSIONS,
    },
    Group {
        title: "Mail",
        variables: MAIL,
    },
    Group {
        title: "Policy",
        variables: POLICY,
    },
    Group {
        title: "Logs",
        variables: LOGS,
    },
];

const PROGRAM: &[Variable] = &[
    plain(
        "ENVIRONMENT",
        Text("development"),
        "production",
        "`development` or `production`; production refuses weak or missing secrets, plain http and plaintext mail.",
    ),
    plain(
        "PUBLIC_URL",
        Derived("`http://localhost:` and APP_PORT"),
        "https://auth.example.com",
        "The one address in links, cookies and tokens (`iss`): scheme, host and port; https in production.",
    ),
    plain(
        "APP_HOST",
        Text("127.0.0.1"),
        "0.0.0.0",
        "The address to listen on; the container images set 0.0.0.0.",
    ),
    plain(
        "APP_PORT",
        Text("8004"),
        "8004",
        "The port of the API; 0 lets the system choose one (PUBLIC_URL has to be set then).",
    ),
    plain(
        "METRICS_PORT",
        Text("9464"),
        "9464",
        "The port of the metrics; 0 lets the system choose one.",
    ),
    plain(
        "TRUSTED_PROXIES",
        Nothing,
        "10.0.0.0/8,192.0.2.7",
        "Addresses and networks (CIDR) of reverse proxies; `X-Forwarded-For` and `Forwarded` count from these only.",
    ),
    plain(
        "CORS_ORIGINS",
        Nothing,
        "https://app.example.com",
        "Exact origins of web applications that may call the API from a browser.",
    ),
    plain(
        "SHUTDOWN_TIMEOUT",
        Text("25s"),
        "25s",
        "How long running requests may take to finish when the program is told to stop.",
    ),
];

const SECRETS: &[Variable] = &[
    secret(
        "SECRET_KEY",
        Nothing,
        "(openssl rand -hex 32)",
        "32 or more random bytes, hex or base64; the keys that seal data and sign cookies are derived from it. Required in production; `gatepost dev` makes one.",
    ),
    secret(
        "SECRET_KEY_PREVIOUS",
        Nothing,
        "(the old SECRET_KEY)",
        "The former SECRET_KEY while a rotation is under way: what it sealed can still be opened.",
    ),
    secret(
        "CSRF_SECRET_KEY",
        Nothing,
        "(openssl rand -hex 32)",
        "32 or more random bytes, hex or base64, for the tokens of web forms; must differ from SECRET_KEY. Required in production; `gatepost dev` makes one.",
    ),
];

const DATABASE: &[Variable] = &[
    secret(
        "DATABASE_URL",
        Nothing,
        "postgres://gatepost:${DB_PASSWORD}@db.example.com:5432/gatepost?sslmode=verify-full",
        "PostgreSQL, as a libpq URL: one host, several (`h1:5432,h2:5432`) of which the one that takes writes is used, or a Unix socket (`?host=/run/postgresql`). `statement-cache-capacity=0` for a pooler in transaction mode. Required in production; `gatepost dev` starts a private one.",
    ),
    plain(
        "DATABASE_SSL_MODE",
        Derived(
            "from the URL, else `prefer` (`verify-full` in production for a host that is not local)",
        ),
        "verify-full",
        "`disable`, `allow`, `prefer`, `require`, `verify-ca` or `verify-full`; only the last proves who the server is.",
    ),
    plain(
        "DATABASE_SSL_ROOT_CERT",
        Derived("`sslrootcert` of the URL"),
        "/etc/gatepost/root.crt",
        "A PEM file of the authorities that may sign the server's certificate, and no others; `system` for those that the system trusts.",
    ),
    plain(
        "DATABASE_SSL_CERT",
        Derived("`sslcert` of the URL"),
        "/etc/gatepost/client.crt",
        "A PEM file of the client's certificate.",
    ),
    plain(
        "DATABASE_SSL_KEY",
        Derived("`sslkey` of the URL"),
        "/etc/gatepost/client.key",
        "A PEM file of the key of DATABASE_SSL_CERT.",
    ),
    plain(
        "DATABASE_MIN_SIZE",
        Text("2"),
        "2",
        "Connections that are kept open.",
    ),
    plain(
        "DATABASE_MAX_SIZE",
        Text("15"),
        "15",
        "Connections at most, of one process.",
    ),
    plain(
        "DATABASE_ACQUIRE_TIMEOUT",
        Text("5s"),
        "5s",
        "How long a request waits for a connection; the start waits 30 s, or this if it is longer.",
    ),
    plain(
        "DATABASE_MAX_LIFETIME",
        Text("1h"),
        "1h",
        "A connection older than this is replaced.",
    ),
    plain(
        "DATABASE_IDLE_TIMEOUT",
        Text("10m"),
        "10m",
        "A connection that was not used for this long is closed.",
    ),
    plain(
        "DATABASE_STATEMENT_TIMEOUT",
        Text("60s"),
        "60s",
        "How long one statement may run; statements of a request 10 s at most.",
    ),
    plain(
        "DATABASE_SCHEMA",
        Text("public"),
        "gatepost",
        "The schema that holds the tables.",
    ),
    plain(
        "DATABASE_TEST_ALLOWED_HOSTS",
        Derived("the configured host and port"),
        "db.example.com,db2.example.com:5433",
        "Where `POST /api/admin/database/test` may go: hosts, each with a port if that is not 5432.",
    ),
    plain(
        "AUTO_MIGRATE",
        Text("false"),
        "true",
        "`true` migrates the database before serving; `gatepost dev` always does.",
    ),
    secret(
        "MIGRATION_DATABASE_URL",
        Derived("`DATABASE_URL`"),
        "postgres://gatepost_owner:${OWNER_PASSWORD}@db.example.com/gatepost",
        "The same database as the role that owns the tables, for migrations.",
    ),
    secret(
        "DATABASE_LISTEN_URL",
        Derived("`DATABASE_URL`, unless that leads to a pooler in transaction mode"),
        "postgres://gatepost:${DB_PASSWORD}@db.example.com:5432/gatepost?sslmode=verify-full",
        "The same database without a pooler between, for hearing of changes (LISTEN). Without it behind a pooler nothing is answered from memory.",
    ),
    plain(
        MIGRATION_ONLY,
        Derived("the user of `DATABASE_URL`, if that is not the owner"),
        "gatepost_api",
        "The role of the API, to which `gatepost-migrate` grants the rights on rows.",
    ),
];

const DATABASE_ALIASES: &[Variable] = &[
    secret(
        "SQLALCHEMY_DATABASE_URL",
        Nothing,
        "postgresql+asyncpg://gatepost:${DB_PASSWORD}@db.example.com/gatepost",
        "The former name of DATABASE_URL, read when that is not set.",
    ),
    plain(
        "POSTGRES_HOST",
        Nothing,
        "db.example.com",
        "With the next four read when no URL is set: the host, or the directory of a socket.",
    ),
    plain("POSTGRES_PORT", Text("5432"), "5432", "The port."),
    plain(
        "POSTGRES_USER",
        Nothing,
        "gatepost",
        "The role that logs in.",
    ),
    secret(
        "POSTGRES_PASSWORD",
        Nothing,
        "(its password)",
        "Its password, not percent-encoded.",
    ),
    plain(
        "POSTGRES_DB",
        Derived("`POSTGRES_USER`"),
        "gatepost",
        "The database.",
    ),
    plain(
        "DB_HOST",
        Nothing,
        "db.example.com",
        "With the next four read when neither a URL nor POSTGRES_HOST is set: the host, or the directory of a socket.",
    ),
    plain("DB_PORT", Text("5432"), "5432", "The port."),
    plain("DB_USER", Nothing, "gatepost", "The role that logs in."),
    secret(
        "DB_PASSWORD",
        Nothing,
        "(its password)",
        "Its password, not percent-encoded.",
    ),
    plain("DB_NAME", Derived("`DB_USER`"), "gatepost", "The database."),
    plain(
        "POSTGRES_POOL_SIZE",
        Derived("5 if POSTGRES_MAX_OVERFLOW is set"),
        "5",
        "With POSTGRES_MAX_OVERFLOW added, read when DATABASE_MAX_SIZE is not set.",
    ),
    plain(
        "POSTGRES_MAX_OVERFLOW",
        Derived("10 if POSTGRES_POOL_SIZE is set"),
        "10",
        "See POSTGRES_POOL_SIZE.",
    ),
    plain(
        "POSTGRES_ECHO",
        Text("false"),
        "true",
        "`true` logs every SQL statement, without its values.",
    ),
];

const ACCOUNTS: &[Variable] = &[
    plain(
        "ADMIN_EMAIL",
        Text("admin@localhost"),
        "admin@example.com",
        "The address of the break-glass administrator, who is made at the first start.",
    ),
    plain(
        "ADMIN_PASSWORD_FILE",
        Text("/var/run/secrets/admin_password"),
        "/run/secrets/admin_password",
        "The file with that administrator's first password; without it one is made up and printed once.",
    ),
    plain(
        "REGISTRATION_MODE",
        Text("approval"),
        "invitation",
        "`open`, `approval` (an administrator approves each), `invitation` or `closed`.",
    ),
    plain(
        "REGISTRATION_ALLOWED_DOMAINS",
        Derived("any"),
        "example.com,example.org",
        "Domains of the addresses that may register.",
    ),
    plain(
        "EMAIL_VERIFICATION",
        Derived("`required` if SMTP_URL is set, else `off`"),
        "required",
        "`required`: who registers has to follow a link in a mail before anything else; `off`: addresses are taken as they are written.",
    ),
    plain(
        "ORGANIZATION_CREATION",
        Text("admin"),
        "open",
        "Who may make organizations: `admin` or `open` (every active user).",
    ),
    plain(
        "MFA_REQUIRED",
        Derived("off; in production admins"),
        "all",
        "Who must have a second factor: `off`, `admins` (holders of a role at the system) or `all`; who has none enrols right after the password.",
    ),
    plain(
        "PASSWORD_MIN_LENGTH",
        Text("12"),
        "15",
        "Characters of a password, from 8 to 64; NIST SP 800-63B-4 asks for 15 where it is the only factor.",
    ),
    plain(
        "PASSWORD_BLOCKLIST_FILE",
        Nothing,
        "/etc/gatepost/passwords.txt",
        "A file of passwords to refuse, one in a line, beside the ones the program refuses anyway.",
    ),
    plain(
        "ARGON2_MEMORY_KIB",
        Text("19456"),
        "19456",
        "Memory of one password hash in KiB, from 8 to 262144; existing hashes follow at the next login.",
    ),
    plain(
        "ARGON2_TIME",
        Text("2"),
        "2",
        "Passes over that memory, from 1 to 10.",
    ),
    plain("ARGON2_PARALLELISM", Text("1"), "1", "Lanes, from 1 to 16."),
    plain(
        "ARGON2_QUEUE",
        Text("64"),
        "64",
        "Hashes that may wait; a login beyond them is answered 503.",
    ),
    plain(
        "LOGIN_RATE_LIMIT",
        Text("10,100"),
        "10,100",
        "Failed logins a minute: for one account from one address, and from one address in all.",
    ),
    plain(
        "DORMANT_AFTER_DAYS",
        Nothing,
        "365",
        "Days, from 1 to 3650, after which an account that nobody used is disabled; without it none is.",
    ),
    plain(
        "DORMANT_WARN_DAYS",
        Text("14"),
        "14",
        "Days, fewer than DORMANT_AFTER_DAYS, by which a mail to the owner goes before that; 0: no mail.",
    ),
    plain(
        "USER_METADATA_SCHEMA",
        Nothing,
        "/etc/gatepost/metadata.schema.json",
        "A file with the JSON Schema (draft 2020-12) that users' `metadata` has to fit.",
    ),
    plain(
        "ACTIVITY_RETENTION_DAYS",
        Text("365"),
        "90",
        "Days after which a user's activity is forgotten.",
    ),
];

const SESSIONS: &[Variable] = &[
    plain(
        "ACCESS_TOKEN_TTL",
        Text("5m"),
        "5m",
        "How long an access token is good, from 30 s to 1 h.",
    ),
    plain(
        "SESSION_IDLE_TTL",
        Text("1h"),
        "1h",
        "A session that was not used for this long ends; a console of somebody with a role at the system ends after 15m and 12h at the latest.",
    ),
    plain(
        "SESSION_MAX_TTL",
        Text("24h"),
        "24h",
        "A session ends after this, however busy it is.",
    ),
    plain(
        "SESSION_REMEMBER_TTL",
        Text("30d"),
        "30d",
        "The same for those who asked to be remembered, up to 30 days.",
    ),
    plain(
        "REFRESH_REUSE_GRACE",
        Text("10s"),
        "10s",
        "A refresh token used a second time within this answers with the same successor, up to 60 s; later it ends the session.",
    ),
    plain(
        "TRUSTED_DEVICE_TTL",
        Text("30d"),
        "30d",
        "For how long a device that its user trusts is not asked for a second factor, from 1 m to 90 days; ends with any change of credentials.",
    ),
    plain(
        "JWT_ALGORITHM",
        Text("EdDSA"),
        "ES256",
        "How access tokens are signed: `EdDSA`, `ES256` or `RS256`.",
    ),
    plain(
        "JWT_AUDIENCE",
        Text("gatepost"),
        "https://api.example.com",
        "The `aud` of access tokens, written and required.",
    ),
    plain(
        "API_KEY_MAX_TTL",
        Text("366d"),
        "90d",
        "An API key ends after this at the latest, up to 3660 days.",
    ),
];

const MAIL: &[Variable] = &[
    secret(
        "SMTP_URL",
        Nothing,
        "smtps://gatepost:${SMTP_PASSWORD}@mail.example.com:465",
        "The mail server: `smtps://user:password@host:465`, or `smtp://host:587?tls=required` (`opportunistic` and `none` in development only). Without it mail goes to the log in development, and waits in production.",
    ),
    plain(
        "MAIL_FROM",
        Derived("`gatepost@` and the host of PUBLIC_URL"),
        "Gatepost <no-reply@example.com>",
        "The sender of mail.",
    ),
];

const POLICY: &[Variable] = &[
    plain(
        "OPA_URL",
        Nothing,
        "http://opa:8181",
        "An OPA server that decides; without it the engine in the program does.",
    ),
    plain(
        "OPA_TIMEOUT_MS",
        Text("250"),
        "250",
        "Milliseconds, from 10 to 10000, after which a decision of that server counts as no answer.",
    ),
    secret(
        "OPA_TOKEN",
        Nothing,
        "(the server's token)",
        "Sent to that server as a bearer token.",
    ),
    plain(
        "POLICY_DIR",
        Derived("the copy in the program"),
        "/etc/gatepost/policy",
        "A folder of policy files, watched: like `opa/`, or with own rules in `policies/custom` only.",
    ),
    plain(
        "DECISION_LOG",
        Text("deny"),
        "all",
        "Which decisions are written down: `off`, `deny` (those that refuse) or `all`.",
    ),
    plain(
        "DECISION_LOG_DAYS",
        Text("14"),
        "90",
        "Days, from 1 to 3650, that decisions are kept.",
    ),
];

const LOGS: &[Variable] = &[
    plain(
        "LOG_LEVEL",
        Text("info"),
        "info,gatepost=debug",
        "`error`, `warn`, `info`, `debug`, `trace` or `off`, also for single modules.",
    ),
    plain(
        "LOG_FORMAT",
        Derived("`json`; `pretty` on a terminal"),
        "json",
        "`json` or `pretty`. With `json`, audit entries go to standard output, the rest to standard error.",
    ),
];
