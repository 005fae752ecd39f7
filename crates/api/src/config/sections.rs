//! All sections but the database's.

use std::collections::HashSet;
use std::time::Duration;

use chrono::TimeDelta;
use secrecy::{ExposeSecret as _, SecretString};
use url::Url;

use super::metadata_schema::MetadataSchema;
use super::reader::{Reader, read_secret_file};
use super::report::Source;
use super::secret_key::SecretKey;
use super::settings::{
    AccountsConfig, AdminConfig, Algorithm, Argon2Config, DecisionLogConfig, DecisionLogMode,
    DormancyConfig, Environment, HttpConfig, LogConfig, LogFormat, MailConfig, MfaRequired,
    OrganizationCreation, PasswordConfig, PolicyConfig, RegistrationConfig, RegistrationMode,
    SecretsConfig, SessionConfig, ThrottleConfig, TokenConfig,
};
use super::{normalized_password, parse, smtp};

/// The OWASP parameters of Argon2id all have about this much memory times passes, in KiB.
const LEAST_ARGON2_WORK: u64 = 35_840;
/// The least memory among them, in KiB.
const LEAST_ARGON2_MEMORY: u32 = 7_168;

pub(super) fn environment(env: &mut Reader<'_>) -> Environment {
    env.get(
        "ENVIRONMENT",
        parse::choice(&[
            ("development", Environment::Development),
            ("production", Environment::Production),
        ]),
    )
}

pub(super) fn public_url(env: &mut Reader<'_>, environment: Environment, port: u16) -> Url {
    let url = env
        .optional("PUBLIC_URL", parse::origin)
        .unwrap_or_else(|| at_localhost(env, port));
    if environment == Environment::Production && url.scheme() != "https" {
        env.fault(
            "PUBLIC_URL",
            &format!("is {url}; in production it has to be https"),
        );
    }
    url
}

fn at_localhost(env: &mut Reader<'_>, port: u16) -> Url {
    let text = format!("http://localhost:{port}");
    let url = parse::origin(&text).unwrap_or_else(|problem| unreachable!("{text} {problem}"));
    if !env.is_set("PUBLIC_URL") {
        env.show("PUBLIC_URL", text, Source::Default);
    }
    url
}

pub(super) fn http(env: &mut Reader<'_>) -> HttpConfig {
    let port = env.get("APP_PORT", parse::number(0..=u16::MAX));
    let metrics_port = env.get("METRICS_PORT", parse::number(0..=u16::MAX));
    if port == metrics_port && port != 0 {
        env.fault("METRICS_PORT", "is the same as APP_PORT");
    }
    HttpConfig {
        host: env.get("APP_HOST", parse::host),
        port,
        metrics_port,
        trusted_proxies: env
            .optional("TRUSTED_PROXIES", parse::networks)
            .unwrap_or_default(),
        cors_origins: env
            .optional("CORS_ORIGINS", parse::origins)
            .unwrap_or_default(),
        shutdown_timeout: env.get("SHUTDOWN_TIMEOUT", parse::duration(0..=600)),
    }
}

pub(super) fn secrets(env: &mut Reader<'_>, environment: Environment) -> SecretsConfig {
    let key = |text: &str| SecretKey::parse(text).map_err(|fault| fault.to_string());
    let secrets = SecretsConfig {
        secret_key: env.optional("SECRET_KEY", key),
        previous: env.optional("SECRET_KEY_PREVIOUS", key),
        csrf: env.optional("CSRF_SECRET_KEY", key),
    };
    for name in ["SECRET_KEY", "CSRF_SECRET_KEY"] {
        if environment == Environment::Production && !env.is_set(name) {
            env.fault(name, "is required in production");
        }
    }
    let keys = [
        ("SECRET_KEY", &secrets.secret_key),
        ("SECRET_KEY_PREVIOUS", &secrets.previous),
        ("CSRF_SECRET_KEY", &secrets.csrf),
    ];
    for (at, (name, key)) in keys.iter().enumerate() {
        for (other_name, other) in &keys[..at] {
            if key
                .as_ref()
                .zip(other.as_ref())
                .is_some_and(|(key, other)| key.equals(other))
            {
                env.fault(
                    name,
                    &format!("is the same as {other_name}; they have to differ"),
                );
            }
        }
    }
    secrets
}

pub(super) fn password(env: &mut Reader<'_>, environment: Environment) -> PasswordConfig {
    let argon2 = Argon2Config {
        memory_kib: env.get("ARGON2_MEMORY_KIB", parse::number(8..=262_144)),
        time: env.get("ARGON2_TIME", parse::number(1..=10)),
        parallelism: env.get("ARGON2_PARALLELISM", parse::number(1..=16)),
        queue: env.get("ARGON2_QUEUE", parse::number(1..=10_000)),
    };
    if argon2.memory_kib < 8 * argon2.parallelism {
        env.fault(
            "ARGON2_MEMORY_KIB",
            "has to be at least 8 times ARGON2_PARALLELISM",
        );
    }
    let work = u64::from(argon2.memory_kib) * u64::from(argon2.time);
    let is_weak = argon2.memory_kib < LEAST_ARGON2_MEMORY || work < LEAST_ARGON2_WORK;
    if is_weak && environment == Environment::Production {
        env.fault(
            "ARGON2_MEMORY_KIB",
            &format!(
                "with ARGON2_TIME={} makes hashes that are too easy to guess",
                argon2.time
            ),
        );
    }
    PasswordConfig {
        min_length: env.get("PASSWORD_MIN_LENGTH", parse::number(8..=64)),
        blocklist: env
            .optional("PASSWORD_BLOCKLIST_FILE", blocklist)
            .unwrap_or_default(),
        argon2,
    }
}

fn blocklist(path: &str) -> Result<HashSet<String>, String> {
    parse::file(path)?;
    let text = std::fs::read_to_string(path)
        .map_err(|error| format!("is {path}, which cannot be read as UTF-8 text: {error}"))?;
    Ok(text
        .lines()
        .filter(|line| !line.is_empty())
        .map(normalized_password)
        .collect())
}

pub(super) fn admin(env: &mut Reader<'_>, min_length: usize) -> AdminConfig {
    const FILE: &str = "ADMIN_PASSWORD_FILE";
    let email = env.get("ADMIN_EMAIL", |text| {
        let is_address = email_address::EmailAddress::is_valid(text) && !text.contains('<');
        if is_address {
            Ok(text.to_owned())
        } else {
            Err(format!("is `{text}`, which is not an address"))
        }
    });
    let path = env.get(FILE, |text| Ok(text.to_owned()));
    // The default names a place where a container platform may or may not have put the secret.
    let is_there = env.is_set(FILE) || std::path::Path::new(&path).exists();
    let password = is_there
        .then(|| read_secret_file(&path).map(SecretString::from))
        .transpose();
    let password = password.unwrap_or_else(|problem| {
        env.fault(FILE, &problem);
        None
    });
    let length = password
        .as_ref()
        .map(|password| password.expose_secret().chars().count());
    if length.is_some_and(|length| length < min_length) {
        env.fault(
            FILE,
            &format!("names a file whose password is shorter than {min_length} characters"),
        );
    }
    AdminConfig { email, password }
}

pub(super) fn registration(env: &mut Reader<'_>) -> RegistrationConfig {
    const VERIFICATION: &str = "EMAIL_VERIFICATION";
    let has_mail = env.is_set("SMTP_URL");
    let choices = parse::choice(&[("required", true), ("off", false)]);
    let email_verification = env.optional(VERIFICATION, choices).unwrap_or_else(|| {
        if !env.is_set(VERIFICATION) {
            let shown = if has_mail { "required" } else { "off" };
            env.show(VERIFICATION, shown, Source::Default);
        }
        has_mail
    });
    RegistrationConfig {
        email_verification,
        mode: env.get(
            "REGISTRATION_MODE",
            parse::choice(&[
                ("open", RegistrationMode::Open),
                ("approval", RegistrationMode::Approval),
                ("invitation", RegistrationMode::Invitation),
                ("closed", RegistrationMode::Closed),
            ]),
        ),
        allowed_domains: env
            .optional("REGISTRATION_ALLOWED_DOMAINS", parse::domains)
            .unwrap_or_default(),
        organization_creation: env.get(
            "ORGANIZATION_CREATION",
            parse::choice(&[
                ("admin", OrganizationCreation::Admin),
                ("open", OrganizationCreation::Open),
            ]),
        ),
    }
}

pub(super) fn mfa_required(env: &mut Reader<'_>, environment: Environment) -> MfaRequired {
    let choices = parse::choice(&[
        ("off", MfaRequired::Off),
        ("admins", MfaRequired::Admins),
        ("all", MfaRequired::All),
    ]);
    env.optional("MFA_REQUIRED", choices).unwrap_or_else(|| {
        let (required, shown) = match environment {
            Environment::Development => (MfaRequired::Off, "off"),
            Environment::Production => (MfaRequired::Admins, "admins"),
        };
        if !env.is_set("MFA_REQUIRED") {
            env.show("MFA_REQUIRED", shown, Source::Default);
        }
        required
    })
}

/// Seconds of a day.
const DAY: u64 = 86_400;

fn time(duration: Duration) -> TimeDelta {
    TimeDelta::from_std(duration).expect("the bounds are far below what a TimeDelta holds")
}

pub(super) fn sessions(env: &mut Reader<'_>) -> SessionConfig {
    let mut time = |name, range| time(env.get(name, parse::duration(range)));
    let sessions = SessionConfig {
        access_ttl: time("ACCESS_TOKEN_TTL", 30..=3600),
        idle_ttl: time("SESSION_IDLE_TTL", 60..=30 * DAY),
        max_ttl: time("SESSION_MAX_TTL", 60..=30 * DAY),
        remember_ttl: time("SESSION_REMEMBER_TTL", 60..=30 * DAY),
        reuse_grace: time("REFRESH_REUSE_GRACE", 0..=60),
        trusted_device_ttl: time("TRUSTED_DEVICE_TTL", 60..=90 * DAY),
    };
    for (short, long, holds) in [
        (
            "ACCESS_TOKEN_TTL",
            "SESSION_IDLE_TTL",
            sessions.access_ttl <= sessions.idle_ttl,
        ),
        (
            "SESSION_IDLE_TTL",
            "SESSION_MAX_TTL",
            sessions.idle_ttl <= sessions.max_ttl,
        ),
        (
            "SESSION_MAX_TTL",
            "SESSION_REMEMBER_TTL",
            sessions.max_ttl <= sessions.remember_ttl,
        ),
    ] {
        if !holds {
            env.fault(short, &format!("is longer than {long}"));
        }
    }
    sessions
}

pub(super) fn tokens(env: &mut Reader<'_>) -> TokenConfig {
    TokenConfig {
        algorithm: env.get(
            "JWT_ALGORITHM",
            parse::choice(&[
                ("EdDSA", Algorithm::EdDSA),
                ("ES256", Algorithm::ES256),
                ("RS256", Algorithm::RS256),
            ]),
        ),
        audience: env.get("JWT_AUDIENCE", |text| {
            let fits = text.len() <= 255 && text.bytes().all(|byte| byte.is_ascii_graphic());
            if fits {
                Ok(text.to_owned())
            } else {
                Err("has to be printable ASCII without spaces".into())
            }
        }),
        api_key_max_ttl: time(env.get("API_KEY_MAX_TTL", parse::duration(3600..=3660 * DAY))),
    }
}

pub(super) fn throttle(env: &mut Reader<'_>) -> ThrottleConfig {
    let (per_account_and_address, per_address) = env.get("LOGIN_RATE_LIMIT", parse::pair_of_limits);
    ThrottleConfig {
        per_account_and_address,
        per_address,
    }
}

pub(super) fn mail(env: &mut Reader<'_>, environment: Environment, public_url: &Url) -> MailConfig {
    let smtp = env.optional("SMTP_URL", |text| {
        smtp::check(text, environment).map(SecretString::from)
    });
    let from = env.optional("MAIL_FROM", smtp::mailbox).unwrap_or_else(|| {
        let from = match public_url.host() {
            Some(url::Host::Domain(domain)) => format!("gatepost@{domain}"),
            // RFC 5321, section 4.1.3: an address takes the place of a name in brackets.
            Some(url::Host::Ipv4(address)) => format!("gatepost@[{address}]"),
            Some(url::Host::Ipv6(address)) => format!("gatepost@[IPv6:{address}]"),
            None => "gatepost@localhost".to_owned(),
        };
        if !env.is_set("MAIL_FROM") {
            env.show("MAIL_FROM", from.clone(), Source::Default);
        }
        from
    });
    if environment == Environment::Production && !env.is_set("SMTP_URL") {
        env.warn(
            "SMTP_URL",
            "is not set: mail waits in the database until it is",
        );
    }
    MailConfig { smtp, from }
}

pub(super) fn policy(env: &mut Reader<'_>) -> PolicyConfig {
    let opa_url = env.optional("OPA_URL", parse::http_url);
    let policy = PolicyConfig {
        timeout: Duration::from_millis(env.get("OPA_TIMEOUT_MS", parse::number(10..=10_000))),
        token: env.optional("OPA_TOKEN", |text| match text.trim() {
            token if token.bytes().all(|byte| byte.is_ascii_graphic()) => {
                Ok(SecretString::from(token))
            }
            _ => Err("has to be printable ASCII without spaces".into()),
        }),
        dir: env.optional("POLICY_DIR", parse::folder),
        opa_url,
    };
    if env.is_set("OPA_TOKEN") && !env.is_set("OPA_URL") {
        env.warn("OPA_TOKEN", "is not used without OPA_URL");
    }
    policy
}

pub(super) fn decision_log(env: &mut Reader<'_>) -> DecisionLogConfig {
    let modes = parse::choice(&[
        ("off", DecisionLogMode::Off),
        ("deny", DecisionLogMode::Deny),
        ("all", DecisionLogMode::All),
    ]);
    DecisionLogConfig {
        mode: env.get("DECISION_LOG", modes),
        days: env.get("DECISION_LOG_DAYS", parse::number(1..=3650)),
    }
}

pub(super) fn accounts(env: &mut Reader<'_>) -> AccountsConfig {
    let after = env.optional("DORMANT_AFTER_DAYS", parse::number(1..=3650));
    let warn = env.get("DORMANT_WARN_DAYS", parse::number(0..=3649));
    if after.is_some_and(|after| warn >= after) {
        env.fault(
            "DORMANT_WARN_DAYS",
            &format!("is {warn}, which is not less than DORMANT_AFTER_DAYS"),
        );
    }
    AccountsConfig {
        dormancy: after.map(|after| DormancyConfig {
            after: TimeDelta::days(after),
            warn: TimeDelta::days(warn),
        }),
        metadata_schema: env.optional("USER_METADATA_SCHEMA", MetadataSchema::read),
    }
}

pub(super) fn activity_retention_days(env: &mut Reader<'_>) -> u32 {
    env.get("ACTIVITY_RETENTION_DAYS", parse::number(1..=36_500))
}

/// `is_terminal` decides where `LOG_FORMAT` does not.
pub(super) fn log(env: &mut Reader<'_>, is_terminal: bool) -> LogConfig {
    let choices = parse::choice(&[("json", LogFormat::Json), ("pretty", LogFormat::Pretty)]);
    let format = env.optional("LOG_FORMAT", choices).unwrap_or_else(|| {
        let (format, shown) = if is_terminal {
            (LogFormat::Pretty, "pretty")
        } else {
            (LogFormat::Json, "json")
        };
        if !env.is_set("LOG_FORMAT") {
            env.show("LOG_FORMAT", shown, Source::Default);
        }
        format
    });
    LogConfig {
        level: env.get("LOG_LEVEL", parse::log_filter),
        format,
    }
}
