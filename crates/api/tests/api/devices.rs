//! Devices: which are new, and which are trusted.

use actix_web::http::StatusCode;
use chrono::TimeDelta;
use futures_util::future::join_all;
use gatepost::{
    database::tx::{Scope, Tx},
    devices,
    http::{origin::Origin, text::Name},
};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    harness::{Answer, Client, PASSWORD, TestApp},
    post::Post,
};

const FIREFOX: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0";
const FIREFOX_NEXT: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:146.0) Gecko/20100101 Firefox/146.0";
const SAFARI: &str = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 \
                      (KHTML, like Gecko) Version/26.1 Safari/605.1.15";

async fn login_with(app: &TestApp, name: &str, user_agent: &str) -> Answer {
    let login = json!({"login": name, "password": PASSWORD});
    app.anonymous()
        .post_with("/api/auth/login", login, &[("user-agent", user_agent)])
        .await
}

/// What the activity says of devices, newest first.
async fn told(user: &Client) -> Vec<Value> {
    let activity = user.get("/api/users/me/activity?limit=200").await;
    let entries = activity.body["items"].as_array().unwrap();
    entries
        .iter()
        .filter(|entry| entry["kind"] == "new_device")
        .map(|entry| entry["details"]["device"].clone())
        .collect()
}

/// Mails so far, sent or not.
async fn mails(app: &TestApp) -> i64 {
    let sql = "SELECT count(*) FROM outbox";
    sqlx::query_scalar(sql)
        .fetch_one(&mut app.sql().await)
        .await
        .unwrap()
}

async fn trust(app: &TestApp, user: &Client, name: &str) -> String {
    let id = user.user_id.parse().unwrap();
    let tx = Tx::begin(&app.state, &Scope::None).await.unwrap();
    let (origin, name) = (
        Origin::program("test"),
        Name::try_from(name.to_owned()).unwrap(),
    );
    let token = devices::trust(&tx, &app.state, &origin, id, Some(&name))
        .await
        .unwrap();
    tx.commit().await.unwrap();
    token.expose().to_owned()
}

async fn is_trusted(app: &TestApp, user: &Client, token: &str) -> bool {
    let id = user.user_id.parse().unwrap();
    devices::trusted(&app.state, id, token).await.unwrap()
}

#[actix_web::test]
async fn a_user_is_told_of_a_new_device_but_not_of_the_first_nor_of_an_update() {
    let app = TestApp::spawn().await;
    let user = app.user("anna").await;
    assert_eq!(told(&user).await, Vec::<Value>::new(), "the first");
    for (user_agent, count) in [(FIREFOX, 1), (FIREFOX, 1), (FIREFOX_NEXT, 1), (SAFARI, 2)] {
        assert_eq!(login_with(&app, "anna", user_agent).await.status, 200);
        assert_eq!(told(&user).await.len(), count, "{user_agent}");
    }
    assert_eq!(told(&user).await, ["Safari on macOS", "Firefox on Linux"]);
}

#[actix_web::test]
async fn the_mail_about_a_new_device_can_close_everything() {
    let post = Post::open().await;
    let app = &post.app;
    let user = app.user("anna").await;
    let intruder = login_with(app, "anna", FIREFOX).await;
    let intruder = app.anonymous().with_tokens(&intruder);
    let mail = post.mail("anna@example.com", "gpl_", 1).await;
    for part in ["new device", "Firefox on Linux", "127.0.0.1", " UTC"] {
        assert!(mail.contains(part), "{part} in {mail}");
    }
    let token = post.token("anna@example.com", "gpl_", 1).await;
    let answer = app
        .anonymous()
        .post("/api/auth/lockdown", json!({"token": token}))
        .await;
    assert_eq!(answer.status, 204, "{answer:?}");
    for session in [user, intruder] {
        assert_eq!(session.get("/api/users/me").await.status, 401);
    }
}

#[actix_web::test]
async fn fifty_parallel_logins_from_a_new_device_are_told_once() {
    let app = TestApp::spawn().await;
    let user = app.user("anna").await;
    let before = mails(&app).await;
    let logins = join_all((0..50).map(|_| login_with(&app, "anna", FIREFOX))).await;
    assert!(logins.iter().any(|answer| answer.status == 200));
    assert_eq!(told(&user).await, ["Firefox on Linux"]);
    assert_eq!(mails(&app).await, before + 1);
    let sql = "SELECT count(*) FROM device_fingerprints d JOIN users u ON u.id = d.user_id \
               WHERE u.username = 'anna'";
    let seen: i64 = sqlx::query_scalar(sql)
        .fetch_one(&mut app.sql().await)
        .await
        .unwrap();
    assert_eq!(seen, 2, "the first and this one");
}

#[actix_web::test]
async fn a_session_says_in_words_what_it_is_on() {
    let app = TestApp::spawn().await;
    app.user("anna").await;
    let answer = login_with(&app, "anna", FIREFOX).await;
    let user = app.anonymous().with_tokens(&answer);
    let sessions = user.get("/api/users/me/sessions").await;
    let newest = &sessions.body["items"][0];
    assert_eq!(newest["device"], "Firefox on Linux");
    assert_eq!(newest["current"], true);
    assert_eq!(sessions.body["items"][1]["device"], "Unknown device");
    let sql = "SELECT count(DISTINCT device_id) FROM sessions s JOIN users u ON u.id = s.user_id \
               WHERE u.username = 'anna'";
    let devices: i64 = sqlx::query_scalar(sql)
        .fetch_one(&mut app.sql().await)
        .await
        .unwrap();
    assert_eq!(devices, 2);
}

#[actix_web::test]
async fn trusted_devices_are_listed_and_the_trust_can_be_taken_back() {
    let app = TestApp::spawn().await;
    let (user, other) = (app.user("anna").await, app.user("ben").await);
    let token = trust(&app, &user, "The laptop").await;
    let list = user.get("/api/users/me/devices").await;
    let devices = list.body["items"].as_array().unwrap();
    assert_eq!(devices.len(), 1, "{list:?}");
    assert_eq!(devices[0]["name"], "The laptop");
    assert!(!list.body.to_string().contains(&token[4..]));
    assert_eq!(
        other.get("/api/users/me/devices").await.body["items"],
        json!([])
    );

    let path = format!(
        "/api/users/me/devices/{}",
        devices[0]["id"].as_str().unwrap()
    );
    assert_eq!(other.delete(&path).await.problem(), "not_found");
    assert!(is_trusted(&app, &user, &token).await);
    assert_eq!(user.delete(&path).await.status, StatusCode::NO_CONTENT);
    assert!(!is_trusted(&app, &user, &token).await);
    assert_eq!(
        user.delete(&path).await.problem(),
        "not_found",
        "the second time"
    );
    assert_eq!(
        user.get("/api/users/me/devices").await.body["items"],
        json!([])
    );
    // A device that was only seen is none of these.
    let sql = "SELECT id::text FROM device_fingerprints WHERE token_hash IS NULL LIMIT 1";
    let seen: String = sqlx::query_scalar(sql)
        .fetch_one(&mut app.sql().await)
        .await
        .unwrap();
    let path = format!("/api/users/me/devices/{seen}");
    assert_eq!(user.delete(&path).await.problem(), "not_found");
}

#[actix_web::test]
async fn a_device_is_trusted_for_its_user_alone_and_for_thirty_days() {
    let app = TestApp::spawn().await;
    let (user, other) = (app.user("anna").await, app.user("ben").await);
    let token = trust(&app, &user, "The laptop").await;
    assert!(is_trusted(&app, &user, &token).await);
    assert!(!is_trusted(&app, &other, &token).await);
    for wrong in ["", "gpd_", &token[..token.len() - 1], &user.refresh_token] {
        assert!(!is_trusted(&app, &user, wrong).await, "{wrong}");
    }
    app.clock
        .advance(TimeDelta::days(30) - TimeDelta::seconds(1));
    assert!(is_trusted(&app, &user, &token).await);
    app.clock.advance(TimeDelta::seconds(1));
    assert!(!is_trusted(&app, &user, &token).await);
}

#[actix_web::test]
async fn a_changed_password_and_a_closed_account_end_the_trust() {
    let app = TestApp::spawn().await;
    let user = app.user("anna").await;
    let token = trust(&app, &user, "The laptop").await;
    let change =
        json!({"current_password": PASSWORD, "new_password": "other ferry 88 cobalt moss"});
    assert_eq!(user.put("/api/users/me", change).await.status, 200);
    assert!(!is_trusted(&app, &user, &token).await);

    let token = trust(&app, &user, "The laptop").await;
    let admin = app.admin().await;
    for step in ["disable", "enable"] {
        let path = format!("/api/admin/users/{}/{step}", user.user_id);
        assert_eq!(admin.put(&path, json!({})).await.status, 200);
    }
    assert!(
        !is_trusted(&app, &user, &token).await,
        "also after it was opened again"
    );
}

#[actix_web::test]
async fn devices_that_are_long_gone_are_forgotten() {
    let app = TestApp::spawn().await;
    let user = app.user("anna").await;
    trust(&app, &user, "The laptop").await;
    let rows = async || {
        let sql = "SELECT count(*) FROM device_fingerprints WHERE user_id = $1";
        let id: Uuid = user.user_id.parse().unwrap();
        let count: i64 = sqlx::query_scalar(sql)
            .bind(id)
            .fetch_one(&mut app.sql().await)
            .await
            .unwrap();
        count
    };
    assert_eq!(rows().await, 2);
    for (days, left) in [(31, 2), (8, 1), (400, 0)] {
        app.clock.advance(TimeDelta::days(days));
        gatepost::server::background::tidy_once(&app.state)
            .await
            .unwrap();
        assert_eq!(rows().await, left, "after {days} days more");
    }
}

#[actix_web::test]
async fn nobody_locks_a_user_out_of_a_device_that_they_trust() {
    let app = TestApp::spawn().await;
    let user = app.user("anna").await;
    let token = trust(&app, &user, "The laptop").await;
    let login = async |password: &str, device_token: Option<&str>| {
        let login = json!({"login": "anna", "password": password, "device_token": device_token});
        let answer = app.anonymous().post("/api/auth/login", login).await;
        answer.status
    };
    for _ in 0..6 {
        assert_eq!(login("wrong", None).await, 401);
    }
    assert_eq!(login(PASSWORD, None).await, 429, "who guesses waits");
    assert_eq!(login(PASSWORD, Some("gpd_nonsense")).await, 429);
    assert_eq!(login(PASSWORD, Some(&token)).await, 200);
    assert_eq!(login(PASSWORD, None).await, 429, "still");
    // Nor does a stolen device guess on for ever.
    for _ in 0..6 {
        assert_eq!(login("wrong", Some(&token)).await, 401);
    }
    assert_eq!(login(PASSWORD, Some(&token)).await, 429);
}
