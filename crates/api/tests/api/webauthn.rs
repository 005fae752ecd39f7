//! Passkeys and security keys, with an authenticator in software that also does what none should.
//! What a real browser does is tried in `tests/browser`.

use chrono::TimeDelta;
use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::{
    harness::{Answer, Client, PASSWORD, TestApp},
    soft_key::SoftKey,
};

const PATH: &str = "/api/users/me/mfa/webauthn";

async fn options(user: &Client, kind: &str) -> Value {
    let answer = user
        .post(&format!("{PATH}/options"), json!({"kind": kind}))
        .await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.body
}

async fn enrol(user: &Client, kind: &str) -> SoftKey {
    let mut key = SoftKey::new(kind == "passkey");
    let credential = key.create(&options(user, kind).await);
    let answer = user
        .post(PATH, json!({"credential": credential, "label": kind}))
        .await;
    assert_eq!(answer.status, 201, "{answer:?}");
    key
}

/// The token of a login whose password was right.
async fn pending(app: &TestApp, name: &str) -> String {
    let answer = app.login(name).await;
    assert_eq!(answer.body["status"], "mfa_required", "{answer:?}");
    answer.body["mfa_token"].as_str().unwrap().to_owned()
}

async fn challenge(app: &TestApp, token: &str) -> Value {
    let body = json!({"mfa_token": token, "factor": "webauthn"});
    let answer = app.anonymous().post("/api/auth/mfa/challenge", body).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.body
}

async fn verify(app: &TestApp, token: &str, credential: &Value) -> Answer {
    let body = json!({"mfa_token": token, "factor": "webauthn", "credential": credential});
    app.anonymous().post("/api/auth/mfa/verify", body).await
}

async fn passkey_options(app: &TestApp) -> Value {
    let answer = app
        .anonymous()
        .post("/api/auth/passkey/options", json!({}))
        .await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.body
}

async fn alone(app: &TestApp, credential: &Value) -> Answer {
    let body = json!({"credential": credential});
    app.anonymous().post("/api/auth/passkey/verify", body).await
}

/// Mails so far, sent or not.
async fn mails(app: &TestApp) -> i64 {
    let sql = "SELECT count(*) FROM outbox";
    sqlx::query_scalar(sql)
        .fetch_one(&mut app.sql().await)
        .await
        .unwrap()
}

async fn kinds(user: &Client) -> Vec<Value> {
    let activity = user.get("/api/users/me/activity?limit=200").await;
    let entries = activity.body["items"].as_array().unwrap();
    entries.iter().map(|entry| entry["kind"].clone()).collect()
}

#[actix_web::test]
async fn a_security_key_is_asked_after_the_password_and_answers_once() {
    let app = TestApp::spawn().await;
    let user = app.user("anna").await;
    let mut key = enrol(&user, "security_key").await;
    let token = pending(&app, "anna").await;
    let credential = key.get(&challenge(&app, &token).await);
    let answers = join_all((0..20).map(|_| verify(&app, &token, &credential))).await;
    let right = answers.iter().filter(|answer| answer.status == 200).count();
    assert_eq!(right, 1);
    let again = verify(&app, &token, &credential).await;
    assert_eq!(again.status, 401);
    let next = pending(&app, "anna").await;
    challenge(&app, &next).await;
    assert_eq!(
        verify(&app, &next, &credential).await.status,
        401,
        "of another login"
    );
}

#[actix_web::test]
async fn the_first_credential_brings_recovery_codes_and_the_second_does_not() {
    let app = TestApp::spawn().await;
    let user = app.user("anna").await;
    for (kind, codes) in [("passkey", Some(10)), ("security_key", None)] {
        let credential = SoftKey::new(true).create(&options(&user, kind).await);
        let answer = user
            .post(PATH, json!({"credential": credential, "label": kind}))
            .await;
        assert_eq!(answer.status, 201, "{answer:?}");
        assert_eq!(answer.body["factor"]["kind"], "webauthn");
        assert_eq!(answer.body["factor"]["label"], kind);
        assert_eq!(
            answer.body["recovery_codes"].as_array().map(Vec::len),
            codes
        );
    }
    let listed = user.get("/api/users/me/mfa").await;
    assert_eq!(listed.body["factors"].as_array().unwrap().len(), 2);
}

#[actix_web::test]
async fn a_passkey_logs_in_alone() {
    let app = TestApp::spawn().await;
    let user = app.user("anna").await;
    let mut key = enrol(&user, "passkey").await;
    let credential = key.get(&passkey_options(&app).await);
    let answers = join_all((0..20).map(|_| alone(&app, &credential))).await;
    let right: Vec<_> = answers
        .iter()
        .filter(|answer| answer.status == 200)
        .collect();
    assert_eq!(right.len(), 1);
    assert_eq!(right[0].body["user"]["username"], "anna");
    for wrong in answers.iter().filter(|answer| answer.status != 200) {
        assert_eq!(
            (wrong.status, wrong.problem()),
            (401, "invalid_credentials")
        );
    }
    let session = app.anonymous().with_tokens(right[0]);
    let sessions = session.get("/api/users/me/sessions").await;
    assert_eq!(
        sessions.body["items"][0]["amr"],
        json!(["hwk", "user", "mfa"])
    );
}

#[actix_web::test]
async fn whoever_does_not_log_in_with_a_passkey_learns_nothing() {
    let app = TestApp::spawn().await;
    let user = app.user("anna").await;
    let mut passkey = enrol(&user, "passkey").await;
    let mut security_key = enrol(&user, "security_key").await;
    let refused = async |credential: Value| {
        let answer = alone(&app, &credential).await;
        assert_eq!(
            (answer.status, answer.problem()),
            (401, "invalid_credentials")
        );
        let mut body = answer.body;
        body["request_id"] = Value::Null;
        body
    };
    let handle = passkey.user_handle.clone();
    let mut answers = Vec::new();
    let mut stranger = SoftKey::new(true);
    stranger.user_handle.clone_from(&handle);
    answers.push(refused(stranger.get(&passkey_options(&app).await)).await);
    // It verifies its user, but was never enrolled to log in alone.
    security_key.verifies = true;
    security_key.user_handle.clone_from(&handle);
    answers.push(refused(security_key.get(&passkey_options(&app).await)).await);
    passkey.verifies = false;
    answers.push(refused(passkey.get(&passkey_options(&app).await)).await);
    passkey.verifies = true;
    for user_handle in [
        None,
        Some("AAAA".to_owned()),
        Some("AAAAAAAAAAAAAAAAAAAAAA".to_owned()),
    ] {
        passkey.user_handle = user_handle;
        answers.push(refused(passkey.get(&passkey_options(&app).await)).await);
    }
    passkey.user_handle = handle;
    for origin in [
        "http://localhost:8005",
        "https://localhost:8004",
        "http://localhost.evil.example:8004",
        "http://evil.example",
        "null",
    ] {
        passkey.origin = origin.to_owned();
        let answer = alone(&app, &passkey.get(&passkey_options(&app).await)).await;
        assert!([400, 401].contains(&answer.status), "{origin}: {answer:?}");
    }
    passkey.origin = crate::soft_key::ORIGIN.to_owned();
    let mut forged = passkey.get(&passkey_options(&app).await);
    forged["response"]["signature"] = json!("MEQCIAAA");
    answers.push(refused(forged).await);
    let own = json!({"publicKey": {"challenge": "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "rpId": "localhost"}});
    answers.push(refused(passkey.get(&own)).await);
    assert!(
        answers.iter().all(|answer| *answer == answers[0]),
        "{answers:#?}"
    );
    let right = alone(&app, &passkey.get(&passkey_options(&app).await)).await;
    assert_eq!(right.status, 200, "{right:?}");
}

#[actix_web::test]
async fn a_challenge_is_good_for_five_minutes_and_for_one_purpose() {
    let app = TestApp::spawn().await;
    let user = app.user("anna").await;
    let mut key = enrol(&user, "passkey").await;
    let late = key.get(&passkey_options(&app).await);
    app.clock.advance(TimeDelta::minutes(5));
    assert_eq!(alone(&app, &late).await.status, 401);

    let token = pending(&app, "anna").await;
    let second = challenge(&app, &token).await;
    assert_eq!(
        alone(&app, &key.get(&second)).await.status,
        401,
        "a second factor alone"
    );
    let first = key.get(&passkey_options(&app).await);
    assert_eq!(
        verify(&app, &token, &first).await.status,
        401,
        "one alone as a second"
    );
    let credential = key.get(&challenge(&app, &token).await);
    assert_eq!(verify(&app, &token, &credential).await.status, 200);
}

#[actix_web::test]
async fn a_counter_that_does_not_grow_is_refused_and_told() {
    let app = TestApp::spawn().await;
    let user = app.user("anna").await;
    let mut key = enrol(&user, "passkey").await;
    for _ in 0..2 {
        let answer = alone(&app, &key.get(&passkey_options(&app).await)).await;
        assert_eq!(answer.status, 200);
    }
    let copy = key.sign(&passkey_options(&app).await);
    let before = mails(&app).await;
    let answer = alone(&app, &copy).await;
    assert_eq!(mails(&app).await, before + 1);
    assert_eq!(
        (answer.status, answer.problem()),
        (401, "invalid_credentials")
    );
    assert!(
        kinds(&user)
            .await
            .contains(&json!("security_key_possibly_copied"))
    );
    // Two challenges that were open at once: the counter is compared with what is stored now.
    let token = pending(&app, "anna").await;
    let (older, newer) = (passkey_options(&app).await, challenge(&app, &token).await);
    let first = key.get(&older);
    let second = key.sign(&newer);
    assert_eq!(alone(&app, &first).await.status, 200);
    assert_eq!(verify(&app, &token, &second).await.status, 401);
}

#[actix_web::test]
async fn keys_that_do_not_count_are_not_suspected() {
    let app = TestApp::spawn().await;
    let user = app.user("anna").await;
    let key = enrol(&user, "passkey").await;
    for _ in 0..3 {
        let answer = alone(&app, &key.sign(&passkey_options(&app).await)).await;
        assert_eq!(answer.status, 200, "{answer:?}");
    }
}

#[actix_web::test]
async fn nobody_registers_what_they_did_not_ask_for_or_what_others_have() {
    let app = TestApp::spawn().await;
    let (user, other) = (app.user("anna").await, app.user("ben").await);
    let mut key = SoftKey::new(true);
    let open = options(&user, "passkey").await;
    let credential = key.create(&open);
    let finish = async |client: &Client, credential: &Value| {
        client.post(PATH, json!({"credential": credential})).await
    };
    let stolen = finish(&other, &credential).await;
    assert_eq!(
        (stolen.status, stolen.problem()),
        (400, "validation_failed")
    );
    assert_eq!(finish(&user, &credential).await.status, 201);
    let again = finish(&user, &credential).await;
    assert_eq!((again.status, again.problem()), (400, "validation_failed"));

    let taken = finish(&other, &key.create(&options(&other, "passkey").await)).await;
    assert_eq!((taken.status, taken.problem()), (409, "conflict"));
    let excluded = options(&user, "passkey").await;
    let ids = &excluded["publicKey"]["excludeCredentials"];
    assert_eq!(ids[0]["id"], credential["id"]);
    let twice = finish(&user, &key.create(&excluded)).await;
    assert_eq!((twice.status, twice.problem()), (400, "validation_failed"));

    // A passkey has to verify its user.
    let mut lax = SoftKey::new(false);
    let answer = finish(&user, &lax.create(&options(&user, "passkey").await)).await;
    assert_eq!(
        (answer.status, answer.problem()),
        (400, "validation_failed")
    );
    let mut foreign = SoftKey::new(true);
    foreign.origin = "https://evil.example".to_owned();
    let answer = finish(&user, &foreign.create(&options(&user, "passkey").await)).await;
    assert_eq!(
        (answer.status, answer.problem()),
        (400, "validation_failed")
    );
    for nonsense in [
        json!({}),
        json!(1),
        json!({"id": "\u{0}", "rawId": "!", "type": "x", "response": {}}),
    ] {
        let answer = finish(&user, &nonsense).await;
        assert_eq!(
            (answer.status, answer.problem()),
            (400, "validation_failed"),
            "{nonsense}"
        );
    }
}

#[actix_web::test]
async fn enrolling_takes_a_fresh_proof_and_ends_other_sessions() {
    let app = TestApp::spawn().await;
    let user = app.user("anna").await;
    let other = app.log_in("anna").await;
    enrol(&user, "passkey").await;
    assert_eq!(user.get("/api/users/me").await.status, 200);
    assert_eq!(other.get("/api/users/me").await.status, 401);
    app.clock
        .advance(TimeDelta::minutes(5) + TimeDelta::seconds(1));
    let refreshed = json!({"refresh_token": user.refresh_token});
    let answer = app.anonymous().post("/api/auth/refresh", refreshed).await;
    let user = app.anonymous().with_tokens(&answer);
    let answer = user.post(&format!("{PATH}/options"), json!({})).await;
    assert_eq!((answer.status, answer.problem()), (403, "step_up_required"));
}

#[actix_web::test]
async fn there_is_a_last_credential_that_may_be_added() {
    let app = TestApp::spawn().await;
    let user = app.user("anna").await;
    for _ in 0..20 {
        enrol(&user, "security_key").await;
    }
    let answer = user.post(&format!("{PATH}/options"), json!({})).await;
    assert_eq!((answer.status, answer.problem()), (409, "conflict"));
}

#[actix_web::test]
async fn who_may_not_come_in_does_not_by_passkey_either() {
    let app = TestApp::spawn().await;
    let user = app.user("anna").await;
    let mut key = enrol(&user, "passkey").await;
    let admin = app.admin().await;
    let path = format!("/api/admin/users/{}/disable", user.user_id);
    assert_eq!(admin.put(&path, json!({})).await.status, 200);
    let answer = alone(&app, &key.get(&passkey_options(&app).await)).await;
    assert_eq!((answer.status, answer.problem()), (403, "account_disabled"));
}

#[actix_web::test]
async fn a_removed_passkey_opens_nothing() {
    let app = TestApp::spawn().await;
    let user = app.user("anna").await;
    let mut key = enrol(&user, "passkey").await;
    let open = passkey_options(&app).await;
    let listed = user.get("/api/users/me/mfa").await;
    let id = listed.body["factors"][0]["id"].as_str().unwrap();
    let credential = key.get(&passkey_options(&app).await);
    let again = app.anonymous().with_tokens(&alone(&app, &credential).await);
    let answer = again
        .delete(&format!("/api/users/me/mfa/factors/{id}"))
        .await;
    assert_eq!(answer.status, 204, "{answer:?}");
    assert_eq!(alone(&app, &key.get(&open)).await.status, 401);
    assert_eq!(app.login("anna").await.body["status"], "authenticated");
}

#[actix_web::test]
async fn a_passkey_steps_up_once() {
    let app = TestApp::spawn().await;
    let user = app.user("anna").await;
    let mut key = enrol(&user, "passkey").await;
    let ask = json!({"factor": "webauthn"});
    let asked = user.post("/api/auth/step-up/challenge", ask).await;
    assert_eq!(asked.status, 200, "{asked:?}");
    let credential = key.get(&asked.body);
    let prove = json!({"factor": "webauthn", "credential": credential});
    let answer = user.post("/api/auth/step-up", prove.clone()).await;
    assert_eq!(
        (answer.status, &answer.body["status"]),
        (200, &json!("stepped_up")),
        "{answer:?}"
    );
    assert_eq!(user.post("/api/auth/step-up", prove).await.status, 401);
    let password = json!({"password": PASSWORD});
    assert_eq!(
        user.post("/api/auth/step-up", password).await.status,
        403,
        "too weak now"
    );
}

#[actix_web::test]
async fn trusting_a_device_saves_the_second_factor_until_it_ends() {
    let app = TestApp::spawn().await;
    let user = app.user("anna").await;
    let mut key = enrol(&user, "security_key").await;
    let token = pending(&app, "anna").await;
    let credential = key.get(&challenge(&app, &token).await);
    let body = json!({
        "mfa_token": token, "factor": "webauthn", "credential": credential,
        "trust_device": true, "device_name": "The laptop",
    });
    let answer = app.anonymous().post("/api/auth/mfa/verify", body).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let device_token = answer.body["device_token"].as_str().unwrap().to_owned();
    let user = app.anonymous().with_tokens(&answer);
    let login = async |device_token: &str| {
        let login = json!({"login": "anna", "password": PASSWORD, "device_token": device_token});
        let answer = app.anonymous().post("/api/auth/login", login).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.body["status"].as_str().unwrap().to_owned()
    };
    assert_eq!(login(&device_token).await, "authenticated");
    assert_eq!(login("gpd_nonsense").await, "mfa_required");
    assert_eq!(login(&user.refresh_token).await, "mfa_required");
    let devices = user.get("/api/users/me/devices").await;
    assert_eq!(devices.body["items"][0]["name"], "The laptop");
    let id = devices.body["items"][0]["id"].as_str().unwrap();
    assert_eq!(
        user.delete(&format!("/api/users/me/devices/{id}"))
            .await
            .status,
        204
    );
    assert_eq!(login(&device_token).await, "mfa_required");
}

#[actix_web::test]
async fn an_installation_without_a_host_name_has_no_passkeys_and_says_so() {
    let app = TestApp::with(&[("PUBLIC_URL", "http://127.0.0.1:8004")]).await;
    let answer = app
        .anonymous()
        .post("/api/auth/passkey/options", json!({}))
        .await;
    assert_eq!((answer.status, answer.problem()), (409, "conflict"));
}
