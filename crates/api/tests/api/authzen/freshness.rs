//! What a decision rests on is as new as the request wants it.

use std::process::Command;

use serde_json::{Value, json};
use sqlx::Executor;

use super::ONE;
use crate::{
    harness::{Answer, Client, TestApp},
    tenants::{Tenant, given},
};

const HEADER: &str = "gatepost-revision";
/// Connections that changes are heard by: by what they asked last.
const LISTENERS: &str = "datname = current_database() AND query IN \
    ('SELECT revision FROM authz_state', 'SELECT 1')";

async fn ask(by: &Client, about: &Client, tenant: &Tenant, freshness: Option<&str>) -> Answer {
    let body = json!({
        "subject": {"type": "user", "id": about.user_id}, "action": {"name": "read"},
        "resource": tenant.resource("project"),
    });
    let headers: Vec<_> = freshness.map(|value| (HEADER, value)).into_iter().collect();
    by.post_with(ONE, body, &headers).await
}

/// The revision of an answer.
fn revision_of(answer: &Answer) -> i64 {
    answer.header(HEADER).parse().unwrap()
}

/// The revision of a decision, the same in its header and in its body.
fn revision(answer: &Answer) -> i64 {
    assert_eq!(answer.body["context"]["revision"], answer.header(HEADER));
    revision_of(answer)
}

/// The database's ends of the connections that changes are heard by, which say nothing while this is
/// there.
struct Muted(Vec<String>);

impl Muted {
    async fn all(app: &TestApp) -> Self {
        let sql = format!("SELECT pid::text FROM pg_stat_activity WHERE {LISTENERS}");
        let pids = sqlx::query_scalar(sqlx::AssertSqlSafe(sql));
        let muted = Self(pids.fetch_all(&mut app.sql().await).await.unwrap());
        assert_eq!(muted.0.len(), 2, "one of each instance");
        muted.signal("-STOP");
        muted
    }

    fn signal(&self, signal: &str) {
        let sent = Command::new("kill").arg(signal).args(&self.0).status();
        assert!(sent.unwrap().success());
    }
}

impl Drop for Muted {
    fn drop(&mut self) {
        self.signal("-CONT");
    }
}

#[actix_web::test]
async fn what_a_request_knows_of_is_known_on_every_instance() {
    let app = TestApp::spawn().await;
    let second = app.second().await;
    let (admin, anna) = (app.admin().await, app.user("anna").await);
    let acme = Tenant::create(&admin, "Acme").await;
    let (there, herself) = (admin.at(&second), anna.at(&second));
    let mut id = given(&admin, &anna, "viewer", acme.resource("account")).await;
    for wanted in ["at-least", "latest"] {
        while ask(&there, &anna, &acme, None).await.body["decision"] != true {
            tokio::task::yield_now().await;
        }
        let muted = Muted::all(&app).await;
        let taken = admin.delete(&format!("/api/role-assignments/{id}")).await;
        let since = revision_of(&taken);
        let lags = ask(&there, &anna, &acme, None).await;
        assert_eq!(lags.body["decision"], true, "or else this tests nothing");
        assert!(revision(&lags) < since, "it says so");
        let at_least = format!("at-least={since}");
        let wanted = if wanted == "latest" {
            wanted
        } else {
            &at_least
        };
        for by in [&there, &herself] {
            let answer = ask(by, &anna, &acme, Some(wanted)).await;
            assert_eq!(answer.body["decision"], false, "{wanted}: {}", answer.body);
            assert!(revision(&answer) >= since);
        }
        drop(muted);
        id = given(&admin, &anna, "viewer", acme.resource("account")).await;
    }
    // And each instance knows of its own changes.
    let taken = admin.delete(&format!("/api/role-assignments/{id}")).await;
    assert_eq!(taken.status, 204, "{}", taken.body);
    let own = ask(&admin, &anna, &acme, None).await;
    assert_eq!(own.body["decision"], false, "{}", own.body);
    second.stop().await;
}

#[actix_web::test]
async fn who_hears_of_nothing_believes_nothing_that_is_remembered() {
    let app = TestApp::spawn().await;
    let second = app.second().await;
    let (admin, anna) = (app.admin().await, app.user("anna").await);
    let acme = Tenant::create(&admin, "Acme").await;
    let id = given(&admin, &anna, "viewer", acme.resource("project")).await;
    let there = admin.at(&second);
    while ask(&there, &anna, &acme, None).await.body["decision"] != true {
        tokio::task::yield_now().await;
    }
    let mut superuser = app.sql().await;
    let database: String = sqlx::query_scalar("SELECT current_database()")
        .fetch_one(&mut superuser)
        .await
        .unwrap();
    let limit = |number: i32| format!("ALTER DATABASE {database} CONNECTION LIMIT {number}");
    superuser
        .execute(sqlx::AssertSqlSafe(limit(0)))
        .await
        .unwrap();
    let cut =
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()
        AND query IN ('SELECT revision FROM authz_state', 'SELECT 1')";
    superuser.execute(cut).await.unwrap();
    while second.state.cache.is_listening() {
        tokio::task::yield_now().await;
    }
    let taken = admin.delete(&format!("/api/role-assignments/{id}")).await;
    assert_eq!(taken.status, 204, "{}", taken.body);
    let answer = ask(&there, &anna, &acme, None).await;
    assert_eq!(answer.body["decision"], false, "{}", answer.body);
    assert_eq!(revision(&answer).to_string(), taken.header(HEADER));
    superuser
        .execute(sqlx::AssertSqlSafe(limit(-1)))
        .await
        .unwrap();
    while !second.state.cache.is_listening() {
        tokio::task::yield_now().await;
    }
    assert!(revision(&ask(&there, &anna, &acme, None).await) >= revision(&answer));
    second.stop().await;
}

#[actix_web::test]
async fn a_revision_that_there_is_not_is_refused() {
    let app = TestApp::spawn().await;
    let admin = app.admin().await;
    let acme = Tenant::create(&admin, "Acme").await;
    for (header, code) in [
        ("newest", "invalid"),
        ("at-least=", "invalid"),
        ("at-least=-1", "invalid"),
        ("at-least=99999999999999999999", "invalid"),
        ("at-least=1000000", "unknown"),
    ] {
        let answer = ask(&admin, &admin, &acme, Some(header)).await;
        assert_eq!(answer.problem(), "validation_failed", "{header}");
        let fault = &answer.body["errors"][0];
        let expected: Value = json!(["Gatepost-Revision", code]);
        assert_eq!(json!([fault["field"], fault["code"]]), expected, "{header}");
    }
    let answer = ask(&admin, &admin, &acme, Some("at-least=0")).await;
    assert_eq!(answer.body["decision"], true, "{}", answer.body);
}
