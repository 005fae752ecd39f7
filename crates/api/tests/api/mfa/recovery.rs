//! Codes on paper.

use serde_json::json;

use super::{OWN, Person, Post, texts, verify};
use crate::harness::TestApp;

#[actix_web::test]
async fn a_recovery_code_stands_in_for_the_factor_once_and_is_told() {
    let post = Post::with(&[]).await;
    let app = &post.app;
    let anna = Person::enrolled(app, "anna").await;
    let code = &anna.recovery_codes[4];
    let groups: Vec<_> = code.split('-').map(str::len).collect();
    assert_eq!(groups, [1, 4, 4, 4, 4], "{code}");
    let typed = code.to_lowercase().replace('-', " ");
    let answer = verify(app, &anna.pending(app).await, "recovery_code", &typed).await;
    let client = app.anonymous().with_tokens(&answer);
    assert_eq!(client.get(OWN).await.body["recovery_codes_left"], 9);
    post.mail("anna@example.com", "token=gpl_", 2).await;
    let again = verify(app, &anna.pending(app).await, "recovery_code", code).await;
    assert_eq!(again.problem(), "invalid_code");
    let token = anna.pending(app).await;
    for wrong in ["4-0000-0000-0000-0000", "nonsense", "", "x"] {
        let answer = verify(app, &token, "recovery_code", wrong).await;
        assert_eq!(answer.problem(), "invalid_code", "{wrong}");
    }
    let activity = client.get("/api/users/me/activity").await;
    assert!(activity.body.to_string().contains("recovery_code_used"));
}

#[actix_web::test]
async fn fresh_codes_take_the_place_of_those_before() {
    let app = TestApp::spawn().await;
    let nobody = app.user("bert").await;
    let path = format!("{OWN}/recovery-codes");
    let none = nobody.post(&path, json!({})).await;
    assert_eq!((none.status, none.problem()), (409, "conflict"));

    let anna = Person::enrolled(&app, "anna").await;
    let renewed = anna.client.post(&path, json!({})).await;
    assert_eq!(renewed.status, 200, "{}", renewed.body);
    let fresh = texts(&renewed.body["recovery_codes"]);
    assert_eq!(fresh.len(), 10);
    let token = anna.pending(&app).await;
    let old = verify(&app, &token, "recovery_code", &anna.recovery_codes[0]).await;
    assert_eq!(old.problem(), "invalid_code");
    let new = verify(&app, &token, "recovery_code", &fresh[0]).await;
    assert_eq!(new.status, 200, "{}", new.body);
}

#[actix_web::test]
async fn who_has_only_a_recovery_code_left_can_replace_the_lost_factor() {
    let app = TestApp::spawn().await;
    let anna = Person::enrolled(&app, "anna").await;
    let token = anna.pending(&app).await;
    let answer = verify(&app, &token, "recovery_code", &anna.recovery_codes[9]).await;
    let client = app.anonymous().with_tokens(&answer);
    let own = client.get(OWN).await;
    let id = own.body["factors"][0]["id"].as_str().unwrap();
    let removed = client.delete(&format!("{OWN}/factors/{id}")).await;
    assert_eq!(removed.status, 204, "{}", removed.body);
    super::enrol_totp(&app, &client).await;
}
