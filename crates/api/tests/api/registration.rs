//! How people become users.

use futures_util::future::join_all;
use serde_json::json;

use crate::harness::{PASSWORD, TestApp};

const REGISTER: &str = "/api/register";

#[actix_web::test]
async fn with_approval_nobody_comes_in_before_an_administrator_says_yes() {
    let app = TestApp::spawn().await;
    let client = app.anonymous();
    let new = json!({"email": "anna@example.com", "username": "anna", "password": PASSWORD, "display_name": "Anna"});
    let answer = client.post(REGISTER, new).await;
    assert_eq!(
        (answer.status, &answer.body),
        (202, &json!({"status": "pending_approval"}))
    );
    assert_eq!(app.login("anna").await.problem(), "account_pending");
    let admin = app.admin().await;
    let pending = admin.get("/api/admin/users?status=pending_approval").await;
    let id = pending.body["items"][0]["id"].as_str().unwrap();
    let approve = format!("/api/admin/users/{id}/approve");
    for _ in 0..2 {
        let answer = admin.put(&approve, json!({})).await;
        assert_eq!(answer.status, 200, "idempotent: {}", answer.body);
        assert_eq!(answer.body["status"], "active");
    }
    assert_eq!(app.login("anna").await.status, 200);
    let sql = "SELECT count(*) FROM audit_log WHERE action = 'user.approved'";
    let entries: i64 = sqlx::query_scalar(sql)
        .fetch_one(&mut app.sql().await)
        .await
        .unwrap();
    assert_eq!(entries, 1);
}

#[actix_web::test]
async fn the_rejected_stay_out_until_someone_changes_their_mind() {
    let app = TestApp::spawn().await;
    let admin = app.admin().await;
    let new = json!({"email": "anna@example.com", "password": PASSWORD});
    app.anonymous().post(REGISTER, new).await;
    let found = admin.get("/api/admin/users?q=anna").await;
    let id = found.body["items"][0]["id"].as_str().unwrap();
    let answer = admin
        .put(
            &format!("/api/admin/users/{id}/reject"),
            json!({"reason": "unknown here"}),
        )
        .await;
    assert_eq!(answer.body["status"], "rejected");
    assert_eq!(
        app.login("anna@example.com").await.problem(),
        "account_disabled"
    );
    let answer = admin
        .put(&format!("/api/admin/users/{id}/disable"), json!({}))
        .await;
    assert_eq!((answer.status, answer.problem()), (409, "conflict"));
    assert_eq!(
        admin
            .put(&format!("/api/admin/users/{id}/approve"), json!({}))
            .await
            .status,
        200
    );
    assert_eq!(app.login("anna@example.com").await.status, 200);
}

#[actix_web::test]
async fn open_registration_lets_people_in_at_once() {
    let app = TestApp::with(&[("REGISTRATION_MODE", "open")]).await;
    let new = json!({"email": "anna@example.com", "password": PASSWORD});
    let answer = app.anonymous().post(REGISTER, new).await;
    assert_eq!(
        (answer.status, &answer.body),
        (202, &json!({"status": "active"}))
    );
    assert_eq!(app.login("anna@example.com").await.status, 200);
}

#[actix_web::test]
async fn closed_registration_and_other_domains_are_refused() {
    let app = TestApp::with(&[("REGISTRATION_MODE", "closed")]).await;
    let new = json!({"email": "anna@example.com", "password": PASSWORD});
    let answer = app.anonymous().post(REGISTER, new.clone()).await;
    assert_eq!(
        (answer.status, answer.problem()),
        (403, "registration_closed")
    );
    let app = TestApp::with(&[("REGISTRATION_ALLOWED_DOMAINS", "example.org")]).await;
    assert_eq!(
        app.anonymous().post(REGISTER, new).await.problem(),
        "registration_closed"
    );
    let new = json!({"email": "anna@EXAMPLE.org", "password": PASSWORD});
    assert_eq!(app.anonymous().post(REGISTER, new).await.status, 202);
}

#[actix_web::test]
async fn by_invitation_nobody_registers_without_one() {
    let app = TestApp::with(&[("REGISTRATION_MODE", "invitation")]).await;
    for token in [json!(null), json!("gpi_unknown")] {
        let new =
            json!({"email": "anna@example.com", "password": PASSWORD, "invitation_token": token});
        let answer = app.anonymous().post(REGISTER, new).await;
        assert_eq!(
            (answer.status, answer.problem()),
            (403, "invitation_required")
        );
    }
}

#[actix_web::test]
async fn a_known_address_gets_the_same_answer_and_its_owner_a_mail() {
    let app = TestApp::spawn().await;
    app.user("anna").await;
    let client = app.anonymous();
    let fresh = client
        .post(
            REGISTER,
            json!({"email": "new@example.com", "password": PASSWORD}),
        )
        .await;
    let other = "sparrow lantern 52 oak ridge";
    let known = client
        .post(
            REGISTER,
            json!({"email": "ANNA@example.com", "password": other}),
        )
        .await;
    assert_eq!((fresh.status, &fresh.body), (known.status, &known.body));
    let count = async |sql: &'static str| -> i64 {
        sqlx::query_scalar(sql)
            .fetch_one(&mut app.sql().await)
            .await
            .unwrap()
    };
    assert_eq!(
        count("SELECT count(*) FROM users WHERE email_normalized = 'anna@example.com'").await,
        1
    );
    // The administrator's first password sent one, approval another, and the second registration
    // a third.
    assert_eq!(count("SELECT count(*) FROM outbox").await, 3);
    assert_eq!(app.login("anna").await.status, 200, "the password stays");
}

#[actix_web::test]
async fn a_taken_username_is_not_told_to_strangers() {
    let app = TestApp::spawn().await;
    app.user("anna").await;
    let client = app.anonymous();
    let new = json!({"email": "other@example.com", "username": "ANNA", "password": PASSWORD});
    let answer = client.post(REGISTER, new).await;
    assert_eq!(
        (answer.status, &answer.body),
        (202, &json!({"status": "pending_approval"}))
    );
    let sql = "SELECT username IS NULL FROM users WHERE email = 'other@example.com'";
    let nameless: bool = sqlx::query_scalar(sql)
        .fetch_one(&mut app.sql().await)
        .await
        .unwrap();
    assert!(nameless);
}

#[actix_web::test]
async fn twenty_registrations_of_one_address_at_once_make_one_user() {
    let app = TestApp::spawn().await;
    let client = app.anonymous();
    let new = json!({"email": "anna@example.com", "username": "anna", "password": PASSWORD});
    let answers = join_all((0..20).map(|_| client.post(REGISTER, new.clone()))).await;
    assert!(answers.iter().all(|answer| answer.status == 202));
    let sql = "SELECT count(*) FROM users WHERE email = 'anna@example.com'";
    let users: i64 = sqlx::query_scalar(sql)
        .fetch_one(&mut app.sql().await)
        .await
        .unwrap();
    assert_eq!(users, 1);
}

#[actix_web::test]
async fn what_cannot_be_registered_is_refused_with_its_field() {
    let app = TestApp::spawn().await;
    let client = app.anonymous();
    let email = "anna@example.com";
    for (new, field, code) in [
        (json!({"password": PASSWORD}), "email", "missing_field"),
        (json!({"email": email}), "password", "missing_field"),
        (
            json!({"email": "no", "password": PASSWORD}),
            "email",
            "invalid_value",
        ),
        (
            json!({"email": 1, "password": PASSWORD}),
            "email",
            "invalid_type",
        ),
        (
            json!({"email": email, "password": "short"}),
            "password",
            "password_too_short",
        ),
        (
            json!({"email": email, "password": "x".repeat(257)}),
            "password",
            "password_too_long",
        ),
        (
            json!({"email": email, "password": "passwordpassword"}),
            "password",
            "password_too_guessable",
        ),
        (
            json!({"email": email, "password": PASSWORD, "username": "a b"}),
            "username",
            "invalid_value",
        ),
        (
            json!({"email": email, "password": PASSWORD, "username": "a@b.de"}),
            "username",
            "invalid_value",
        ),
        (
            json!({"email": email, "password": PASSWORD, "display_name": ""}),
            "display_name",
            "invalid_value",
        ),
        (
            json!({"email": email, "password": PASSWORD, "role": "admin"}),
            "role",
            "unknown_field",
        ),
        (
            json!({"email": "a\u{0}@b.de", "password": PASSWORD}),
            "email",
            "invalid_character",
        ),
    ] {
        let answer = client.post(REGISTER, new.clone()).await;
        assert_eq!(
            (answer.status, answer.problem()),
            (400, "validation_failed"),
            "{new}"
        );
        assert_eq!(
            answer.body["errors"][0]["field"], field,
            "{new}: {}",
            answer.body
        );
        assert_eq!(
            answer.body["errors"][0]["code"], code,
            "{new}: {}",
            answer.body
        );
    }
    let sql = "SELECT count(*) FROM users";
    let users: i64 = sqlx::query_scalar(sql)
        .fetch_one(&mut app.sql().await)
        .await
        .unwrap();
    assert_eq!(users, 1, "only the administrator is there");
}
