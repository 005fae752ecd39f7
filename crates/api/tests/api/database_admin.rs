//! The database as administrators see it, and tests of connections that they start.

use serde_json::{Value, json};
use sqlx::{Executor as _, Row as _};
use tokio::net::TcpListener;

use crate::{
    harness::{Client, TestApp},
    program::{run, told},
};

const TEST: &str = "/api/admin/database/test";

async fn tested(admin: &Client, body: Value) -> Value {
    let answer = admin.post(TEST, body).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.body
}

#[actix_web::test]
async fn administrators_see_what_the_database_is_doing() {
    let app = TestApp::spawn().await;
    let admin = app.admin().await;
    let answer = admin.get("/api/admin/database").await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let body = &answer.body;
    assert_eq!(body["database"], app.database);
    assert!(body["server_version"].is_string());
    assert!(body["size_bytes"].as_i64().unwrap() > 1_000_000);
    assert_eq!(body["pool"]["max_size"], 8);
    assert_eq!(body["migrations"]["pending"], json!([]));
    assert_eq!(body["migrations"]["applied"], migration::known().len());
    assert_eq!(body["encryption"]["used"], false);
    let has = |list: &str, key: &str, value: &str| {
        let rows = body[list].as_array().unwrap();
        rows.iter().any(|row| row[key] == value)
    };
    assert!(has("connections", "application", "gatepost"), "{body}");
    assert!(has("tables", "name", "users"));
    assert!(has("indexes", "name", "users_email_key"), "{body}");
    // It is said that it is missing, and everything else is there nevertheless.
    assert_eq!(body["slow_queries"]["available"], false);
    let note = body["slow_queries"]["note"].as_str().unwrap();
    assert!(
        note.contains("CREATE EXTENSION pg_stat_statements"),
        "{note}"
    );

    let mut sql = app.sql().await;
    sql.execute("CREATE EXTENSION pg_stat_statements")
        .await
        .unwrap();
    let body = admin.get("/api/admin/database").await.body;
    let note = body["slow_queries"]["note"].as_str().unwrap();
    assert!(note.contains("shared_preload_libraries"), "{note}");
}

#[actix_web::test]
async fn the_command_prints_the_same() {
    let app = TestApp::spawn().await;
    let (status, text) = told(&app, &["db", "stats"]).await;
    assert_eq!(status, 0, "{text}");
    for words in [
        "Connections: ",
        "gatepost",
        "Encryption",
        "Indexes, the least used first",
        "Slow queries",
        "pg_stat_statements",
    ] {
        assert!(text.contains(words), "{words}: {text}");
    }
    let (status, text) = told(&app, &["db", "stats", "--json"]).await;
    assert_eq!(status, 0, "{text}");
    let stats: Value = serde_json::from_str(&text).unwrap();
    let view = app.admin().await.get("/api/admin/database").await.body;
    for key in stats.as_object().unwrap().keys() {
        assert!(view.get(key).is_some(), "{key}");
    }
    // A database that cannot be had is told as the check tells it.
    let mut gone = crate::program::gatepost(&app, &["db", "stats"]).await;
    let output = gone
        .env("DATABASE_URL", "postgres://u@127.0.0.1:1/d")
        .output()
        .await
        .unwrap();
    assert_eq!(output.status.code(), Some(3));
    assert!(String::from_utf8_lossy(&output.stderr).contains("PG05"));
}

#[actix_web::test]
async fn the_configured_database_passes_its_test() {
    let app = TestApp::spawn().await;
    let admin = app.admin().await;
    let body = tested(&admin, json!({})).await;
    assert_eq!(body["status"], "ok", "{body}");
    assert_eq!(body["code"], Value::Null);
    assert_eq!(body["details"]["database"], app.database);
    assert_eq!(body["details"]["test_query_result"], 1);
    let (status, text) = told(&app, &["db", "check", "--json"]).await;
    assert_eq!(status, 0, "{text}");

    let mut sql = app.sql().await;
    let row =
        sqlx::query("SELECT target_id, details FROM audit_log WHERE action = 'database.tested'")
            .fetch_one(&mut sql)
            .await
            .unwrap();
    let details: Value = row.get("details");
    assert_eq!(details["status"], "ok");
    assert_eq!(details["database"], app.database);
    let output = run(&app, &["db", "check"]).await;
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("OK: connected"), "{text}");
}

#[actix_web::test]
async fn a_test_tells_the_class_and_nothing_that_the_server_said() {
    let app = TestApp::spawn().await;
    let admin = app.admin().await;
    let body = tested(
        &admin,
        json!({"user": "nobody_here", "password": "hunter2"}),
    )
    .await;
    assert_eq!(
        (body["status"].as_str(), body["code"].as_str()),
        (Some("error"), Some("PG22"))
    );
    assert_eq!(body["phase"], "P5");
    assert!(body["fix"].as_str().unwrap().contains("ALTER ROLE"));
    let text = body.to_string();
    for secret in ["hunter2", "password authentication failed", "127.0.0.1/32"] {
        assert!(!text.contains(secret), "{text}");
    }
    // Another database than the configured one does not get the configured password.
    let body = tested(&admin, json!({"database": "postgres"})).await;
    assert_eq!(body["code"], "PG23", "{body}");
    let body = tested(&admin, json!({"sslmode": "allow"})).await;
    assert_eq!(body["code"], "PG23", "{body}");
}

#[actix_web::test]
async fn a_test_goes_nowhere_but_where_the_operator_lets_it() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let app = TestApp::spawn().await;
    let admin = app.admin().await;
    for body in [
        json!({"host": "db.example.com"}),
        json!({"host": "169.254.169.254", "port": 80}),
        json!({"host": "127.0.0.1", "port": port}),
        json!({"port": port}),
        json!({"host": "/etc"}),
    ] {
        let answer = admin.post(TEST, body).await;
        assert_eq!(
            (answer.status, answer.problem()),
            (400, "validation_failed")
        );
        assert_eq!(answer.body["errors"][0]["code"], "host_not_allowed");
    }
    // Nobody came.
    tokio::select! {
        biased;
        _ = listener.accept() => panic!("somebody came"),
        () = tokio::task::yield_now() => {}
    }
    let listed = format!("127.0.0.1:{port}");
    let other = app
        .second_with(&[("DATABASE_TEST_ALLOWED_HOSTS", &listed)])
        .await;
    drop(listener);
    let body = tested(
        &admin.at(&other),
        json!({"host": "127.0.0.1", "port": port}),
    )
    .await;
    assert_eq!(body["code"], "PG05", "{body}");
    let answer = admin.at(&other).post(TEST, json!({})).await;
    assert_eq!(
        answer.status, 400,
        "a list leaves out what it does not name"
    );
    other.stop().await;
}

#[actix_web::test]
async fn tests_are_counted_and_bad_ones_are_refused() {
    let app = TestApp::spawn().await;
    let admin = app.admin().await;
    for (body, field) in [
        (json!({"sslmode": "maybe"}), "sslmode"),
        (json!({"port": 0}), "host"),
        (json!({"user": ""}), "host"),
        (json!({"host": "a b"}), "host"),
        (json!({"sslrootcert": "/etc/passwd"}), "sslrootcert"),
    ] {
        let answer = admin.post(TEST, body).await;
        assert_eq!(
            (answer.status, answer.problem()),
            (400, "validation_failed"),
            "{}",
            answer.body
        );
        assert!(answer.body.to_string().contains(field), "{}", answer.body);
    }
    for _ in 0..10 {
        tested(&admin, json!({})).await;
    }
    let answer = admin.post(TEST, json!({})).await;
    assert_eq!(
        (answer.status, answer.problem()),
        (429, "too_many_attempts")
    );
    assert!(!answer.header("retry-after").is_empty());
}
