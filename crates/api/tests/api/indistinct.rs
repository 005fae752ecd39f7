//! An answer does not tell whether an account exists. Whether its time does is measured by `bench/`,
//! not tested.

use chrono::TimeDelta;
use serde_json::{Value, json};
use sqlx::Executor;

use crate::harness::{Answer, PASSWORD, TestApp};

/// Everything that a client sees but what is new in every answer.
fn visible(answer: &Answer) -> (u16, Vec<String>, Value) {
    let mut headers: Vec<_> = answer
        .headers
        .iter()
        .filter(|(name, _)| !["date", "x-request-id"].contains(&name.as_str()))
        .map(|(name, value)| format!("{name}: {value:?}"))
        .collect();
    headers.sort();
    let mut body = answer.body.clone();
    if let Some(fields) = body.as_object_mut() {
        fields.remove("request_id");
    }
    (answer.status, headers, body)
}

/// Sends the same about each of these accounts, and demands the same answer.
async fn same(app: &TestApp, path: &str, status: u16, bodies: &[Value]) {
    let mut usual = None;
    for body in bodies {
        let answer = app.anonymous().post(path, body.clone()).await;
        assert_eq!(answer.status, status, "{path} {body}: {}", answer.body);
        let seen = visible(&answer);
        let usual = usual.get_or_insert_with(|| seen.clone());
        assert_eq!(*usual, seen, "{path} {body}");
    }
}

#[actix_web::test]
async fn known_and_unknown_accounts_get_the_same_answer() {
    let app = TestApp::spawn().await;
    app.user("anna").await;
    app.user("closed").await;
    app.user("foreign").await;
    app.user("none").await;
    let pending = json!({"email": "pending@example.com", "password": PASSWORD});
    assert_eq!(
        app.anonymous().post("/api/register", pending).await.status,
        202
    );
    let sql = "UPDATE users SET status = 'disabled' WHERE username = 'closed';
        UPDATE users SET password_hash = '$2b$04$OqyGUXeXeQyx.jx2GgVH2O8CmXWfShXJHosmbfYZXUpkO5RuOjQja'
            WHERE username = 'foreign';
        UPDATE users SET password_hash = NULL WHERE username = 'none'";
    app.sql().await.execute(sql).await.unwrap();
    let names = ["anna", "closed", "foreign", "none", "pending", "nobody"];
    let logins = names.map(
        |name| json!({"login": format!("{name}@example.com"), "password": "not the password"}),
    );
    same(&app, "/api/auth/login", 401, &logins).await;
    let registrations = ["anna", "closed", "pending", "stranger"].map(|name| {
        json!({"email": format!("{name}@example.com"), "password": "harbour lentil 41 quiet sail"})
    });
    same(&app, "/api/register", 202, &registrations).await;
    let addresses = names.map(|name| json!({"email": format!("{name}@example.com")}));
    same(&app, "/api/auth/password/forgot", 202, &addresses).await;
    // The two share what one address may ask for in an hour.
    app.clock.advance(TimeDelta::hours(1));
    same(&app, "/api/auth/email/resend", 202, &addresses).await;
}
