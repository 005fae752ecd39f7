//! The second half of a login.

use chrono::TimeDelta;
use gatepost::{config::SecretKey, crypto::seal::Sealer, mfa::totp, routes};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{CHALLENGE, OWN, Person, Post, fresh_code, pending, texts, verify, wrong_code};
use crate::harness::{PASSWORD, TestApp};

#[actix_web::test]
async fn a_code_of_the_app_is_asked_for_after_the_right_password() {
    let app = TestApp::spawn().await;
    let anna = Person::enrolled(&app, "anna").await;
    let answer = app.login("anna").await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.body["status"], "mfa_required");
    assert_eq!(answer.body["factors"], json!(["totp", "recovery_code"]));
    assert_eq!(answer.body["expires_in"], 600);
    assert!(answer.body.get("access_token").is_none());
    let token = answer.body["mfa_token"].as_str().unwrap();
    assert!(token.starts_with("gpm_"));

    let wrong = verify(&app, token, "totp", &wrong_code(&app, &anna.secret)).await;
    assert_eq!((wrong.status, wrong.problem()), (401, "invalid_code"));
    let code = fresh_code(&app, &anna.secret);
    let typed = format!("{} {}", &code[..3], &code[3..]);
    let right = verify(&app, token, "totp", &typed).await;
    assert_eq!(right.body["status"], "authenticated", "{}", right.body);
    let client = app.anonymous().with_tokens(&right);
    let sessions = client.get("/api/users/me/sessions").await;
    assert_eq!(
        sessions.body["items"][0]["amr"],
        json!(["pwd", "otp", "mfa"])
    );
    let again = verify(&app, token, "totp", &fresh_code(&app, &anna.secret)).await;
    assert_eq!((again.status, again.problem()), (401, "invalid_token"));

    let activity = client.get("/api/users/me/activity").await;
    let items = activity.body["items"].as_array().unwrap();
    let kinds: Vec<_> = items.iter().map(|i| i["kind"].clone()).collect();
    let newest = ["login", "mfa_failed", "mfa_required", "factor_added"];
    assert_eq!(kinds[..4], newest);
}

#[actix_web::test]
async fn the_session_is_the_one_that_the_login_asked_for() {
    let app = TestApp::spawn().await;
    let anna = Person::enrolled(&app, "anna").await;
    let client = app.anonymous();
    let body = json!({"login": "anna", "password": PASSWORD, "cookie": true, "remember": true});
    let answer = client.post("/api/auth/login", body).await;
    assert_eq!(answer.header("set-cookie"), "");
    let token = answer.body["mfa_token"].as_str().unwrap();
    let answer = verify(&app, token, "totp", &fresh_code(&app, &anna.secret)).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert!(answer.body.get("access_token").is_none());
    assert_eq!(answer.body["refresh_expires_in"], 30 * 86_400);
    let cookie = answer.header("set-cookie");
    assert!(
        cookie.starts_with("__Host-gatepost_session=gps_"),
        "{cookie}"
    );
    assert!(cookie.contains("Max-Age=2592000"), "{cookie}");
}

#[actix_web::test]
async fn a_pending_login_ends_after_ten_minutes_or_when_its_user_is_disabled() {
    let app = TestApp::spawn().await;
    let anna = Person::enrolled(&app, "anna").await;
    let old = anna.pending(&app).await;
    app.clock.advance(TimeDelta::minutes(10));
    let answer = verify(&app, &old, "totp", &fresh_code(&app, &anna.secret)).await;
    assert_eq!((answer.status, answer.problem()), (401, "invalid_token"));

    let token = anna.pending(&app).await;
    let admin = app.admin().await;
    let path = format!("/api/admin/users/{}/disable", anna.client.user_id);
    assert_eq!(admin.put(&path, json!({})).await.status, 200);
    let answer = verify(&app, &token, "totp", &fresh_code(&app, &anna.secret)).await;
    assert_eq!((answer.status, answer.problem()), (403, "account_disabled"));
}

#[actix_web::test]
async fn a_changed_password_ends_pending_logins() {
    let app = TestApp::spawn().await;
    let anna = Person::enrolled(&app, "anna").await;
    let token = anna.pending(&app).await;
    let change =
        json!({"current_password": PASSWORD, "new_password": "harbour lentil 41 quiet sail"});
    let changed = anna.client.put("/api/users/me", change).await;
    assert_eq!(changed.status, 200, "{}", changed.body);
    let answer = verify(&app, &token, "totp", &fresh_code(&app, &anna.secret)).await;
    assert_eq!(answer.problem(), "invalid_token");
}

#[actix_web::test]
async fn a_password_that_has_to_be_changed_is_changed_after_the_second_factor() {
    let app = TestApp::spawn().await;
    let anna = Person::enrolled(&app, "anna").await;
    let sql = "UPDATE users SET password_must_change = true WHERE username = 'anna'";
    sqlx::query(sql)
        .execute(&mut app.sql().await)
        .await
        .unwrap();
    let token = anna.pending(&app).await;
    let answer = verify(&app, &token, "totp", &fresh_code(&app, &anna.secret)).await;
    assert_eq!(answer.body["status"], "password_change_required");
    let change = json!({
        "password_change_token": answer.body["password_change_token"],
        "new_password": "harbour lentil 41 quiet sail",
    });
    let answer = app
        .anonymous()
        .post("/api/auth/password/change", change)
        .await;
    let client = app.anonymous().with_tokens(&answer);
    let sessions = client.get("/api/users/me/sessions").await;
    assert_eq!(
        sessions.body["items"][0]["amr"],
        json!(["pwd", "otp", "mfa"]),
        "what was proven before the change counts"
    );
}

#[actix_web::test]
async fn a_mailed_code_is_good_for_the_login_that_asked_for_it() {
    let post = Post::with(&[]).await;
    let app = &post.app;
    post.enrol_email("anna").await;
    let first = pending(app, "anna").await;
    let second = pending(app, "anna").await;
    let ask = json!({"mfa_token": first, "factor": "email"});
    let sent = app.anonymous().post(CHALLENGE, ask).await;
    assert_eq!(sent.body, json!({"status": "code_sent", "expires_in": 600}));
    let code = post.code("anna", 2).await;
    let answer = verify(app, &second, "email", &code).await;
    assert_eq!(answer.problem(), "invalid_code", "not for another login");
    let answer = verify(app, &first, "email", &code).await;
    let client = app.anonymous().with_tokens(&answer);
    let sessions = client.get("/api/users/me/sessions").await;
    assert_eq!(
        sessions.body["items"][0]["amr"],
        json!(["pwd", "otp", "mca", "mfa"])
    );
    let totp = verify(app, &second, "totp", &code).await;
    assert_eq!(totp.body["errors"][0]["code"], "not_enrolled");
    let none = json!({"mfa_token": second, "factor": "email"});
    let none = app.anonymous().post(super::VERIFY, none).await;
    assert_eq!((none.status, none.problem()), (400, "validation_failed"));
}

/// A body for an operation that takes a token, with `token` at every place for one.
fn body_with(schema: &Value, token: &str) -> Option<Value> {
    let properties = schema["properties"].as_object()?;
    let is_token = |name: &str| name.ends_with("token");
    if !properties.keys().any(|name| is_token(name)) {
        return None;
    }
    let required = schema["required"].as_array().cloned().unwrap_or_default();
    let fields = properties.keys().filter_map(|name| {
        let value = match name.as_str() {
            name if is_token(name) => token,
            "email" => "someone@example.com",
            "password" => PASSWORD,
            "new_password" => "harbour lentil 41 quiet sail",
            "factor" => "totp",
            "code" => "000000",
            name if required.contains(&json!(name)) => "something",
            _ => return None,
        };
        Some((name.clone(), json!(value)))
    });
    Some(Value::Object(fields.collect()))
}

#[actix_web::test]
async fn the_token_of_a_pending_login_opens_nothing_but_the_calls_of_the_second_factor() {
    let app = TestApp::spawn().await;
    let anna = Person::enrolled(&app, "anna").await;
    let token = anna.pending(&app).await;
    let mut bearer = app.anonymous();
    bearer.token = Some(token.clone());
    let client = app.anonymous();
    let cookie = format!("__Host-gatepost_session={token}");
    let headers = [
        ("cookie", cookie.as_str()),
        ("x-csrf-token", token.as_str()),
    ];
    for row in routes::protected() {
        let path = row.path.split(['{', '}']).enumerate();
        let path: String = path
            .map(|(index, part)| match index % 2 {
                0 => part.to_owned(),
                _ => Uuid::now_v7().to_string(),
            })
            .collect();
        for answer in [
            bearer.send(row.method.as_str(), &path, None, &[]).await,
            client
                .send(row.method.as_str(), &path, None, &headers)
                .await,
        ] {
            assert_eq!(answer.status, 401, "{} {path}: {answer:?}", row.method);
        }
    }
    let document = serde_json::to_value(gatepost::openapi::document()).unwrap();
    let schemas = &document["components"]["schemas"];
    let mut tried = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        if path.starts_with("/api/auth/mfa/") || path.contains('{') {
            continue;
        }
        for (method, operation) in item.as_object().unwrap() {
            let schema = &operation["requestBody"]["content"]["application/json"]["schema"];
            let name = schema["$ref"]
                .as_str()
                .and_then(|name| name.rsplit('/').next());
            let Some(body) = name.and_then(|name| body_with(&schemas[name], &token)) else {
                continue;
            };
            let answer = client
                .send(&method.to_uppercase(), path, Some(body), &[])
                .await;
            assert!(
                (400..500).contains(&answer.status),
                "{method} {path}: {answer:?}"
            );
            tried.push(path.clone());
        }
    }
    for known in ["/api/auth/refresh", "/api/auth/password/change"] {
        assert!(tried.iter().any(|path| path == known), "{tried:?}");
    }
    let answer = verify(&app, &token, "totp", &fresh_code(&app, &anna.secret)).await;
    assert_eq!(answer.status, 200, "it was good all the time");
}

#[actix_web::test]
async fn no_other_token_stands_for_a_pending_login() {
    let app = TestApp::spawn().await;
    let anna = Person::enrolled(&app, "anna").await;
    let wrong = [
        anna.client.token.clone().unwrap(),
        anna.client.refresh_token.clone(),
        "gpm_".to_owned(),
        String::new(),
        "\u{1F512}".to_owned(),
    ];
    for token in wrong {
        for (path, rest) in [
            (super::VERIFY, json!({"factor": "totp", "code": "000000"})),
            (CHALLENGE, json!({"factor": "email"})),
            ("/api/auth/mfa/enrol", json!({"factor": "totp"})),
            (
                "/api/auth/mfa/enrol/confirm",
                json!({"factor": "totp", "code": "000000"}),
            ),
        ] {
            let mut body = rest;
            body["mfa_token"] = json!(token);
            let answer = app.anonymous().post(path, body).await;
            assert_eq!((answer.status, answer.problem()), (401, "invalid_token"));
        }
    }
    let token = anna.pending(&app).await;
    let enrol = json!({"mfa_token": token, "factor": "email"});
    let answer = app.anonymous().post("/api/auth/mfa/enrol", enrol).await;
    assert_eq!(answer.problem(), "invalid_token", "only a factor opens it");
}

#[actix_web::test]
async fn secrets_and_codes_are_kept_so_that_a_copy_of_the_database_gives_none() {
    let app = TestApp::spawn().await;
    let anna = Person::enrolled(&app, "anna").await;
    anna.pending(&app).await;
    let mut sql = app.sql().await;
    let rows: Vec<String> = sqlx::query_scalar(
        "SELECT row_to_json(t)::text FROM mfa_factors t UNION ALL \
         SELECT row_to_json(t)::text FROM recovery_codes t UNION ALL \
         SELECT row_to_json(t)::text FROM mfa_verifications t",
    )
    .fetch_all(&mut sql)
    .await
    .unwrap();
    let all = rows.join("\n");
    assert!(rows.len() > 11 && !all.contains(&anna.secret) && !all.contains("gpm_"));
    for code in &anna.recovery_codes {
        let bare: String = code[2..].replace('-', "");
        assert!(!all.contains(&bare), "{all}");
    }
    let overview = anna.client.get(OWN).await;
    assert_eq!(overview.body["recovery_codes_left"], 10);
    assert_eq!(texts(&overview.body["step_up"]), ["totp", "recovery_code"]);
    assert!(!overview.body.to_string().contains(&anna.secret));
}

#[actix_web::test]
async fn a_trusted_device_is_not_asked_for_the_second_factor() {
    let app = TestApp::spawn().await;
    let anna = Person::enrolled(&app, "anna").await;
    let bert = Person::enrolled(&app, "bert").await;
    let token = anna.pending(&app).await;
    let body = json!({
        "mfa_token": token, "factor": "totp", "code": fresh_code(&app, &anna.secret),
        "trust_device": true, "device_name": "laptop",
    });
    let answer = app.anonymous().post(super::VERIFY, body).await;
    let device = answer.body["device_token"].as_str().unwrap().to_owned();
    assert!(device.starts_with("gpd_"));
    let client = app.anonymous().with_tokens(&answer);
    let log_in = async |name: &str, password: &str| {
        let body = json!({"login": name, "password": password, "device_token": device});
        app.anonymous().post("/api/auth/login", body).await
    };
    let answer = log_in("anna", PASSWORD).await;
    let trusted = app.anonymous().with_tokens(&answer);
    let sessions = trusted.get("/api/users/me/sessions").await;
    assert_eq!(sessions.body["items"][0]["amr"], json!(["pwd"]));
    let change = trusted
        .post(&format!("{OWN}/recovery-codes"), json!({}))
        .await;
    assert_eq!(
        change.problem(),
        "step_up_required",
        "trust in a device proves nothing about who sits at it"
    );
    assert_eq!(
        log_in("anna", "wrong").await.problem(),
        "invalid_credentials"
    );
    for _ in 0..6 {
        let guess = json!({"login": "anna", "password": "wrong"});
        app.anonymous().post("/api/auth/login", guess).await;
    }
    assert_eq!(app.login("anna").await.status, 429);
    let answer = log_in("anna", PASSWORD).await;
    assert_eq!(
        answer.status, 200,
        "who guesses elsewhere does not keep them out"
    );
    assert_eq!(app.login("anna").await.status, 429, "nor is let off");
    let other = log_in("bert", PASSWORD).await;
    assert_eq!(other.body["status"], "mfa_required", "it is not theirs");
    let renewed = client
        .post(&format!("{OWN}/recovery-codes"), json!({}))
        .await;
    assert_eq!(renewed.status, 200, "{}", renewed.body);
    app.clock.advance(TimeDelta::seconds(30));
    let after = log_in("anna", PASSWORD).await;
    assert_eq!(
        after.body["status"], "mfa_required",
        "a change of factors ends the trust"
    );
    drop(bert);
}

#[actix_web::test]
async fn secrets_outlive_the_key_that_they_were_sealed_under() {
    let app = TestApp::spawn().await;
    let anna = Person::enrolled(&app, "anna").await;
    let former = SecretKey::parse(&"0123456789abcdefa".repeat(4)[..64]).unwrap();
    let new = [7; 32];
    let rotating = Sealer::new(&new, Some(former.expose()));
    assert_eq!(totp::reseal(&app.state.db, &rotating).await.unwrap(), 1);
    assert_eq!(totp::reseal(&app.state.db, &rotating).await.unwrap(), 0);
    let secret: Vec<u8> = sqlx::query_scalar("SELECT secret FROM mfa_factors")
        .fetch_one(&mut app.sql().await)
        .await
        .unwrap();
    let label = format!("totp {}", anna.client.user_id);
    assert!(Sealer::new(&new, None).open(&label, &secret).is_ok());
    let stranger = Sealer::new(&[8; 32], None);
    let left = totp::reseal(&app.state.db, &stranger).await.unwrap();
    assert_eq!(
        left, 0,
        "what does not open is left for the key that it needs"
    );
}
