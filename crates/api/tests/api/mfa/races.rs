//! What counts once counts once, however many come at the same time.

use futures_util::future::join_all;
use serde_json::json;

use super::{CHALLENGE, Person, Post, fresh_code, pending, verify};
use crate::harness::{Answer, TestApp};

const MANY: usize = 50;

/// How many of the answers are a session, and that the others are refusals.
fn sessions(answers: &[Answer]) -> usize {
    for answer in answers {
        assert!([200, 401, 429].contains(&answer.status), "{answer:?}");
    }
    answers.iter().filter(|answer| answer.status == 200).count()
}

async fn opened(app: &TestApp) -> i64 {
    let sql = "SELECT count(*) FROM sessions WHERE 'mfa' = ANY (amr) AND revoked_at IS NULL";
    sqlx::query_scalar(sql)
        .fetch_one(&mut app.sql().await)
        .await
        .unwrap()
}

#[actix_web::test]
async fn fifty_uses_of_one_totp_code_open_one_session() {
    let app = TestApp::spawn().await;
    let second = app.second().await;
    let anna = Person::enrolled(&app, "anna").await;
    let before = opened(&app).await;
    let mut tokens = Vec::new();
    for _ in 0..MANY {
        tokens.push(anna.pending(&app).await);
    }
    let code = fresh_code(&app, &anna.secret);
    let uses = tokens.iter().enumerate().map(|(at, token)| {
        let instance = if at % 2 == 0 { &app } else { &second };
        verify(instance, token, "totp", &code)
    });
    assert_eq!(sessions(&join_all(uses).await), 1);
    assert_eq!(opened(&app).await, before + 1);
    second.stop().await;
}

#[actix_web::test]
async fn fifty_uses_of_one_recovery_code_open_one_session() {
    let app = TestApp::spawn().await;
    let anna = Person::enrolled(&app, "anna").await;
    let before = opened(&app).await;
    let mut tokens = Vec::new();
    for _ in 0..MANY {
        tokens.push(anna.pending(&app).await);
    }
    let code = &anna.recovery_codes[3];
    let uses = tokens
        .iter()
        .map(|token| verify(&app, token, "recovery_code", code));
    assert_eq!(sessions(&join_all(uses).await), 1);
    assert_eq!(opened(&app).await, before + 1);
    let sql = "SELECT count(*) FROM recovery_codes WHERE used_at IS NOT NULL";
    let used: i64 = sqlx::query_scalar(sql)
        .fetch_one(&mut app.sql().await)
        .await
        .unwrap();
    assert_eq!(used, 1);
}

#[actix_web::test]
async fn fifty_uses_of_one_mailed_code_open_one_session() {
    let post = Post::with(&[]).await;
    let app = &post.app;
    post.enrol_email("anna").await;
    let before = opened(app).await;
    let token = pending(app, "anna").await;
    let ask = json!({"mfa_token": token, "factor": "email"});
    assert_eq!(app.anonymous().post(CHALLENGE, ask).await.status, 200);
    let code = post.code("anna", 2).await;
    let uses = (0..MANY).map(|_| verify(app, &token, "email", &code));
    assert_eq!(sessions(&join_all(uses).await), 1);
    assert_eq!(opened(app).await, before + 1);
}

#[actix_web::test]
async fn parallel_guesses_get_five_tries_of_one_login() {
    let app = TestApp::spawn().await;
    let anna = Person::enrolled(&app, "anna").await;
    let token = anna.pending(&app).await;
    let wrong = super::wrong_code(&app, &anna.secret);
    let uses = (0..MANY).map(|_| verify(&app, &token, "totp", &wrong));
    let answers = join_all(uses).await;
    let compared = answers
        .iter()
        .filter(|answer| answer.problem() == "invalid_code")
        .count();
    assert_eq!(compared, 5);
}

#[actix_web::test]
async fn two_confirmations_at_once_enrol_one_factor_and_one_set_of_codes() {
    let app = TestApp::spawn().await;
    let client = app.user("anna").await;
    let begun = client.post("/api/users/me/mfa/totp", json!({})).await;
    let secret = begun.body["secret"].as_str().unwrap();
    let code = json!({"code": super::oathtool(&app, secret)});
    let path = "/api/users/me/mfa/totp/confirm";
    let uses = (0..10).map(|_| client.post(path, code.clone()));
    let answers = join_all(uses).await;
    let confirmed: Vec<_> = answers.iter().filter(|a| a.status == 200).collect();
    assert_eq!(confirmed.len(), 1, "{answers:?}");
    assert_eq!(
        confirmed[0].body["recovery_codes"]
            .as_array()
            .unwrap()
            .len(),
        10
    );
}
