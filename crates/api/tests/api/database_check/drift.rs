//! How far the schema is, how much room there is, and what else drifts.

use std::time::Duration;

use chrono::TimeDelta;
use gatepost::{
    clock::{Clock, SystemClock},
    database::{
        check::{Class, Pool, Severity, Target, check as check_here},
        url::DatabaseUrl,
    },
};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};

use super::{
    check, check_with, expect,
    states::{migrated, server},
};

#[actix_web::test]
async fn the_state_of_the_migrations_is_told() {
    let newest = "(SELECT max(version) FROM seaql_migrations)";
    let drop_newest = format!("DELETE FROM seaql_migrations WHERE version = {newest}");
    let server = migrated("pending", &[&drop_newest]).await;
    let told = expect(
        &server.url("api", "pending"),
        "PG53",
        7,
        "gatepost-migrate up",
    )
    .await;
    assert!(
        told.all.contains("1 migrations are pending"),
        "{}",
        told.all
    );
    assert!(told.finding("PG39").is_some(), "{}", told.all);
    let owner = check(&server.url("owner", "pending")).await;
    assert!(owner.finding("PG39").is_none());

    let add = "INSERT INTO seaql_migrations VALUES ('m20991231_000001_later', 0)";
    let server = migrated("newer", &[add]).await;
    let told = expect(&server.url("api", "newer"), "", 0, "").await;
    let finding = told.finding("PG53").unwrap();
    assert_eq!(finding["severity"], "warning");
    assert!(
        finding["message"]
            .as_str()
            .unwrap()
            .contains("m20991231_000001_later")
    );

    let drop_first = "DELETE FROM seaql_migrations WHERE version LIKE 'm20261121_000003%'";
    let server = migrated("partial", &[drop_first]).await;
    let told = expect(
        &server.url("api", "partial"),
        "PG53",
        7,
        "gatepost-migrate up",
    )
    .await;
    assert!(told.all.contains("were left out"), "{}", told.all);

    let mut holder = server.superuser("partial").await;
    let lock = format!("SELECT pg_advisory_lock({})", migration::LOCK_KEY);
    holder.execute(AssertSqlSafe(lock)).await.unwrap();
    let told = check(&server.url("api", "partial")).await;
    assert!(
        told.all.contains("somebody migrates just now"),
        "{}",
        told.all
    );
}

#[actix_web::test]
async fn room_and_waiting_sessions_are_told() {
    let server = migrated("crowded", &["ALTER DATABASE crowded CONNECTION LIMIT 5"]).await;
    let url = server.url("api", "crowded");
    let told = expect(&url, "", 0, "").await;
    let finding = told.finding("PG30").unwrap();
    assert!(
        finding["message"]
            .as_str()
            .unwrap()
            .contains("5 connections left"),
        "{finding}"
    );
    let told = check_with(&[&url], &[("DATABASE_MAX_SIZE", "100")]).await;
    assert!(
        told.finding("PG29").unwrap()["fix"]
            .as_str()
            .unwrap()
            .contains("DATABASE_MAX_SIZE")
    );

    server
        .sql(
            "crowded",
            &["ALTER ROLE api SET idle_session_timeout = '5min'"],
        )
        .await;
    let told = check_with(&[&url], &[("DATABASE_IDLE_TIMEOUT", "600")]).await;
    let finding = told.finding("PG49").unwrap();
    assert!(
        finding["fix"].as_str().unwrap().contains("below 300 s"),
        "{finding}"
    );
    server
        .sql("crowded", &["ALTER ROLE api RESET idle_session_timeout"])
        .await;

    let mut holder = server.superuser("crowded").await;
    holder
        .execute("BEGIN; LOCK TABLE users IN ACCESS EXCLUSIVE MODE")
        .await
        .unwrap();
    let mut waiter = server.superuser("crowded").await;
    let waiting = tokio::spawn(async move {
        waiter
            .execute("SELECT count(*) FROM users")
            .await
            .map(|_| ())
    });
    let mut observer = server.superuser("postgres").await;
    let blocked = "SELECT count(*) > 0 FROM pg_locks WHERE NOT granted";
    while !sqlx::query_scalar::<_, bool>(blocked)
        .fetch_one(&mut observer)
        .await
        .unwrap()
    {
        tokio::task::yield_now().await;
    }
    let told = check(&url).await;
    assert!(told.finding("PG50").is_some(), "{}", told.all);
    holder.close().await.unwrap();
    waiting.await.unwrap().unwrap();
}

/// A clock that is wrong.
struct Wrong(TimeDelta);

impl Clock for Wrong {
    fn now(&self) -> chrono::DateTime<chrono::Utc> {
        SystemClock.now() + self.0
    }
}

#[actix_web::test]
async fn clocks_that_differ_are_told() {
    let server = migrated("timely", &[]).await;
    let url = DatabaseUrl::parse(&server.url("api", "timely")).unwrap();
    for (minutes, word) in [(2, "behind"), (-2, "ahead")] {
        let target = Target {
            url: &url,
            schema: "public",
            patience: Duration::from_secs(5),
            pool: Pool {
                size: 15,
                idle_timeout: Duration::from_mins(10),
            },
            addresses: None,
            clock: &Wrong(TimeDelta::minutes(minutes)),
        };
        let report = check_here(&target).await;
        let is_drift =
            |finding: &&gatepost::database::check::Finding| finding.code == Some(Class::ClockDrift);
        let finding = report.findings.iter().find(is_drift).unwrap();
        assert_eq!(finding.severity, Severity::Warning);
        assert!(
            finding.message.ends_with(&format!("120 s {word}")),
            "{}",
            finding.message
        );
    }
}

/// What a statement fails with.
async fn failing(connection: &mut PgConnection, sql: &str) -> Class {
    let error = connection
        .execute(AssertSqlSafe(sql.to_owned()))
        .await
        .expect_err(sql);
    let sqlx::Error::Database(error) = error else {
        panic!("{sql}: {error}")
    };
    Class::of_sqlstate(&error.code().unwrap()).unwrap_or_else(|| panic!("{sql}: {error}"))
}

#[actix_web::test]
async fn errors_of_statements_have_their_class_too() {
    let server = server().await;
    let mut owner = PgConnection::connect(&server.url("owner", "empty"))
        .await
        .unwrap();
    for (sql, class) in [
        ("CREATE EXTENSION nosuchext", Class::ExtensionMissing),
        ("SELECT nosuch()", Class::ExtensionNotCreated),
        ("SELECT * FROM nosuch", Class::MigrationState),
        ("SELECT nosuch FROM pg_class", Class::MigrationState),
        (
            "SET statement_timeout = 20; SELECT pg_sleep(5)",
            Class::Contention,
        ),
        ("SELECT convert_to(chr(8364), 'LATIN1')", Class::Encoding),
        ("SELECT * FROM pg_authid", Class::TableForbidden),
        ("EXECUTE nosuch", Class::PreparedStatements),
        (
            "PREPARE twice AS SELECT 1; PREPARE twice AS SELECT 1",
            Class::PreparedStatements,
        ),
        ("BEGIN READ ONLY; CREATE TABLE t (id int)", Class::ReadOnly),
        (
            "ROLLBACK; SET search_path = nosuch; CREATE TABLE t (id int)",
            Class::NoSchema,
        ),
        (
            "SELECT pg_terminate_backend(pg_backend_pid())",
            Class::ConnectionLost,
        ),
    ] {
        assert_eq!(failing(&mut owner, sql).await, class, "{sql}");
    }
}
