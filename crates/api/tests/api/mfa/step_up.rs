//! Some things take a proof that was given just now.

use chrono::TimeDelta;
use serde_json::{Value, json};

use super::{OWN, Person, Post, fresh_code, oathtool, wrong_code};
use crate::harness::{Answer, Client, PASSWORD, TestApp};

const STEP_UP: &str = "/api/auth/step-up";

/// Something that takes a fresh proof.
async fn sensitive(client: &Client) -> Answer {
    client.post(&format!("{OWN}/totp"), json!({})).await
}

async fn prove(client: &Client, body: Value) -> Answer {
    client.post(STEP_UP, body).await
}

/// The same person with a new access token, and the session that they had.
async fn refreshed(client: &Client) -> Client {
    let body = json!({"refresh_token": client.refresh_token});
    let answer = client.post("/api/auth/refresh", body).await;
    client.clone().with_tokens(&answer)
}

#[actix_web::test]
async fn after_five_minutes_the_password_is_asked_for_again() {
    let app = TestApp::spawn().await;
    let second = app.second().await;
    let client = app.user("anna").await;
    assert_eq!(sensitive(&client).await.status, 200);
    app.clock.advance(TimeDelta::seconds(301));
    let client = refreshed(&client).await;
    let answer = sensitive(&client).await;
    assert_eq!((answer.status, answer.problem()), (403, "step_up_required"));
    assert_eq!(sensitive(&client.at(&second)).await.status, 403);
    let wrong = prove(&client, json!({"password": "wrong"})).await;
    assert_eq!(
        (wrong.status, wrong.problem()),
        (401, "invalid_credentials")
    );
    let right = prove(&client, json!({"password": PASSWORD})).await;
    assert_eq!(right.body["status"], "stepped_up", "{}", right.body);
    assert_eq!(right.body["amr"], json!(["pwd"]));
    assert_eq!(right.body["expires_in"], 300);
    assert_eq!(sensitive(&client).await.status, 200);
    let there = client.at(&second);
    let mut answer = sensitive(&there).await;
    for _ in 0..100 {
        if answer.status == 200 {
            break;
        }
        tokio::task::yield_now().await;
        answer = sensitive(&there).await;
    }
    assert_eq!(answer.status, 200, "every instance has heard of it");
    second.stop().await;
}

#[actix_web::test]
async fn the_strongest_factor_is_what_counts() {
    let post = Post::with(&[]).await;
    let app = &post.app;
    let client = post.enrol_email("anna").await;
    let (secret, _) = super::enrol_totp(app, &client).await;
    app.clock.advance(TimeDelta::seconds(301));
    let client = refreshed(&client).await;
    for weak in [
        json!({"password": PASSWORD}),
        json!({"factor": "email", "code": "00000000"}),
    ] {
        let answer = prove(&client, weak).await;
        assert_eq!((answer.status, answer.problem()), (403, "step_up_required"));
        assert!(answer.body["detail"].as_str().unwrap().contains("`totp`"));
    }
    let wrong = json!({"factor": "totp", "code": wrong_code(app, &secret)});
    assert_eq!(prove(&client, wrong).await.problem(), "invalid_code");
    let right = json!({"factor": "totp", "code": fresh_code(app, &secret)});
    let again = right.clone();
    let answer = prove(&client, right).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let replayed = prove(&client, again).await;
    assert_eq!(replayed.problem(), "invalid_code");
    let path = format!("{OWN}/recovery-codes");
    assert_eq!(client.post(&path, json!({})).await.status, 200);
}

#[actix_web::test]
async fn a_login_by_a_weaker_factor_is_not_fresh_enough() {
    let post = Post::with(&[]).await;
    let app = &post.app;
    let client = post.enrol_email("anna").await;
    super::enrol_totp(app, &client).await;
    let token = super::pending(app, "anna").await;
    let ask = json!({"mfa_token": token, "factor": "email"});
    assert_eq!(
        app.anonymous().post(super::CHALLENGE, ask).await.status,
        200
    );
    let code = post.code("anna", 2).await;
    let answer = super::verify(app, &token, "email", &code).await;
    let client = app.anonymous().with_tokens(&answer);
    let path = format!("{OWN}/recovery-codes");
    let answer = client.post(&path, json!({})).await;
    assert_eq!((answer.status, answer.problem()), (403, "step_up_required"));
}

#[actix_web::test]
async fn a_code_is_mailed_for_the_session_that_asks() {
    let post = Post::with(&[]).await;
    let app = &post.app;
    post.enrol_email("anna").await;
    app.clock.advance(TimeDelta::seconds(301));
    let token = super::pending(app, "anna").await;
    let ask = json!({"mfa_token": token, "factor": "email"});
    app.anonymous().post(super::CHALLENGE, ask).await;
    let code = post.code("anna", 2).await;
    let answer = super::verify(app, &token, "email", &code).await;
    let client = app.anonymous().with_tokens(&answer);
    app.clock.advance(TimeDelta::seconds(301));
    let client = refreshed(&client).await;
    let body = |code: &str| json!({"factor": "email", "code": code});
    let early = prove(&client, body(&code)).await;
    assert_eq!(early.problem(), "invalid_code");
    let path = format!("{STEP_UP}/challenge");
    let sent = client.post(&path, json!({"factor": "email"})).await;
    assert_eq!(sent.body["status"], "code_sent", "{}", sent.body);
    let fresh = post.code("anna", 3).await;
    let right = prove(&client, body(&fresh)).await;
    assert_eq!(right.status, 200, "{}", right.body);
    let again = prove(&client, body(&fresh)).await;
    assert_eq!(again.problem(), "invalid_code");
    let nobody = app.user("bert").await;
    let none = nobody.post(&path, json!({"factor": "email"})).await;
    assert_eq!(none.body["errors"][0]["code"], "not_enrolled");
}

#[actix_web::test]
async fn wrong_codes_of_a_step_up_count_with_those_of_logins() {
    let app = TestApp::spawn().await;
    let anna = Person::enrolled(&app, "anna").await;
    let wrong = wrong_code(&app, &anna.secret);
    let body = json!({"factor": "totp", "code": wrong});
    for _ in 0..10 {
        assert_eq!(prove(&anna.client, body.clone()).await.status, 401);
    }
    let answer = prove(&anna.client, body).await;
    assert_eq!(
        (answer.status, answer.problem()),
        (429, "too_many_attempts")
    );
    let token = anna.pending(&app).await;
    let code = fresh_code(&app, &anna.secret);
    let login = super::verify(&app, &token, "totp", &code).await;
    assert_eq!(login.status, 429);
    let code = anna.recovery_codes[2].clone();
    let paper = json!({"factor": "recovery_code", "code": code});
    let answer = prove(&anna.client, paper).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
}

#[actix_web::test]
async fn what_is_asked_has_to_be_whole() {
    let app = TestApp::spawn().await;
    let anna = Person::enrolled(&app, "anna").await;
    let code = oathtool(&app, &anna.secret);
    for bad in [
        json!({}),
        json!({"factor": "totp"}),
        json!({"password": PASSWORD, "factor": "totp", "code": code}),
        json!({"factor": "sms", "code": "1"}),
        json!({"factor": "totp", "code": "1".repeat(65)}),
        json!({"factor": "totp", "code": 1}),
        json!({"factor": "totp", "code": "0\u{0}"}),
    ] {
        let answer = prove(&anna.client, bad.clone()).await;
        assert_eq!(
            (answer.status, answer.problem()),
            (400, "validation_failed"),
            "{bad}"
        );
    }
}
