//! Sessions: refreshing, ending, and what a stolen token brings.

use actix_web::http::StatusCode;
use chrono::TimeDelta;
use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::harness::{Answer, Client, PASSWORD, TestApp};

async fn refresh(client: &Client, token: &str) -> Answer {
    let mut client = client.clone();
    client.token = None;
    client
        .post("/api/auth/refresh", json!({"refresh_token": token}))
        .await
}

fn refresh_token(answer: &Answer) -> &str {
    answer.body["refresh_token"].as_str().unwrap()
}

#[actix_web::test]
async fn a_refresh_token_brings_the_next_pair() {
    let app = TestApp::spawn().await;
    let user = app.user("anna").await;
    app.clock.advance(TimeDelta::minutes(6));
    assert_eq!(user.get("/api/users/me").await.status, 401, "expired");
    let answer = refresh(&user, &user.refresh_token).await;
    assert_eq!(answer.status, 200);
    assert_ne!(refresh_token(&answer), user.refresh_token);
    let renewed = user.with_tokens(&answer);
    assert_eq!(renewed.get("/api/users/me").await.status, 200);
}

#[actix_web::test]
async fn a_lost_answer_can_be_asked_for_again_for_ten_seconds() {
    let app = TestApp::spawn().await;
    let user = app.user("anna").await;
    let first = refresh(&user, &user.refresh_token).await;
    app.clock.advance(TimeDelta::seconds(10));
    let again = refresh(&user, &user.refresh_token).await;
    assert_eq!(again.status, 200);
    assert_eq!(refresh_token(&first), refresh_token(&again));
    app.clock.advance(TimeDelta::seconds(1));
    let late = refresh(&user, &user.refresh_token).await;
    assert_eq!((late.status, late.problem()), (401, "refresh_token_reused"));
}

#[actix_web::test]
async fn a_used_refresh_token_ends_the_session() {
    let app = TestApp::spawn().await;
    let user = app.user("anna").await;
    let first = refresh(&user, &user.refresh_token).await;
    let second = refresh(&user, refresh_token(&first)).await;
    assert_eq!(second.status, 200);
    // Its successor was used, so even within ten seconds this is someone else.
    let stolen = refresh(&user, &user.refresh_token).await;
    assert_eq!(
        (stolen.status, stolen.problem()),
        (401, "refresh_token_reused")
    );
    let newest = refresh(&user, refresh_token(&second)).await;
    assert_eq!((newest.status, newest.problem()), (401, "invalid_token"));
    let bearer = user.clone().with_tokens(&second);
    assert_eq!(
        bearer.get("/api/users/me").await.status,
        401,
        "at the very next request"
    );
    let again = app.log_in("anna").await;
    let activity = again.get("/api/users/me/activity").await;
    assert_eq!(activity.body["items"][1]["kind"], "refresh_token_reused");
}

#[actix_web::test]
async fn fifty_uses_of_one_refresh_token_leave_one_successor() {
    let app = TestApp::spawn().await;
    let user = app.user("anna").await;
    let answers = join_all((0..50).map(|_| refresh(&user, &user.refresh_token))).await;
    assert!(answers.iter().all(|answer| answer.status == 200));
    let mut tokens: Vec<_> = answers.iter().map(refresh_token).collect();
    tokens.dedup();
    assert_eq!(tokens.len(), 1);
    let sql = "SELECT count(*) FROM refresh_tokens";
    let rows: i64 = sqlx::query_scalar(sql)
        .fetch_one(&mut app.sql().await)
        .await
        .unwrap();
    // Two for the administrator's two logins' worth, and two here.
    let mine = "SELECT count(*) FROM refresh_tokens t JOIN users u ON u.id = t.user_id WHERE u.username = 'anna'";
    let mine: i64 = sqlx::query_scalar(mine)
        .fetch_one(&mut app.sql().await)
        .await
        .unwrap();
    assert_eq!(mine, 2, "of {rows}");
}

#[actix_web::test]
async fn a_session_ends_when_it_is_not_used_and_in_any_case_after_a_day() {
    let app = TestApp::spawn().await;
    let user = app.user("anna").await;
    app.clock.advance(TimeDelta::minutes(60));
    assert_eq!(
        refresh(&user, &user.refresh_token).await.problem(),
        "invalid_token"
    );

    let mut token = app.log_in("anna").await.refresh_token;
    for _ in 0..24 {
        app.clock.advance(TimeDelta::minutes(59));
        let answer = refresh(&user, &token).await;
        assert_eq!(answer.status, 200);
        token = refresh_token(&answer).to_owned();
    }
    app.clock.advance(TimeDelta::minutes(24));
    assert_eq!(refresh(&user, &token).await.problem(), "invalid_token");
}

#[actix_web::test]
async fn a_remembered_session_lives_for_thirty_days() {
    let app = TestApp::spawn().await;
    let user = app.user("anna").await;
    let login = json!({"login": "anna", "password": PASSWORD, "remember": true});
    let answer = app.anonymous().post("/api/auth/login", login).await;
    assert_eq!(answer.body["refresh_expires_in"], 30 * 24 * 3600);
    app.clock.advance(TimeDelta::days(29));
    assert_eq!(refresh(&user, refresh_token(&answer)).await.status, 200);
}

#[actix_web::test]
async fn people_see_their_sessions_and_end_them() {
    let app = TestApp::spawn().await;
    let user = app.user("anna").await;
    let other = app.log_in("anna").await;
    let stranger = app.user("ben").await;
    let list = user.get("/api/users/me/sessions").await;
    let sessions = list.body["items"].as_array().unwrap();
    assert_eq!(sessions.len(), 2);
    let current: Vec<_> = sessions
        .iter()
        .map(|session| session["current"].clone())
        .collect();
    assert_eq!(current, [false, true], "newest first");
    assert_eq!(sessions[0]["ip"], "127.0.0.1");
    let path = format!(
        "/api/users/me/sessions/{}",
        sessions[0]["id"].as_str().unwrap()
    );
    assert_eq!(stranger.delete(&path).await.problem(), "not_found");
    assert_eq!(other.get("/api/users/me").await.status, 200);
    assert_eq!(user.delete(&path).await.status, 204);
    assert_eq!(other.get("/api/users/me").await.status, 401);
    assert_eq!(
        refresh(&other, &other.refresh_token).await.problem(),
        "invalid_token"
    );
    assert_eq!(user.delete(&path).await.problem(), "not_found");
    assert_eq!(
        user.delete("/api/users/me/sessions/x").await.problem(),
        "not_found"
    );
}

#[actix_web::test]
async fn logging_out_works_at_once_on_every_instance() {
    let app = TestApp::spawn().await;
    let second = app.second().await;
    let (one, two) = (app.user("anna").await, app.log_in("anna").await);
    assert_eq!(one.at(&second).get("/api/users/me").await.status, 200);
    assert_eq!(one.post("/api/auth/logout", Value::Null).await.status, 204);
    assert_eq!(one.get("/api/users/me").await.status, 401);
    wait_for(StatusCode::UNAUTHORIZED, &one.at(&second)).await;
    assert_eq!(
        two.post("/api/auth/logout-all", Value::Null).await.body["ended"],
        1
    );
    assert_eq!(two.get("/api/users/me").await.status, 401);
    second.stop().await;
}

/// Another instance hears of a change within a moment; this waits for it, a second at most.
async fn wait_for(status: StatusCode, client: &Client) {
    let seen = async {
        while client.get("/api/users/me").await.status != status.as_u16() {
            tokio::task::yield_now().await;
        }
    };
    let bound = std::time::Duration::from_secs(1);
    tokio::time::timeout(bound, seen)
        .await
        .expect("within a second");
}

#[actix_web::test]
async fn a_disabled_user_is_out_at_the_next_request_everywhere() {
    let app = TestApp::spawn().await;
    let second = app.second().await;
    let user = app.user("anna").await;
    assert_eq!(user.at(&second).get("/api/users/me").await.status, 200);
    let admin = app.admin().await;
    let path = format!("/api/admin/users/{}", user.user_id);
    assert_eq!(
        admin
            .put(&format!("{path}/disable"), json!({}))
            .await
            .status,
        200
    );
    assert_eq!(user.get("/api/users/me").await.status, 401);
    wait_for(StatusCode::UNAUTHORIZED, &user.at(&second)).await;
    assert_eq!(
        refresh(&user, &user.refresh_token).await.problem(),
        "invalid_token"
    );
    assert_eq!(
        admin.put(&format!("{path}/enable"), json!({})).await.status,
        200
    );
    assert_eq!(app.login("anna").await.status, 200);
    assert_eq!(
        user.get("/api/users/me").await.status,
        401,
        "old sessions stay ended"
    );
    second.stop().await;
}

#[actix_web::test]
async fn a_session_in_a_cookie_needs_the_csrf_token_to_change_anything() {
    let app = TestApp::spawn().await;
    app.user("anna").await;
    let login = json!({"login": "anna", "password": PASSWORD, "cookie": true});
    let answer = app.anonymous().post("/api/auth/login", login).await;
    assert_eq!(answer.status, 200);
    assert!(
        answer.body.get("access_token").is_none() && answer.body.get("refresh_token").is_none()
    );
    let cookie = answer.header("set-cookie").to_owned();
    for part in [
        "__Host-gatepost_session=gps_",
        "HttpOnly",
        "Secure",
        "SameSite=Lax",
        "Path=/",
    ] {
        assert!(cookie.contains(part), "{cookie}");
    }
    let value = cookie.split(';').next().unwrap();
    let browser = app.anonymous();
    let with = [("cookie", value)];
    assert_eq!(browser.get_with("/api/users/me", &with).await.status, 200);
    let change = json!({"display_name": "Anna"});
    let refused = browser
        .put_with("/api/users/me", change.clone(), &with)
        .await;
    assert_eq!((refused.status, refused.problem()), (403, "csrf_required"));
    let csrf = browser.get_with("/api/auth/csrf", &with).await;
    let token = csrf.body["csrf_token"].as_str().unwrap();
    for wrong in ["", "x", &token[1..]] {
        let with = [("cookie", value), ("x-csrf-token", wrong)];
        assert_eq!(
            browser
                .put_with("/api/users/me", change.clone(), &with)
                .await
                .status,
            403
        );
    }
    let with = [("cookie", value), ("x-csrf-token", token)];
    assert_eq!(
        browser
            .put_with("/api/users/me", change, &with)
            .await
            .status,
        200
    );
    let out = browser
        .post_with("/api/auth/logout", Value::Null, &with)
        .await;
    assert_eq!(out.status, 204);
    assert!(out.header("set-cookie").contains("Max-Age=0"));
    assert_eq!(browser.get_with("/api/users/me", &with).await.status, 401);
}

/// Logs in with a cookie; returns it as browsers send it, and as it was set.
async fn cookie_of(app: &TestApp, login: &str) -> (String, String) {
    let body = json!({"login": login, "password": PASSWORD, "cookie": true, "remember": true});
    let answer = app.anonymous().post("/api/auth/login", body).await;
    assert_eq!(answer.status, 200);
    let set = answer.header("set-cookie").to_owned();
    (set.split(';').next().unwrap().to_owned(), set)
}

async fn status_after(app: &TestApp, cookie: &str, minutes: i64) -> u16 {
    app.clock.advance(TimeDelta::minutes(minutes));
    let with = [("cookie", cookie)];
    app.anonymous()
        .get_with("/api/users/me", &with)
        .await
        .status
}

#[actix_web::test]
async fn using_the_cookie_keeps_its_session_alive_up_to_its_end() {
    let app = TestApp::spawn().await;
    app.user("anna").await;
    let (cookie, set) = cookie_of(&app, "anna").await;
    assert!(set.contains("Max-Age=2592000"), "{set}");
    assert_eq!(status_after(&app, &cookie, 29 * 24 * 60).await, 200);
    assert_eq!(status_after(&app, &cookie, 24 * 60).await, 401);
}

#[actix_web::test]
async fn an_administrators_console_ends_after_a_quarter_of_an_hour_or_half_a_day() {
    let app = TestApp::spawn().await;
    app.admin().await;
    let (cookie, set) = cookie_of(&app, "admin@example.com").await;
    assert!(!set.contains("Max-Age"), "{set}");
    for _ in 0..51 {
        assert_eq!(status_after(&app, &cookie, 14).await, 200);
    }
    assert_eq!(status_after(&app, &cookie, 14).await, 401, "after 12 hours");
    let (cookie, _) = cookie_of(&app, "admin@example.com").await;
    assert_eq!(status_after(&app, &cookie, 15).await, 401, "unused");
}
