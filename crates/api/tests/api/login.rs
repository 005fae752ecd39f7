//! Logging in, and being kept from guessing.

use std::{process::Stdio, time::Duration};

use chrono::TimeDelta;
use futures_util::future::join_all;
use serde_json::json;

use crate::{
    harness::{PASSWORD, TestApp, secret_key},
    program,
};

#[actix_web::test]
async fn an_email_address_or_a_username_in_any_letter_case_logs_in() {
    let app = TestApp::spawn().await;
    app.user("Anna").await;
    for login in ["anna@example.com", "ANNA@example.com", "anna", "ANNA"] {
        let answer = app.login(login).await;
        assert_eq!(answer.status, 200, "{login}: {}", answer.body);
        let body = &answer.body;
        assert_eq!(body["status"], "authenticated");
        assert_eq!(body["token_type"], "Bearer");
        assert_eq!(body["expires_in"], 300);
        assert_eq!(body["refresh_expires_in"], 3600);
        assert_eq!(body["user"]["email"], "Anna@example.com");
        assert!(body["refresh_token"].as_str().unwrap().starts_with("gpr_"));
        assert_eq!(answer.header("cache-control"), "no-store");
    }
}

#[actix_web::test]
async fn unknown_logins_and_wrong_passwords_get_the_same_answer() {
    let app = TestApp::spawn().await;
    app.user("anna").await;
    let client = app.anonymous();
    let mut answers = Vec::new();
    for (login, password) in [
        ("anna", "wrong"),
        ("nobody", PASSWORD),
        ("nobody@example.com", PASSWORD),
        ("anna@example.com", ""),
        ("anna", &"x".repeat(300)),
        (&"x".repeat(300), PASSWORD),
    ] {
        let answer = client
            .post(
                "/api/auth/login",
                json!({"login": login, "password": password}),
            )
            .await;
        assert_eq!(
            (answer.status, answer.problem()),
            (401, "invalid_credentials"),
            "{login}"
        );
        let mut body = answer.body;
        body.as_object_mut().unwrap().remove("request_id");
        answers.push(body);
    }
    answers.dedup();
    assert_eq!(answers.len(), 1);
}

#[actix_web::test]
async fn only_the_right_password_tells_that_an_account_is_pending_or_closed() {
    let app = TestApp::spawn().await;
    let client = app.anonymous();
    let new = json!({"email": "p@example.com", "password": PASSWORD});
    assert_eq!(client.post("/api/register", new).await.status, 202);
    let wrong = json!({"login": "p@example.com", "password": "wrong"});
    assert_eq!(
        client.post("/api/auth/login", wrong).await.problem(),
        "invalid_credentials"
    );
    let answer = app.login("p@example.com").await;
    assert_eq!((answer.status, answer.problem()), (403, "account_pending"));

    let user = app.user("closed").await;
    let admin = app.admin().await;
    let path = format!("/api/admin/users/{}/disable", user.user_id);
    assert_eq!(
        admin.put(&path, json!({"reason": "left"})).await.status,
        200
    );
    let answer = app.login("closed").await;
    assert_eq!((answer.status, answer.problem()), (403, "account_disabled"));
}

#[actix_web::test]
async fn the_break_glass_administrator_has_to_change_the_password_once() {
    let app = TestApp::spawn().await;
    let admin = app.admin().await;
    assert_eq!(admin.get("/api/admin/users").await.status, 200);
    let answer = app.login("admin@example.com").await;
    assert_eq!(answer.body["status"], "authenticated");
}

#[actix_web::test]
async fn a_password_change_token_is_good_for_one_change_and_nothing_else() {
    let app = TestApp::spawn().await;
    let user = app.user("anna").await;
    let sql = "UPDATE users SET password_must_change = true WHERE username = 'anna'";
    sqlx::query(sql)
        .execute(&mut app.sql().await)
        .await
        .unwrap();
    let answer = app.login("anna").await;
    assert_eq!(answer.body["status"], "password_change_required");
    assert!(answer.body.get("access_token").is_none());
    let token = answer.body["password_change_token"]
        .as_str()
        .unwrap()
        .to_owned();
    let mut holder = app.anonymous();
    holder.token = Some(token.clone());
    assert_eq!(holder.get("/api/users/me").await.status, 401);
    let client = app.anonymous();
    let change = async |new: &str| {
        let body = json!({"password_change_token": token, "new_password": new});
        client.post("/api/auth/password/change", body).await
    };
    let weak = change("short").await;
    assert_eq!(weak.body["errors"][0]["code"], "password_too_short");
    let same = change(PASSWORD).await;
    assert_eq!(same.body["errors"][0]["code"], "same_password");
    let new = "harbour lentil 41 quiet sail";
    let attempts: Vec<_> = join_all((0..10).map(|_| change(new))).await;
    let changed = attempts
        .iter()
        .filter(|answer| answer.status == 200)
        .count();
    assert_eq!(changed, 1, "one of ten at once");
    assert_eq!(
        user.get("/api/users/me").await.status,
        401,
        "what was there before has ended"
    );
    assert_eq!(app.login("anna").await.problem(), "invalid_credentials");

    let sql = "UPDATE users SET password_must_change = true WHERE username = 'anna'";
    sqlx::query(sql)
        .execute(&mut app.sql().await)
        .await
        .unwrap();
    let body = json!({"login": "anna", "password": new});
    let late = client.post("/api/auth/login", body).await;
    app.clock.advance(TimeDelta::minutes(10));
    let body = json!({"password_change_token": late.body["password_change_token"], "new_password": PASSWORD});
    assert_eq!(
        client
            .post("/api/auth/password/change", body)
            .await
            .problem(),
        "invalid_token"
    );
}

#[actix_web::test]
async fn the_sixth_wrong_password_in_a_row_makes_everyone_wait() {
    let app = TestApp::spawn().await;
    app.user("anna").await;
    let client = app.anonymous();
    for login in ["anna", "nobody"] {
        let attempt = async |password: &str| {
            let body = json!({"login": login, "password": password});
            client.post("/api/auth/login", body).await
        };
        for _ in 0..6 {
            assert_eq!(attempt("wrong").await.status, 401, "{login}");
        }
        let answer = attempt(PASSWORD).await;
        assert_eq!(
            (answer.status, answer.problem()),
            (429, "too_many_attempts"),
            "{login}"
        );
        assert_eq!(answer.header("retry-after"), "30");
        app.clock.advance(TimeDelta::seconds(30));
        assert_eq!(attempt("wrong").await.status, 401);
        let answer = attempt("wrong").await;
        assert_eq!(answer.header("retry-after"), "60", "{login}: it doubles");
    }
    app.clock.advance(TimeDelta::seconds(60));
    assert_eq!(app.login("anna").await.status, 200);
    for _ in 0..5 {
        let body = json!({"login": "anna", "password": "wrong"});
        assert_eq!(
            client.post("/api/auth/login", body).await.status,
            401,
            "counted anew"
        );
    }
    assert_eq!(app.login("anna").await.status, 200);
}

#[actix_web::test]
async fn wrong_passwords_are_remembered_by_a_process_that_comes_after_a_killed_one() {
    let app = TestApp::spawn().await;
    app.user("anna").await;
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    for passwords in [["wrong"; 3], ["wrong"; 3], [PASSWORD; 3]] {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port().to_string();
        drop(listener);
        let mut command = program::gatepost(&app, &["serve"]).await;
        let settings = [("APP_PORT", port.as_str()), ("METRICS_PORT", "0")];
        command.envs(settings).env("SECRET_KEY", secret_key('a'));
        command.env("CSRF_SECRET_KEY", secret_key('b'));
        let streams = command.stdout(Stdio::null()).stderr(Stdio::null());
        let mut process = streams.spawn().unwrap();
        let address = format!("http://127.0.0.1:{port}/api");
        let is_ready = async || {
            let answer = http.get(format!("{address}/health/ready")).send().await;
            answer.is_ok_and(|answer| answer.status() == 200)
        };
        while !is_ready().await {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        for password in passwords {
            let body = json!({"login": "anna", "password": password});
            let sent = http
                .post(format!("{address}/auth/login"))
                .json(&body)
                .send();
            let expected = if password == PASSWORD { 429 } else { 401 };
            assert_eq!(sent.await.unwrap().status(), expected, "{password}");
        }
        process.kill().await.unwrap();
    }
}

#[actix_web::test]
async fn parallel_guesses_are_counted_one_by_one() {
    let app = TestApp::spawn().await;
    app.user("anna").await;
    let client = app.anonymous();
    let guesses = (0..50).map(|_| {
        client.post(
            "/api/auth/login",
            json!({"login": "anna", "password": "wrong"}),
        )
    });
    let answers = join_all(guesses).await;
    let tried = answers.iter().filter(|answer| answer.status == 401).count();
    assert_eq!(tried, 6, "five are free, the sixth starts the wait");
    assert!(
        answers
            .iter()
            .all(|answer| [401, 429].contains(&answer.status))
    );
}

#[actix_web::test]
async fn attempts_are_limited_for_each_minute_and_across_instances() {
    let app = TestApp::with(&[("LOGIN_RATE_LIMIT", "3,5"), ("REGISTRATION_MODE", "open")]).await;
    let new = json!({"email": "anna@example.com", "password": PASSWORD});
    assert_eq!(app.anonymous().post("/api/register", new).await.status, 202);
    let second = app.second().await;
    assert_eq!(app.login("anna@example.com").await.status, 200);
    assert_eq!(second.login("anna@example.com").await.status, 200);
    assert_eq!(app.login("anna@example.com").await.status, 200);
    let answer = second.login("anna@example.com").await;
    assert_eq!(
        (answer.status, answer.problem()),
        (429, "too_many_attempts")
    );
    assert_eq!(answer.header("retry-after"), "60");
    app.clock.advance(TimeDelta::seconds(60));
    assert_eq!(app.login("anna@example.com").await.status, 200);
    second.stop().await;
}

#[actix_web::test]
async fn an_old_hash_is_renewed_at_the_next_login() {
    let app = TestApp::spawn().await;
    app.user("anna").await;
    let second = app.second_with(&[("ARGON2_MEMORY_KIB", "128")]).await;
    let hash = async || -> String {
        let sql = "SELECT password_hash FROM users WHERE username = 'anna'";
        sqlx::query_scalar(sql)
            .fetch_one(&mut app.sql().await)
            .await
            .unwrap()
    };
    assert!(hash().await.contains("m=64,"));
    assert_eq!(second.login("anna").await.status, 200);
    assert!(hash().await.contains("m=128,"));
    assert_eq!(second.login("anna").await.status, 200);
    second.stop().await;
}

#[actix_web::test]
async fn what_happened_is_written_down_for_the_user_and_for_the_auditor() {
    let app = TestApp::spawn().await;
    let user = app.user("anna").await;
    let wrong = json!({"login": "anna", "password": "wrong"});
    let headers = [("user-agent", "check/1"), ("x-request-id", "the-wrong-one")];
    app.anonymous()
        .post_with("/api/auth/login", wrong, &headers)
        .await;
    let activity = user.get("/api/users/me/activity").await;
    let newest = &activity.body["items"][0];
    assert_eq!(newest["kind"], "login_failed");
    assert_eq!(newest["user_agent"], "check/1");
    assert_eq!(newest["ip"], "127.0.0.1");
    assert_eq!(newest["request_id"], "the-wrong-one");
    let kinds: Vec<_> = activity.body["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|i| i["kind"].clone())
        .collect();
    assert_eq!(kinds, ["login_failed", "login", "approved", "registered"]);
    let admin = app.admin().await;
    let path = format!(
        "/api/admin/audit?target_type=user&target_id={}&order=created_at",
        user.user_id
    );
    let audit = admin.get(&path).await;
    let actions: Vec<_> = audit.body["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|i| i["action"].clone())
        .collect();
    assert_eq!(
        actions,
        [
            "user.registered",
            "user.approved",
            "session.opened",
            "session.login_failed"
        ]
    );
    let text = audit.body.to_string();
    assert!(!text.contains(PASSWORD) && !text.contains("wrong\""));
}
