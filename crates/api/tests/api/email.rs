//! Proving and changing addresses.

use chrono::TimeDelta;
use futures_util::future::join_all;
use gatepost::server::background;
use serde_json::json;

use crate::{
    harness::{Answer, Client, PASSWORD, TestApp},
    post::Post,
};

const REGISTER: &str = "/api/register";
const VERIFY: &str = "/api/auth/email/verify";
const RESEND: &str = "/api/auth/email/resend";
const CANCEL: &str = "/api/auth/email/cancel";
const ME: &str = "/api/users/me";
const ANNA: &str = "anna@example.com";
const NEW: &str = "anna@example.org";
const OTHER_PASSWORD: &str = "sparrow lantern 52 oak ridge";

async fn send(app: &TestApp, path: &str, token: &str) -> Answer {
    app.anonymous().post(path, json!({"token": token})).await
}

fn assert_invalid(answer: &Answer) {
    assert_eq!((answer.status, answer.problem()), (401, "invalid_token"));
}

#[actix_web::test]
async fn nobody_comes_in_before_the_address_is_proven() {
    let post = Post::verifying("open").await;
    let app = &post.app;
    let new = json!({"email": ANNA, "password": PASSWORD});
    let answer = app.anonymous().post(REGISTER, new).await;
    let expected = json!({"status": "pending_verification"});
    assert_eq!((answer.status, &answer.body), (202, &expected));
    assert_eq!(app.login(ANNA).await.problem(), "account_pending");
    let token = post.token(ANNA, "gpv_", 1).await;
    let answer = send(app, VERIFY, &token).await;
    assert_eq!(
        (answer.status, &answer.body),
        (200, &json!({"status": "active"}))
    );
    let answer = app.login(ANNA).await;
    assert_eq!(
        answer.body["user"]["email_verified"], true,
        "{}",
        answer.body
    );
    assert_invalid(&send(app, VERIFY, &token).await);
}

#[actix_web::test]
async fn who_registers_is_written_to_in_the_language_of_the_browser() {
    let post = Post::verifying("open").await;
    let app = &post.app;
    for (name, header, greeting, locale) in [
        ("anna", "de-AT,de;q=0.9", "Guten Tag", json!("de")),
        ("bert", "nl, fr;q=0.4", "Bonjour", json!("fr")),
        ("carl", "nl", "Hello", json!(null)),
    ] {
        let email = format!("{name}@example.com");
        let new = json!({"email": email, "username": name, "password": PASSWORD});
        let with = [("accept-language", header)];
        let answer = app.anonymous().post_with(REGISTER, new, &with).await;
        assert_eq!(answer.status, 202, "{}", answer.body);
        assert!(post.mail(&email, "gpv_", 1).await.contains(greeting));
        let token = post.token(&email, "gpv_", 1).await;
        send(app, VERIFY, &token).await;
        assert_eq!(app.login(name).await.body["user"]["locale"], locale);
    }
}

#[actix_web::test]
async fn after_the_proof_comes_the_approval() {
    let post = Post::verifying("approval").await;
    let app = &post.app;
    post.register("anna").await;
    let token = post.token(ANNA, "gpv_", 1).await;
    app.clock.advance(TimeDelta::hours(24));
    assert_invalid(&send(app, VERIFY, &token).await);
    app.anonymous().post(RESEND, json!({"email": ANNA})).await;
    let token = post.token(ANNA, "gpv_", 2).await;
    let answer = send(app, VERIFY, &token).await;
    assert_eq!(answer.body, json!({"status": "pending_approval"}));
    assert_eq!(app.login(ANNA).await.problem(), "account_pending");
    let admin = app.admin().await;
    let found = admin.get("/api/admin/users?status=pending_approval").await;
    let id = found.body["items"][0]["id"].as_str().unwrap();
    let approve = format!("/api/admin/users/{id}/approve");
    assert_eq!(admin.put(&approve, json!({})).await.status, 200);
    assert_eq!(app.login(ANNA).await.status, 200);
}

#[actix_web::test]
async fn whoever_registers_last_with_an_unproven_address_has_it() {
    let post = Post::verifying("open").await;
    let app = &post.app;
    let strangers = json!({
        "email": ANNA, "username": "anna", "password": OTHER_PASSWORD, "display_name": "Mallory",
    });
    let first = app.anonymous().post(REGISTER, strangers).await;
    let stranger = post.token(ANNA, "gpv_", 1).await;
    let own = json!({"email": "Anna@Example.com", "username": "anna", "password": PASSWORD});
    let second = app.anonymous().post(REGISTER, own).await;
    assert_eq!((first.status, &first.body), (second.status, &second.body));
    let own = post.token("Anna@Example.com", "gpv_", 1).await;
    assert_invalid(&send(app, VERIFY, &stranger).await);
    assert_eq!(send(app, VERIFY, &own).await.status, 200);
    let answer = app.login("anna").await;
    assert_eq!(
        answer.body["user"]["display_name"],
        json!(null),
        "{}",
        answer.body
    );
    let login = json!({"login": ANNA, "password": OTHER_PASSWORD});
    let answer = app.anonymous().post("/api/auth/login", login).await;
    assert_eq!(answer.problem(), "invalid_credentials");
    // From now on the address has an owner, who is told.
    let again = json!({"email": ANNA, "password": OTHER_PASSWORD});
    let third = app.anonymous().post(REGISTER, again).await;
    assert_eq!((first.status, &first.body), (third.status, &third.body));
    post.mail("Anna@Example.com", "Someone tried to register", 1)
        .await;
    assert_eq!(app.login(ANNA).await.status, 200);
}

#[actix_web::test]
async fn an_unproven_address_gets_five_mails_an_hour() {
    let post = Post::verifying("open").await;
    let app = &post.app;
    let client = app.anonymous();
    post.register("anna").await;
    for _ in 0..6 {
        let answer = client.post(RESEND, json!({"email": ANNA})).await;
        assert_eq!((answer.status, &answer.body), (202, &json!(null)));
    }
    let mails = "SELECT count(*) FROM outbox";
    assert_eq!(post.count(mails).await, 5);
    // Registering once more is answered as ever, and leaves the newest link good.
    post.register("anna").await;
    assert_eq!(post.count(mails).await, 5);
    let newest = post.token(ANNA, "gpv_", 5).await;
    assert_invalid(&send(app, VERIFY, &post.token(ANNA, "gpv_", 1).await).await);
    assert_eq!(send(app, VERIFY, &newest).await.status, 200);
    // Nothing to prove, or nobody there: the same answer, and no mail.
    app.clock.advance(TimeDelta::hours(1));
    for email in [ANNA, "nobody@example.com"] {
        let answer = client.post(RESEND, json!({"email": email})).await;
        assert_eq!((answer.status, &answer.body), (202, &json!(null)));
    }
    assert_eq!(post.count(mails).await, 5);
}

#[actix_web::test]
async fn fifty_proofs_with_one_link_are_one() {
    let post = Post::verifying("open").await;
    let app = &post.app;
    post.register("anna").await;
    let token = post.token(ANNA, "gpv_", 1).await;
    let answers = join_all((0..50).map(|_| send(app, VERIFY, &token))).await;
    let done = answers.iter().filter(|answer| answer.status == 200).count();
    let refused = answers.iter().filter(|answer| answer.status == 401).count();
    assert_eq!((done, refused), (1, 49));
    let entries = "SELECT count(*) FROM audit_log WHERE action = 'user.email_verified'";
    assert_eq!(post.count(entries).await, 1);
}

#[actix_web::test]
async fn registrations_that_lead_nowhere_are_forgotten() {
    let post = Post::verifying("approval").await;
    let app = &post.app;
    post.register("anna").await;
    post.register("ben").await;
    let token = post.token("ben@example.com", "gpv_", 1).await;
    assert_eq!(send(app, VERIFY, &token).await.status, 200);
    let left = "SELECT count(*) FROM users WHERE NOT break_glass";
    for (days, expected) in [(7, 2), (1, 1), (21, 1), (2, 0)] {
        app.clock.advance(TimeDelta::days(days));
        background::tidy_once(&app.state).await.unwrap();
        assert_eq!(post.count(left).await, expected, "{days} more days");
    }
    let entries = "SELECT count(*) FROM audit_log WHERE action = 'user.registration_expired'";
    assert_eq!(post.count(entries).await, 2);
    post.register("ben").await;
    post.token("ben@example.com", "gpv_", 2).await;
}

async fn ask(anna: &Client, email: &str) {
    let answer = anna.put(ME, json!({"email": email})).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(answer.body["email"], ANNA, "not before the proof");
}

#[actix_web::test]
async fn an_address_changes_when_the_new_one_is_proven() {
    let post = Post::open().await;
    let app = &post.app;
    app.user("anna").await;
    let (anna, elsewhere) = (app.log_in(ANNA).await, app.log_in(ANNA).await);
    ask(&anna, NEW).await;
    let notice = post.mail(ANNA, "gpx_", 1).await;
    assert!(notice.contains(NEW), "{notice}");
    let token = post.token(NEW, "gpe_", 1).await;
    let reset = post.reset_token(ANNA, 1).await;
    let answer = send(app, VERIFY, &token).await;
    assert_eq!(
        (answer.status, &answer.body),
        (200, &json!({"status": "active"}))
    );
    let me = anna.get(ME).await;
    assert_eq!(me.body["email"], NEW, "the session that asked lives on");
    assert_eq!(me.body["email_verified"], true);
    assert_eq!(elsewhere.get(ME).await.status, 401);
    assert_eq!(app.login(ANNA).await.problem(), "invalid_credentials");
    assert_eq!(app.login(NEW).await.status, 200);
    post.mail(ANNA, "Subject: Your e-mail address was changed", 1)
        .await;
    assert_invalid(&send(app, VERIFY, &token).await);
    let body = json!({"token": reset, "new_password": OTHER_PASSWORD});
    let answer = app.anonymous().post("/api/auth/password/reset", body).await;
    assert_invalid(&answer);
}

#[actix_web::test]
async fn a_change_of_address_takes_a_fresh_proof_and_an_allowed_domain() {
    let post = Post::with(&[
        ("REGISTRATION_MODE", "open"),
        ("REGISTRATION_ALLOWED_DOMAINS", "example.com,example.org"),
        ("ACCESS_TOKEN_TTL", "900"),
    ])
    .await;
    let app = &post.app;
    let anna = app.user("anna").await;
    let answer = anna.put(ME, json!({"email": "anna@example.net"})).await;
    assert_eq!(answer.problem(), "validation_failed");
    assert_eq!(answer.body["errors"][0]["code"], "domain_not_allowed");
    app.clock.advance(TimeDelta::seconds(301));
    let answer = anna.put(ME, json!({"email": NEW})).await;
    assert_eq!((answer.status, answer.problem()), (403, "step_up_required"));
    assert_eq!(post.count("SELECT count(*) FROM outbox").await, 0);
    let anna = app.log_in(ANNA).await;
    for _ in 0..5 {
        ask(&anna, NEW).await;
    }
    let answer = anna.put(ME, json!({"email": NEW})).await;
    assert_eq!(
        (answer.status, answer.problem()),
        (429, "too_many_attempts")
    );
}

#[actix_web::test]
async fn who_asks_for_a_taken_address_does_not_learn_that_it_is() {
    let post = Post::open().await;
    let app = &post.app;
    let (anna, _) = (app.user("anna").await, app.user("ben").await);
    let free = anna.put(ME, json!({"email": NEW})).await;
    let taken = anna.put(ME, json!({"email": "ben@example.com"})).await;
    assert_eq!((free.status, &free.body), (taken.status, &taken.body));
    post.mail("ben@example.com", "Your address already has an account", 1)
        .await;
    post.mail(ANNA, "ben@example.com", 1).await;
    assert!(post.mails("ben@example.com", "gpe_").is_empty());
    // The first request was replaced all the same.
    let token = post.token(NEW, "gpe_", 1).await;
    assert_invalid(&send(app, VERIFY, &token).await);
}

#[actix_web::test]
async fn an_unproven_registration_makes_way_for_the_owner_of_the_address() {
    let post = Post::verifying("open").await;
    let app = &post.app;
    post.register("anna").await;
    let token = post.token(ANNA, "gpv_", 1).await;
    assert_eq!(send(app, VERIFY, &token).await.status, 200);
    let squatter = json!({"email": NEW, "password": OTHER_PASSWORD});
    app.anonymous().post(REGISTER, squatter).await;
    let anna = app.log_in(ANNA).await;
    ask(&anna, NEW).await;
    let token = post.token(NEW, "gpe_", 1).await;
    assert_eq!(send(app, VERIFY, &token).await.status, 200);
    assert_eq!(app.login(NEW).await.status, 200);
    assert_eq!(
        post.count("SELECT count(*) FROM users WHERE NOT break_glass")
            .await,
        1
    );
}

#[actix_web::test]
async fn a_change_is_stopped_from_the_old_address() {
    let post = Post::open().await;
    let app = &post.app;
    let anna = app.user("anna").await;
    ask(&anna, NEW).await;
    let token = post.token(NEW, "gpe_", 1).await;
    let cancel = post.token(ANNA, "gpx_", 1).await;
    let answers = join_all((0..50).map(|_| send(app, CANCEL, &cancel))).await;
    let done: Vec<_> = answers
        .iter()
        .filter(|answer| answer.status == 200)
        .collect();
    assert_eq!(done.len(), 1);
    assert_eq!(done[0].body, json!({"status": "cancelled"}));
    assert_invalid(&send(app, VERIFY, &token).await);
    assert_eq!(anna.get(ME).await.body["email"], ANNA);
}

#[actix_web::test]
async fn a_change_is_undone_from_the_old_address_and_all_is_closed() {
    let post = Post::open().await;
    let app = &post.app;
    let thief = app.user("anna").await;
    ask(&thief, "thief@example.org").await;
    let token = post.token("thief@example.org", "gpe_", 1).await;
    assert_eq!(send(app, VERIFY, &token).await.status, 200);
    // The thief goes on: another address, another password.
    let next = json!({"email": "thief@example.net"});
    assert_eq!(thief.put(ME, next).await.status, 200);
    let token = post.token("thief@example.net", "gpe_", 1).await;
    assert_eq!(send(app, VERIFY, &token).await.status, 200);
    let change = json!({"current_password": PASSWORD, "new_password": OTHER_PASSWORD});
    assert_eq!(thief.put(ME, change).await.status, 200);
    let thiefs = post.token("thief@example.org", "gpx_", 1).await;

    app.clock.advance(TimeDelta::days(6));
    let cancel = post.token(ANNA, "gpx_", 1).await;
    let answer = send(app, CANCEL, &cancel).await;
    assert_eq!(
        (answer.status, &answer.body),
        (200, &json!({"status": "undone"}))
    );
    assert_eq!(thief.get(ME).await.status, 401);
    assert_invalid(&send(app, CANCEL, &thiefs).await);
    let mail = post
        .mail(ANNA, "Subject: Your account was secured", 1)
        .await;
    let at = mail.find("gpw_").unwrap();
    let body = json!({"token": &mail[at..at + 47], "new_password": PASSWORD});
    let answer = app.anonymous().post("/api/auth/password/reset", body).await;
    assert_eq!(answer.status, 204, "{}", answer.body);
    assert_eq!(app.login(ANNA).await.status, 200);
    for gone in ["thief@example.org", "thief@example.net"] {
        assert_eq!(app.login(gone).await.problem(), "invalid_credentials");
    }
}

#[actix_web::test]
async fn when_somebody_else_has_the_old_address_the_account_is_closed() {
    let post = Post::open().await;
    let app = &post.app;
    let thief = app.user("anna").await;
    ask(&thief, NEW).await;
    let token = post.token(NEW, "gpe_", 1).await;
    assert_eq!(send(app, VERIFY, &token).await.status, 200);
    let new = json!({"email": ANNA, "password": PASSWORD});
    assert_eq!(app.anonymous().post(REGISTER, new).await.status, 202);
    let cancel = post.token(ANNA, "gpx_", 1).await;
    assert_eq!(send(app, CANCEL, &cancel).await.body["status"], "undone");
    assert_eq!(thief.get(ME).await.status, 401);
    let asked = json!({"email": NEW});
    app.anonymous()
        .post("/api/auth/password/forgot", asked)
        .await;
    assert!(
        post.mails(NEW, "gpw_").is_empty(),
        "the new address gets nothing"
    );
    let closed = "SELECT count(*) FROM users WHERE username = 'anna' AND status = 'disabled'";
    assert_eq!(post.count(closed).await, 1);
}
