//! Forgotten passwords, and "this was not me".

use chrono::TimeDelta;
use futures_util::future::join_all;
use serde_json::json;

use crate::{
    harness::{Answer, PASSWORD, TestApp},
    post::Post,
};

const FORGOT: &str = "/api/auth/password/forgot";
const RESET: &str = "/api/auth/password/reset";
const LOCKDOWN: &str = "/api/auth/lockdown";
const ANNA: &str = "anna@example.com";
const NEW_PASSWORD: &str = "sparrow lantern 52 oak ridge";

async fn reset(app: &TestApp, token: &str, password: &str) -> Answer {
    let body = json!({"token": token, "new_password": password});
    app.anonymous().post(RESET, body).await
}

async fn lock_down(app: &TestApp, token: &str) -> Answer {
    app.anonymous()
        .post(LOCKDOWN, json!({"token": token}))
        .await
}

async fn login(app: &TestApp, password: &str) -> Answer {
    let body = json!({"login": ANNA, "password": password});
    app.anonymous().post("/api/auth/login", body).await
}

fn assert_invalid(answer: &Answer) {
    assert_eq!((answer.status, answer.problem()), (401, "invalid_token"));
}

#[actix_web::test]
async fn a_forgotten_password_is_replaced_by_mail() {
    let post = Post::open().await;
    let app = &post.app;
    let (anna, elsewhere) = (app.user("anna").await, app.log_in(ANNA).await);
    let token = post.reset_token(ANNA, 1).await;
    assert_eq!(anna.get("/api/users/me").await.status, 200, "nothing yet");
    let answer = reset(app, &token, NEW_PASSWORD).await;
    assert_eq!((answer.status, &answer.body), (204, &json!(null)));
    for session in [&anna, &elsewhere] {
        assert_eq!(session.get("/api/users/me").await.status, 401);
    }
    assert_eq!(login(app, PASSWORD).await.problem(), "invalid_credentials");
    assert_eq!(login(app, NEW_PASSWORD).await.status, 200);
    let told = post.mail(ANNA, "gpl_", 1).await;
    assert!(
        told.contains("Subject: Your password was changed"),
        "{told}"
    );
    assert_invalid(&reset(app, &token, NEW_PASSWORD).await);
}

#[actix_web::test]
async fn strangers_learn_nothing_and_closed_accounts_get_no_mail() {
    let post = Post::open().await;
    let app = &post.app;
    let (anna, ben) = (app.user("anna").await, app.user("ben").await);
    let admin = app.admin().await;
    let disable = format!("/api/admin/users/{}/disable", ben.user_id);
    assert_eq!(admin.put(&disable, json!({})).await.status, 200);
    let mut answers = Vec::new();
    for email in [ANNA, "ben@example.com", "nobody@example.com"] {
        let answer = anna.post(FORGOT, json!({"email": email})).await;
        let mut names: Vec<_> = answer.headers.keys().map(ToString::to_string).collect();
        names.sort();
        answers.push((answer.status, answer.body.to_string(), names));
    }
    assert_eq!(answers[0].0, 202);
    assert!(
        answers.iter().all(|answer| *answer == answers[0]),
        "{answers:?}"
    );
    post.token(ANNA, "gpw_", 1).await;
    let open = "SELECT count(*) FROM one_time_tokens WHERE kind = 'password_reset'";
    assert_eq!(post.count(open).await, 1);
    // Closed after the mail was sent: its link is worth nothing.
    let token = post.token(ANNA, "gpw_", 1).await;
    let disable = format!("/api/admin/users/{}/disable", anna.user_id);
    assert_eq!(admin.put(&disable, json!({})).await.status, 200);
    assert_invalid(&reset(app, &token, NEW_PASSWORD).await);
}

#[actix_web::test]
async fn a_reset_link_is_good_for_half_an_hour_and_only_the_newest() {
    let post = Post::open().await;
    let app = &post.app;
    app.user("anna").await;
    let first = post.reset_token(ANNA, 1).await;
    let second = post.reset_token(ANNA, 2).await;
    assert_invalid(&reset(app, &first, NEW_PASSWORD).await);
    for (password, code) in [
        ("short", "password_too_short"),
        ("anna@example.com", "password_contains_context"),
    ] {
        let answer = reset(app, &second, password).await;
        assert_eq!(answer.problem(), "validation_failed");
        assert_eq!(answer.body["errors"][0]["field"], "new_password");
        assert_eq!(answer.body["errors"][0]["code"], code);
    }
    app.clock.advance(TimeDelta::minutes(30));
    assert_invalid(&reset(app, &second, NEW_PASSWORD).await);
    let third = post.reset_token(ANNA, 3).await;
    app.clock.advance(TimeDelta::minutes(29));
    assert_eq!(reset(app, &third, NEW_PASSWORD).await.status, 204);
}

#[actix_web::test]
async fn nobody_is_flooded_with_mail() {
    let post = Post::open().await;
    let app = &post.app;
    app.user("anna").await;
    let client = app.anonymous();
    let sent = "SELECT count(*) FROM outbox";
    for _ in 0..5 {
        let answer = client
            .post(FORGOT, json!({"email": "ANNA@example.com"}))
            .await;
        assert_eq!(answer.status, 202);
    }
    assert_eq!(post.count(sent).await, 3);
    for number in 0..5 {
        let email = format!("nobody{number}@example.com");
        let answer = client.post(FORGOT, json!({"email": email})).await;
        assert_eq!(answer.status, 202);
    }
    let answer = client.post(FORGOT, json!({"email": ANNA})).await;
    assert_eq!(
        (answer.status, answer.problem()),
        (429, "too_many_attempts")
    );
    assert_eq!(answer.header("retry-after"), "3600");
    app.clock.advance(TimeDelta::hours(1));
    assert_eq!(
        client.post(FORGOT, json!({"email": ANNA})).await.status,
        202
    );
    assert_eq!(post.count(sent).await, 4);
}

#[actix_web::test]
async fn a_hundred_wrong_passwords_do_not_keep_the_owner_out() {
    let post = Post::open().await;
    let app = &post.app;
    app.user("anna").await;
    assert_eq!(login(app, "wrong wrong wrong").await.status, 401);
    post.run(
        "UPDATE login_throttles SET failures = 100, locked_until = now() + interval '100 years' \
         WHERE failures > 0",
    )
    .await;
    assert_eq!(login(app, PASSWORD).await.status, 429);
    let token = post.reset_token(ANNA, 1).await;
    assert_eq!(reset(app, &token, NEW_PASSWORD).await.status, 204);
    assert_eq!(login(app, NEW_PASSWORD).await.status, 200);
}

#[actix_web::test]
async fn fifty_uses_of_one_reset_link_are_one() {
    let post = Post::open().await;
    let app = &post.app;
    app.user("anna").await;
    let token = post.reset_token(ANNA, 1).await;
    let passwords: Vec<_> = (0..50).map(|n| format!("{NEW_PASSWORD} {n}")).collect();
    let answers = join_all(
        passwords
            .iter()
            .map(|password| reset(app, &token, password)),
    )
    .await;
    let done: Vec<_> = answers
        .iter()
        .filter(|answer| answer.status == 204)
        .collect();
    assert_eq!(done.len(), 1);
    let refused = answers.iter().filter(|answer| answer.status == 401).count();
    assert_eq!(refused, 49);
    let entries = "SELECT count(*) FROM audit_log WHERE action = 'user.password_reset'";
    assert_eq!(post.count(entries).await, 1);
    let winner = answers
        .iter()
        .position(|answer| answer.status == 204)
        .unwrap();
    assert_eq!(login(app, &passwords[winner]).await.status, 200);
}

#[actix_web::test]
async fn a_reset_ends_what_a_stranger_left_at_an_address_that_nobody_proved() {
    let post = Post::verifying("open").await;
    let app = &post.app;
    // A stranger, with an address that is not theirs.
    let new = json!({
        "email": ANNA, "username": "mallory", "password": PASSWORD, "display_name": "Mallory",
    });
    app.anonymous().post("/api/register", new).await;
    let token = post.reset_token(ANNA, 1).await;
    assert_eq!(reset(app, &token, NEW_PASSWORD).await.status, 204);
    assert_eq!(login(app, PASSWORD).await.problem(), "invalid_credentials");
    let answer = login(app, NEW_PASSWORD).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let user = &answer.body["user"];
    assert_eq!(user["email_verified"], true);
    assert_eq!(user["username"], json!(null));
    assert_eq!(user["display_name"], json!(null));
    let verification = post.token(ANNA, "gpv_", 1).await;
    let body = json!({"token": verification});
    assert_invalid(&app.anonymous().post("/api/auth/email/verify", body).await);
}

/// A lockdown link, from the mail about a changed password.
async fn lockdown_token(post: &Post, number: usize) -> String {
    let reset_token = post.reset_token(ANNA, number).await;
    let answer = reset(&post.app, &reset_token, PASSWORD).await;
    assert_eq!(answer.status, 204, "{}", answer.body);
    post.token(ANNA, "gpl_", number).await
}

#[actix_web::test]
async fn this_was_not_me_ends_everything_until_a_new_password_is_set() {
    let post = Post::open().await;
    let app = &post.app;
    app.user("anna").await;
    let token = lockdown_token(&post, 1).await;
    let anna = app.log_in(ANNA).await;
    post.run(
        "INSERT INTO api_keys (id, user_id, name, prefix, key_hash, permissions, created_at) \
         SELECT gen_random_uuid(), id, 'k', 'gp_x', '\\x01', '{}', now() FROM users \
         WHERE username = 'anna'",
    )
    .await;
    post.run(
        "INSERT INTO device_fingerprints (id, user_id, token_hash, trusted_until, first_seen_at, \
         last_seen_at) SELECT gen_random_uuid(), id, '\\x02', now() + interval '30 days', now(), now() \
         FROM users WHERE username = 'anna'",
    )
    .await;
    for _ in 0..2 {
        assert_eq!(lock_down(app, &token).await.status, 204, "also again");
    }
    assert_eq!(anna.get("/api/users/me").await.status, 401);
    let refresh = json!({"refresh_token": anna.refresh_token});
    let refreshed = app.anonymous().post("/api/auth/refresh", refresh).await;
    assert_invalid(&refreshed);
    assert_eq!(login(app, PASSWORD).await.problem(), "invalid_credentials");
    for left in [
        "SELECT count(*) FROM api_keys WHERE revoked_at IS NULL",
        "SELECT count(*) FROM device_fingerprints WHERE token_hash = '\\x02' AND revoked_at IS NULL",
        "SELECT count(*) FROM users WHERE username = 'anna' AND password_hash IS NOT NULL",
    ] {
        assert_eq!(post.count(left).await, 0, "{left}");
    }
    let entries = "SELECT count(*) FROM audit_log WHERE action = 'user.locked_down'";
    assert_eq!(post.count(entries).await, 1);
    let mail = post
        .mail(ANNA, "Subject: Your account was secured", 1)
        .await;
    let at = mail.find("gpw_").unwrap();
    let answer = reset(app, &mail[at..at + 47], NEW_PASSWORD).await;
    assert_eq!(answer.status, 204, "{}", answer.body);
    assert_eq!(login(app, NEW_PASSWORD).await.status, 200);
}

#[actix_web::test]
async fn while_locked_down_no_other_way_leads_in_either() {
    let post = Post::open().await;
    let app = &post.app;
    app.user("anna").await;
    let token = lockdown_token(&post, 1).await;
    assert_eq!(lock_down(app, &token).await.status, 204);
    // As if there were another proof than the password: the gate is asked after it.
    let sql = "UPDATE users SET password_hash = (SELECT password_hash FROM users \
               WHERE break_glass) WHERE username = 'anna'";
    app.admin().await;
    post.run(sql).await;
    let answer = login(app, PASSWORD).await;
    assert_eq!(
        (answer.status, answer.problem()),
        (403, "password_reset_required")
    );
}

#[actix_web::test]
async fn fifty_uses_of_one_lockdown_link_are_one() {
    let post = Post::open().await;
    let app = &post.app;
    app.user("anna").await;
    let token = lockdown_token(&post, 1).await;
    let answers = join_all((0..50).map(|_| lock_down(app, &token))).await;
    assert!(answers.iter().all(|answer| answer.status == 204));
    let entries = "SELECT count(*) FROM audit_log WHERE action = 'user.locked_down'";
    assert_eq!(post.count(entries).await, 1);
    let open = "SELECT count(*) FROM one_time_tokens \
                WHERE kind = 'password_reset' AND consumed_at IS NULL";
    assert_eq!(post.count(open).await, 1);
}

#[actix_web::test]
async fn a_thief_cannot_take_the_link_away_that_stops_them() {
    let post = Post::open().await;
    let app = &post.app;
    app.user("anna").await;
    let first = lockdown_token(&post, 1).await;
    // More mails and changes of the password, by whomever.
    let second = lockdown_token(&post, 2).await;
    assert_eq!(lock_down(app, &first).await.status, 204);
    let entries = "SELECT count(*) FROM audit_log WHERE action = 'user.locked_down'";
    assert_eq!(lock_down(app, &second).await.status, 204, "done already");
    assert_eq!(post.count(entries).await, 1);
}

#[actix_web::test]
async fn a_lockdown_link_is_good_for_a_week() {
    let post = Post::open().await;
    let app = &post.app;
    app.user("anna").await;
    let token = lockdown_token(&post, 1).await;
    app.clock.advance(TimeDelta::days(7));
    assert_invalid(&lock_down(app, &token).await);
    assert_invalid(&lock_down(app, "gpl_unknown").await);
    assert_eq!(login(app, PASSWORD).await.status, 200);
}

#[actix_web::test]
async fn a_stolen_session_is_told_with_a_link_to_close_everything() {
    let post = Post::open().await;
    let app = &post.app;
    let anna = app.user("anna").await;
    let refresh = json!({"refresh_token": anna.refresh_token});
    let client = app.anonymous();
    let answer = client.post("/api/auth/refresh", refresh.clone()).await;
    assert_eq!(answer.status, 200);
    app.clock.advance(TimeDelta::seconds(11));
    let answer = client.post("/api/auth/refresh", refresh).await;
    assert_eq!(answer.problem(), "refresh_token_reused");
    let mail = post.mail(ANNA, "gpl_", 1).await;
    assert!(
        mail.contains("Subject: One of your sessions was ended"),
        "{mail}"
    );
}

#[actix_web::test]
async fn a_changed_password_is_told_however_it_was_changed() {
    let post = Post::open().await;
    let app = &post.app;
    let anna = app.user("anna").await;
    let change = json!({"current_password": PASSWORD, "new_password": NEW_PASSWORD});
    assert_eq!(anna.put("/api/users/me", change).await.status, 200);
    let token = post.token(ANNA, "gpl_", 1).await;
    assert_eq!(lock_down(app, &token).await.status, 204);
    assert_eq!(anna.get("/api/users/me").await.status, 401);
}

#[actix_web::test]
async fn no_link_does_the_work_of_another() {
    let post = Post::with(&[("REGISTRATION_MODE", "open")]).await;
    let app = &post.app;
    let anna = app.user("anna").await;
    let resend = json!({"email": ANNA});
    app.anonymous().post("/api/auth/email/resend", resend).await;
    let change = json!({"email": "anna@example.org"});
    assert_eq!(anna.put("/api/users/me", change).await.status, 200);
    let lockdown = {
        // Made last, a change of the password would void the others.
        let change = json!({"current_password": PASSWORD, "new_password": NEW_PASSWORD});
        let ben = app.user("ben").await;
        assert_eq!(ben.put("/api/users/me", change).await.status, 200);
        post.token("ben@example.com", "gpl_", 1).await
    };
    let tokens = [
        ("verify", post.token(ANNA, "gpv_", 1).await),
        ("verify", post.token("anna@example.org", "gpe_", 1).await),
        ("cancel", post.token(ANNA, "gpx_", 1).await),
        ("reset", post.reset_token(ANNA, 1).await),
        ("lockdown", lockdown),
    ];
    let calls = [
        ("verify", "/api/auth/email/verify"),
        ("cancel", "/api/auth/email/cancel"),
        ("reset", RESET),
        ("lockdown", LOCKDOWN),
    ];
    for (purpose, token) in &tokens {
        for (name, path) in calls {
            if *purpose == name {
                continue;
            }
            let mut body = json!({"token": token});
            if path == RESET {
                body["new_password"] = json!(NEW_PASSWORD);
            }
            let answer = app.anonymous().post(path, body).await;
            assert_eq!(
                (answer.status, answer.problem()),
                (401, "invalid_token"),
                "{purpose} at {path}"
            );
        }
        let change = json!({"password_change_token": token, "new_password": NEW_PASSWORD});
        assert_invalid(
            &app.anonymous()
                .post("/api/auth/password/change", change)
                .await,
        );
        let mut bearer = app.anonymous();
        bearer.token = Some(token.clone());
        assert_eq!(bearer.get("/api/users/me").await.status, 401);
    }
    let open = "SELECT count(*) FROM one_time_tokens WHERE consumed_at IS NULL";
    assert_eq!(post.count(open).await, 5, "none was used up");
}

#[actix_web::test]
async fn second_factors_outlive_a_lockdown_but_not_those_that_came_after_its_mail() {
    let post = Post::open().await;
    let app = &post.app;
    app.user("anna").await;
    let factor = "INSERT INTO mfa_factors (id, user_id, kind, confirmed_at, created_at, data, \
                  sign_count, failed_attempts) SELECT gen_random_uuid(), id, 'webauthn', \
                  now() + $1::interval, now() + $1::interval, '{}', 0, 0 FROM users \
                  WHERE username = 'anna'";
    for age in ["-1 hour", "1 hour"] {
        sqlx::query(factor)
            .bind(age)
            .execute(&mut app.sql().await)
            .await
            .unwrap();
    }
    let token = lockdown_token(&post, 1).await;
    assert_eq!(lock_down(app, &token).await.status, 204);
    let left = "SELECT count(*) FROM mfa_factors WHERE created_at < now()";
    assert_eq!(post.count(left).await, 1);
    assert_eq!(post.count("SELECT count(*) FROM mfa_factors").await, 1);
}
