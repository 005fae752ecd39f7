//! How often one may be wrong.

use chrono::TimeDelta;
use serde_json::json;

use super::{CHALLENGE, Person, Post, fresh_code, pending, verify, wrong_code};
use crate::harness::TestApp;

#[actix_web::test]
async fn five_wrong_codes_end_a_pending_login() {
    let app = TestApp::spawn().await;
    let anna = Person::enrolled(&app, "anna").await;
    let token = anna.pending(&app).await;
    let wrong = wrong_code(&app, &anna.secret);
    for _ in 0..5 {
        let answer = verify(&app, &token, "totp", &wrong).await;
        assert_eq!((answer.status, answer.problem()), (401, "invalid_code"));
    }
    let answer = verify(&app, &token, "totp", &fresh_code(&app, &anna.secret)).await;
    assert_eq!((answer.status, answer.problem()), (401, "invalid_token"));
    anna.log_in(&app).await;
}

#[actix_web::test]
async fn ten_wrong_codes_in_an_hour_are_all_there_are_whatever_is_begun_anew() {
    let app = TestApp::spawn().await;
    let second = app.second().await;
    let anna = Person::enrolled(&app, "anna").await;
    for instance in [&app, &second] {
        let token = anna.pending(instance).await;
        let wrong = wrong_code(instance, &anna.secret);
        for _ in 0..5 {
            let answer = verify(instance, &token, "totp", &wrong).await;
            assert_eq!(answer.problem(), "invalid_code");
        }
    }
    let token = anna.pending(&second).await;
    let answer = verify(&second, &token, "totp", &fresh_code(&app, &anna.secret)).await;
    assert_eq!(
        (answer.status, answer.problem()),
        (429, "too_many_attempts")
    );
    let seconds: i64 = answer.header("retry-after").parse().unwrap();
    assert!((1..=3600).contains(&seconds), "{seconds}");
    let token = anna.pending(&app).await;
    let code = anna.recovery_codes[0].clone();
    let answer = verify(&app, &token, "recovery_code", &code).await;
    assert_eq!(answer.status, 200, "each factor is counted by itself");
    app.clock.advance(TimeDelta::seconds(seconds));
    anna.log_in(&app).await;
    second.stop().await;
}

#[actix_web::test]
async fn right_codes_use_up_no_tries() {
    let app = TestApp::spawn().await;
    let anna = Person::enrolled(&app, "anna").await;
    for _ in 0..12 {
        anna.log_in(&app).await;
    }
}

#[actix_web::test]
async fn a_hundred_wrong_codes_in_a_row_lock_the_factor() {
    let app = TestApp::spawn().await;
    let anna = Person::enrolled(&app, "anna").await;
    let sql = "UPDATE mfa_factors SET failed_attempts = 98";
    sqlx::query(sql)
        .execute(&mut app.sql().await)
        .await
        .unwrap();
    let token = anna.pending(&app).await;
    let wrong = wrong_code(&app, &anna.secret);
    for _ in 0..2 {
        let answer = verify(&app, &token, "totp", &wrong).await;
        assert_eq!(answer.problem(), "invalid_code");
    }
    let answer = verify(&app, &token, "totp", &fresh_code(&app, &anna.secret)).await;
    assert_eq!((answer.status, answer.problem()), (403, "factor_locked"));
    let code = anna.recovery_codes[7].clone();
    let answer = verify(&app, &token, "recovery_code", &code).await;
    let client = app.anonymous().with_tokens(&answer);
    let own = client.get(super::OWN).await;
    assert_eq!(own.body["factors"][0]["locked"], true);
    let id = own.body["factors"][0]["id"].as_str().unwrap();
    let path = format!("{}/factors/{id}", super::OWN);
    assert_eq!(client.delete(&path).await.status, 204, "a way out");
    assert_eq!(app.login("anna").await.body["status"], "authenticated");
}

#[actix_web::test]
async fn the_right_code_makes_the_count_begin_anew() {
    let app = TestApp::spawn().await;
    let anna = Person::enrolled(&app, "anna").await;
    let sql = "UPDATE mfa_factors SET failed_attempts = 99";
    sqlx::query(sql)
        .execute(&mut app.sql().await)
        .await
        .unwrap();
    anna.log_in(&app).await;
    let sql = "SELECT failed_attempts FROM mfa_factors WHERE locked_at IS NULL";
    let failed: i32 = sqlx::query_scalar(sql)
        .fetch_one(&mut app.sql().await)
        .await
        .unwrap();
    assert_eq!(failed, 0);
}

#[actix_web::test]
async fn a_fresh_mailed_code_replaces_the_one_before_and_gives_back_no_try() {
    let post = Post::with(&[]).await;
    let app = &post.app;
    post.enrol_email("anna").await;
    let token = pending(app, "anna").await;
    let ask = json!({"mfa_token": token, "factor": "email"});
    let ask = async || app.anonymous().post(CHALLENGE, ask.clone()).await;
    assert_eq!(ask().await.status, 200);
    let first = post.code("anna", 2).await;
    assert_eq!(ask().await.status, 200);
    let second = post.code("anna", 3).await;
    let wrong = if first == "00000000" {
        "00000001"
    } else {
        "00000000"
    };
    for code in [first.as_str(), wrong, wrong, wrong] {
        let answer = verify(app, &token, "email", code).await;
        assert_eq!(answer.problem(), "invalid_code");
    }
    assert_eq!(ask().await.status, 200);
    let third = post.code("anna", 4).await;
    assert_ne!(second, third);
    let answer = verify(app, &token, "email", wrong).await;
    assert_eq!(answer.problem(), "invalid_code");
    let answer = verify(app, &token, "email", &third).await;
    assert_eq!(answer.problem(), "invalid_token", "five were tried");
}

#[actix_web::test]
async fn five_codes_are_mailed_in_an_hour_and_no_more() {
    let post = Post::with(&[]).await;
    let app = &post.app;
    // One of the five.
    post.enrol_email("anna").await;
    for number in 1..=5 {
        let ask = json!({"mfa_token": pending(app, "anna").await, "factor": "email"});
        let answer = app.anonymous().post(CHALLENGE, ask).await;
        if number < 5 {
            assert_eq!(answer.status, 200, "{}", answer.body);
        } else {
            assert_eq!(
                (answer.status, answer.problem()),
                (429, "too_many_attempts")
            );
            assert_eq!(answer.header("retry-after"), "3600");
        }
    }
}
