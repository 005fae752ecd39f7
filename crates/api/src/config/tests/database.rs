use std::time::Duration;

use super::*;
use crate::database::url::{DatabaseUrl, SslMode};

const URL: &str = "postgres://app@db.example.com/gatepost";

fn url(reading: &Reading) -> &DatabaseUrl {
    reading.config.database.url.as_ref().expect("a URL")
}

fn mode(reading: &Reading) -> SslMode {
    url(reading).ssl().mode.expect("a mode")
}

#[test]
fn the_former_name_is_taken_with_a_notice() {
    let reading = usable(&[(
        "SQLALCHEMY_DATABASE_URL",
        "postgresql+asyncpg://app@db/gatepost",
    )]);
    assert_eq!(
        url(&reading).to_string(),
        "postgres://app@db:5432/gatepost?sslmode=prefer"
    );
    assert_eq!(warned(&reading), ["SQLALCHEMY_DATABASE_URL"; 2]);
    assert!(reading.warnings[0].message.contains("DATABASE_URL"));
    let both = usable(&[
        ("SQLALCHEMY_DATABASE_URL", "postgres://x@y/z"),
        ("DATABASE_URL", URL),
    ]);
    assert_eq!(url(&both).user(), "app");
    assert_eq!(warned(&both), ["SQLALCHEMY_DATABASE_URL"]);
}

#[test]
fn single_parts_are_taken_without_encoding() {
    let reading = usable(&[
        ("POSTGRES_HOST", "db"),
        ("POSTGRES_PORT", "6432"),
        ("POSTGRES_USER", "app"),
        ("POSTGRES_PASSWORD", "p@/?#%"),
        ("POSTGRES_DB", "gatepost"),
    ]);
    assert_eq!(
        url(&reading).to_string(),
        "postgres://app:***@db:6432/gatepost?sslmode=prefer"
    );
    let password = url(&reading).password().expect("a password");
    assert_eq!(secrecy::ExposeSecret::expose_secret(password), "p@/?#%");

    let reading = usable(&[
        ("DB_HOST", "/run/postgresql"),
        ("DB_USER", "app"),
        ("DB_NAME", "x"),
    ]);
    assert_eq!(
        url(&reading).to_string(),
        "postgres://app@%2Frun%2Fpostgresql:5432/x?sslmode=prefer"
    );
}

#[test]
fn half_of_the_parts_is_a_fault() {
    assert_eq!(
        faulty(read_all(&[("POSTGRES_HOST", "db")])),
        ["POSTGRES_USER"]
    );
    assert_eq!(faulty(read_all(&[("DB_USER", "app")])), ["DB_HOST"]);
    let port = [
        ("DB_HOST", "db"),
        ("DB_USER", "app"),
        ("DB_PORT", "tcp://10.0.0.1:5432"),
    ];
    assert_eq!(faulty(read_all(&port)), ["DB_PORT"]);
}

#[test]
fn a_url_wins_over_parts_that_it_does_not_use() {
    let reading = usable(&[
        ("DATABASE_URL", URL),
        ("DB_HOST", "other"),
        ("DB_USER", "x"),
    ]);
    assert_eq!(warned(&reading), ["DB_HOST"]);
    let reading = usable(&[
        (
            "DATABASE_URL",
            "postgres://app:${DB_PASSWORD}@${DB_HOST}/gatepost",
        ),
        ("DB_HOST", "db"),
        ("DB_PASSWORD", "pw"),
    ]);
    assert_eq!(
        url(&reading).to_string(),
        "postgres://app:***@db:5432/gatepost?sslmode=prefer"
    );
    assert_eq!(reading.warnings, []);
}

#[test]
fn production_verifies_who_the_server_is() {
    let reading = production_with(&[]).unwrap();
    assert_eq!(mode(&reading), SslMode::VerifyFull);
    assert_eq!(source_of(&reading, "DATABASE_SSL_MODE"), Source::Default);
    for local in [
        "postgres://u@localhost/d",
        "postgres://u@127.0.0.1/d",
        "postgres://u@%2Frun/d",
    ] {
        assert_eq!(
            mode(&production_with(&[("DATABASE_URL", local)]).unwrap()),
            SslMode::Prefer
        );
    }
}

#[test]
fn a_mode_that_verifies_nothing_is_warned_about() {
    let dir = tempfile::tempdir().unwrap();
    let ca = dir.path().join("ca.pem");
    std::fs::write(&ca, "x").unwrap();
    for weak in ["disable", "allow", "prefer", "require", "verify-ca"] {
        let root = if weak == "verify-ca" {
            format!("&sslrootcert={}", ca.display())
        } else {
            String::new()
        };
        let url = format!("{URL}?sslmode={weak}{root}");
        let reading = production_with(&[("DATABASE_URL", &url)]).unwrap();
        assert_eq!(mode(&reading).as_str(), weak);
        assert_eq!(warned(&reading), ["DATABASE_URL", "SMTP_URL"], "{weak}");
        assert_eq!(source_of(&reading, "DATABASE_SSL_MODE"), Source::Url);
    }
    let reading = usable(&[("DATABASE_URL", URL), ("DATABASE_SSL_MODE", "require")]);
    assert_eq!(reading.warnings, []);
}

#[test]
fn the_variable_wins_over_the_url() {
    let dir = tempfile::tempdir().unwrap();
    let ca = dir.path().join("ca.pem");
    std::fs::write(&ca, "x").unwrap();
    let ca = ca.to_str().unwrap();
    let reading = usable(&[
        ("DATABASE_URL", "postgres://app@db/gatepost?sslmode=disable"),
        ("MIGRATION_DATABASE_URL", "postgres://owner@db/gatepost"),
        ("DATABASE_SSL_MODE", "verify-full"),
        ("DATABASE_SSL_ROOT_CERT", ca),
    ]);
    assert_eq!(mode(&reading), SslMode::VerifyFull);
    assert_eq!(
        source_of(&reading, "DATABASE_SSL_MODE"),
        Source::Variable("DATABASE_SSL_MODE".into())
    );
    let migration = reading
        .config
        .database
        .migration_url
        .as_ref()
        .expect("a URL");
    assert_eq!(migration.user(), "owner");
    assert_eq!(migration.ssl(), url(&reading).ssl());
}

#[test]
fn certificates_have_to_be_there() {
    let url = format!("{URL}?sslrootcert=/nonexistent/ca.pem");
    assert_eq!(
        faulty(read_all(&[("DATABASE_URL", &url)])),
        ["DATABASE_URL"]
    );
    let file = [
        ("DATABASE_URL", URL),
        ("DATABASE_SSL_ROOT_CERT", "/nonexistent/ca.pem"),
    ];
    assert_eq!(faulty(read_all(&file)), ["DATABASE_SSL_ROOT_CERT"]);
    let dir = tempfile::tempdir().unwrap();
    let cert = dir.path().join("cert.pem");
    std::fs::write(&cert, "x").unwrap();
    let half = [
        ("DATABASE_URL", URL),
        ("DATABASE_SSL_CERT", cert.to_str().unwrap()),
    ];
    assert_eq!(faulty(read_all(&half)), ["DATABASE_SSL_CERT"]);
}

#[test]
fn the_older_pool_settings_add_up() {
    let max = |variables: &[(&str, &str)]| usable(variables).config.database.max_size;
    assert_eq!(max(&[]), 15);
    assert_eq!(max(&[("POSTGRES_POOL_SIZE", "20")]), 30);
    assert_eq!(max(&[("POSTGRES_MAX_OVERFLOW", "0")]), 5);
    assert_eq!(
        max(&[("POSTGRES_POOL_SIZE", "20"), ("POSTGRES_MAX_OVERFLOW", "5")]),
        25
    );
    let both = usable(&[("POSTGRES_POOL_SIZE", "20"), ("DATABASE_MAX_SIZE", "7")]);
    assert_eq!(
        (both.config.database.max_size, warned(&both)),
        (7, vec!["POSTGRES_POOL_SIZE"])
    );
}

#[test]
fn the_pool_is_not_smaller_than_what_it_keeps() {
    let reading = usable(&[("DATABASE_MAX_SIZE", "1")]);
    assert_eq!(
        (
            reading.config.database.min_size,
            shown(&reading, "DATABASE_MIN_SIZE")
        ),
        (1, "1")
    );
    let both = [("DATABASE_MAX_SIZE", "3"), ("DATABASE_MIN_SIZE", "4")];
    assert_eq!(faulty(read_all(&both)), ["DATABASE_MIN_SIZE"]);
}

#[test]
fn timeouts_differ_for_requests() {
    let database = usable(&[]).config.database;
    assert_eq!(
        (database.acquire_timeout, database.startup_timeout),
        (Duration::from_secs(5), Duration::from_secs(30))
    );
    assert_eq!(database.statement_timeout, Duration::from_mins(1));
    assert_eq!(
        database.request_statement_timeout(),
        Duration::from_secs(10)
    );
    let database = usable(&[
        ("DATABASE_ACQUIRE_TIMEOUT", "1m"),
        ("DATABASE_STATEMENT_TIMEOUT", "3"),
    ])
    .config
    .database;
    assert_eq!(database.startup_timeout, Duration::from_mins(1));
    assert_eq!(database.request_statement_timeout(), Duration::from_secs(3));
}

#[test]
fn what_the_driver_would_take_from_the_environment_is_refused() {
    for name in ["PGOPTIONS", "PGSSLCERT", "PGSSLKEY"] {
        assert_eq!(faulty(read_all(&[(name, "x")])), [name]);
    }
    usable(&[("PGHOST", "x"), ("PGUSER", "x"), ("PGPASSWORD", "x")]);
}

#[test]
fn an_authority_is_needed_to_check_against_one() {
    let ca = [("DATABASE_URL", "postgres://u@h/d?sslmode=verify-ca")];
    assert_eq!(faulty(read_all(&ca)), ["DATABASE_URL"]);
    let system = [
        ("DATABASE_URL", "postgres://u@h/d?sslmode=require"),
        ("DATABASE_SSL_ROOT_CERT", "system"),
    ];
    assert_eq!(faulty(read_all(&system)), ["DATABASE_URL"]);
    let full = [
        ("DATABASE_URL", "postgres://u@h/d?sslmode=verify-full"),
        ("DATABASE_SSL_ROOT_CERT", "system"),
    ];
    assert_eq!(usable(&full).warnings, []);
}

#[test]
fn what_outlives_a_transaction_goes_round_the_pooler() {
    const POOLER: &str = "postgres://u@pooler/d?statement-cache-capacity=0";
    for name in ["MIGRATION_DATABASE_URL", "DATABASE_LISTEN_URL"] {
        let settings = [("DATABASE_URL", POOLER), (name, POOLER)];
        assert_eq!(faulty(read_all(&settings)), [name]);
    }
    let settings = [("DATABASE_URL", POOLER), ("AUTO_MIGRATE", "true")];
    assert_eq!(faulty(read_all(&settings)), ["MIGRATION_DATABASE_URL"]);
    let reading = usable(&[
        ("DATABASE_URL", POOLER),
        ("AUTO_MIGRATE", "true"),
        ("MIGRATION_DATABASE_URL", "postgres://o@db/d"),
        ("DATABASE_LISTEN_URL", "postgres://u@db/d"),
    ]);
    assert!(url(&reading).is_pooled());
    let listen = reading.config.database.listen_url.expect("a URL");
    assert_eq!(listen.to_string(), "postgres://u@db:5432/d?sslmode=prefer");
}
