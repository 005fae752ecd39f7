//! Factors that are demanded, added and removed.

use chrono::TimeDelta;
use gatepost::clock::Clock as _;
use serde_json::{Value, json};

use super::{OWN, Person, Post, enrol_totp, fresh_code, oathtool, pending, texts, verify};
use crate::{
    harness::{Answer, Client, PASSWORD, TestApp},
    soft_key::SoftKey,
    tenants::Tenant,
};

const ENROL: &str = "/api/auth/mfa/enrol";
const CONFIRM: &str = "/api/auth/mfa/enrol/confirm";

#[actix_web::test]
async fn an_authenticator_app_gets_a_secret_a_link_and_a_picture() {
    let app = TestApp::spawn().await;
    let client = app.user("anna").await;
    let begun = client
        .post(&format!("{OWN}/totp"), json!({"label": "phone"}))
        .await;
    let secret = begun.body["secret"].as_str().unwrap();
    assert_eq!(secret.len(), 32, "160 bits in base32");
    let uri = begun.body["otpauth_uri"].as_str().unwrap();
    assert!(uri.starts_with("otpauth://totp/localhost:anna%40example.com?"));
    assert!(uri.contains(secret) && uri.contains("issuer=localhost"));
    assert!(begun.body["qr_svg"].as_str().unwrap().contains("<svg"));
    assert_eq!(begun.header("cache-control"), "no-store");
    let own = client.get(OWN).await;
    let nothing = json!({
        "factors": [], "recovery_codes_left": 0, "required": false, "step_up": ["password"],
    });
    assert_eq!(own.body, nothing, "not before it is confirmed");
    assert_eq!(app.login("anna").await.body["status"], "authenticated");

    let confirm = async |code: &str| {
        client
            .post(&format!("{OWN}/totp/confirm"), json!({"code": code}))
            .await
    };
    let wrong = confirm("12345").await;
    assert_eq!((wrong.status, wrong.problem()), (401, "invalid_code"));
    let confirmed = confirm(&oathtool(&app, secret)).await;
    assert_eq!(confirmed.body["factor"]["kind"], "totp");
    assert_eq!(confirmed.body["factor"]["label"], "phone");
    let codes = texts(&confirmed.body["recovery_codes"]);
    assert_eq!(codes.len(), 10);
    let again = client.post(&format!("{OWN}/totp"), json!({})).await;
    assert_eq!((again.status, again.problem()), (409, "conflict"));
    let token = pending(&app, "anna").await;
    let used = verify(&app, &token, "totp", &oathtool(&app, secret)).await;
    assert_eq!(used.problem(), "invalid_code", "the code that confirmed");
}

#[actix_web::test]
async fn a_new_factor_ends_other_sessions_and_is_told_by_mail() {
    let post = Post::with(&[]).await;
    let app = &post.app;
    let client = app.user("anna").await;
    let other = app.log_in("anna").await;
    enrol_totp(app, &client).await;
    assert_eq!(client.get(OWN).await.status, 200);
    assert_eq!(other.get(OWN).await.status, 401);
    let mail = post.mail("anna@example.com", "authenticator app", 1).await;
    assert!(mail.contains("token=gpl_"), "{mail}");
    let begun = client.post(&format!("{OWN}/email"), json!({})).await;
    assert_eq!(begun.status, 200, "the proof of the app is fresh");
    let code = json!({"code": post.code("anna", 1).await});
    let second = client.post(&format!("{OWN}/email/confirm"), code).await;
    assert_eq!(second.status, 200, "{}", second.body);
    assert!(
        second.body.get("recovery_codes").is_none(),
        "only the first brings codes"
    );
    let answer = app.login("anna").await;
    let factors = json!(["totp", "email", "recovery_code"]);
    assert_eq!(answer.body["factors"], factors, "the strongest first");
}

#[actix_web::test]
async fn the_last_factor_takes_the_recovery_codes_with_it() {
    let post = Post::with(&[]).await;
    let app = &post.app;
    let anna = Person::enrolled(app, "anna").await;
    let own = anna.client.get(OWN).await;
    let id = own.body["factors"][0]["id"].as_str().unwrap().to_owned();
    let path = format!("{OWN}/factors/{id}");
    let bert = app.user("bert").await;
    assert_eq!(bert.delete(&path).await.status, 404, "not one's own");
    assert_eq!(anna.client.delete(&path).await.status, 204);
    assert_eq!(anna.client.delete(&path).await.status, 404);
    let own = anna.client.get(OWN).await;
    assert_eq!(own.body["factors"], json!([]));
    assert_eq!(own.body["recovery_codes_left"], 0);
    assert_eq!(app.login("anna").await.body["status"], "authenticated");
    post.mail("anna@example.com", "removed", 1).await;
}

#[actix_web::test]
async fn removing_one_of_two_factors_leaves_the_other_and_the_codes() {
    let post = Post::with(&[]).await;
    let app = &post.app;
    let client = post.enrol_email("anna").await;
    let (_, confirmed) = enrol_totp(app, &client).await;
    let id = confirmed.body["factor"]["id"].as_str().unwrap();
    let removed = client.delete(&format!("{OWN}/factors/{id}")).await;
    assert_eq!(removed.status, 204);
    let own = client.get(OWN).await;
    assert_eq!(own.body["factors"][0]["kind"], "email");
    assert_eq!(own.body["recovery_codes_left"], 10);
}

async fn demanded(app: &TestApp, login: &str) -> String {
    let answer = app.login(login).await;
    assert_eq!(answer.body["status"], "mfa_enrolment_required");
    assert_eq!(answer.body["factors"], json!(["webauthn", "totp", "email"]));
    answer.body["mfa_token"].as_str().unwrap().to_owned()
}

async fn call(app: &TestApp, path: &str, token: &str, mut body: Value) -> Answer {
    body["mfa_token"] = json!(token);
    app.anonymous().post(path, body).await
}

/// A user who registers by themselves.
async fn registered(app: &TestApp, name: &str) {
    let new =
        json!({"email": format!("{name}@example.com"), "username": name, "password": PASSWORD});
    assert_eq!(app.anonymous().post("/api/register", new).await.status, 202);
}

#[actix_web::test]
async fn who_must_have_a_factor_enrols_it_right_after_the_password() {
    let settings = [("MFA_REQUIRED", "all"), ("REGISTRATION_MODE", "open")];
    let app = TestApp::with(&settings).await;
    registered(&app, "anna").await;
    let token = demanded(&app, "anna").await;
    let early = call(
        &app,
        super::VERIFY,
        &token,
        json!({"factor": "totp", "code": "0"}),
    )
    .await;
    assert_eq!(early.problem(), "invalid_token");
    let begun = call(
        &app,
        ENROL,
        &token,
        json!({"factor": "totp", "label": "phone"}),
    )
    .await;
    assert_eq!(begun.status, 200, "{}", begun.body);
    let secret = begun.body["secret"].as_str().unwrap();
    let code = json!({"factor": "totp", "code": oathtool(&app, secret)});
    let answer = call(&app, CONFIRM, &token, code.clone()).await;
    assert_eq!(texts(&answer.body["recovery_codes"]).len(), 10);
    let client = app.anonymous().with_tokens(&answer);
    let own = client.get(OWN).await;
    assert_eq!(own.body["required"], true);
    assert_eq!(own.body["factors"][0]["label"], "phone");
    let again = call(&app, CONFIRM, &token, code).await;
    assert_eq!(again.problem(), "invalid_token");
    let id = own.body["factors"][0]["id"].as_str().unwrap();
    let last = client.delete(&format!("{OWN}/factors/{id}")).await;
    assert_eq!((last.status, last.problem()), (409, "last_factor"));
    let token = pending(&app, "anna").await;
    let answer = verify(&app, &token, "totp", &fresh_code(&app, secret)).await;
    assert_eq!(answer.body["status"], "authenticated");
}

#[actix_web::test]
async fn a_demanded_factor_may_be_codes_by_mail() {
    let settings = [("MFA_REQUIRED", "all"), ("REGISTRATION_MODE", "open")];
    let post = Post::with(&settings).await;
    let app = &post.app;
    registered(app, "anna").await;
    let token = demanded(app, "anna").await;
    let begun = call(app, ENROL, &token, json!({"factor": "email"})).await;
    assert_eq!(begun.body["status"], "code_sent", "{}", begun.body);
    let code = post.code("anna", 1).await;
    let other = demanded(app, "anna").await;
    let body = json!({"factor": "email", "code": code});
    let elsewhere = call(app, CONFIRM, &other, body.clone()).await;
    assert_eq!(elsewhere.problem(), "invalid_code");
    let answer = call(app, CONFIRM, &token, body).await;
    assert_eq!(answer.body["status"], "authenticated", "{}", answer.body);
    assert_eq!(texts(&answer.body["recovery_codes"]).len(), 10);
    let late = call(
        app,
        CONFIRM,
        &other,
        json!({"factor": "email", "code": "0"}),
    )
    .await;
    assert_eq!(
        late.problem(),
        "invalid_token",
        "a change ends what is pending"
    );
}

#[actix_web::test]
async fn a_demanded_factor_may_be_a_passkey_or_a_security_key() {
    let settings = [("MFA_REQUIRED", "all"), ("REGISTRATION_MODE", "open")];
    let app = TestApp::with(&settings).await;
    for (name, kind, verifies) in [("anna", "passkey", true), ("bert", "security_key", false)] {
        registered(&app, name).await;
        let token = demanded(&app, name).await;
        let wrong = json!({"factor": "totp", "kind": kind});
        let wrong = call(&app, ENROL, &token, wrong).await;
        assert_eq!(wrong.body["errors"][0]["field"], "kind", "{}", wrong.body);
        let body = json!({"factor": "webauthn", "kind": kind, "label": name});
        let options = call(&app, ENROL, &token, body).await;
        assert_eq!(options.status, 200, "{}", options.body);
        let none = call(&app, CONFIRM, &token, json!({"factor": "webauthn"})).await;
        assert_eq!(
            none.body["errors"][0]["field"], "credential",
            "{}",
            none.body
        );
        let mut key = SoftKey::new(verifies);
        let credential = key.create(&options.body);
        let body = json!({"factor": "webauthn", "credential": credential});
        let other = demanded(&app, name).await;
        let elsewhere = call(&app, CONFIRM, &other, body.clone()).await;
        assert_eq!(elsewhere.body["errors"][0]["code"], "unknown_challenge");
        let uses = (0..10).map(|_| call(&app, CONFIRM, &token, body.clone()));
        let answers = futures_util::future::join_all(uses).await;
        let mut right = answers.iter().filter(|answer| answer.status == 200);
        let answer = right.next().expect("one of them counts");
        assert!(right.next().is_none(), "and no other");
        assert_eq!(texts(&answer.body["recovery_codes"]).len(), 10);
        let client = app.anonymous().with_tokens(answer);
        let own = client.get(OWN).await;
        assert_eq!(own.body["factors"][0]["kind"], "webauthn");
        assert_eq!(own.body["factors"][0]["label"], name);
        let sessions = client.get("/api/users/me/sessions").await;
        let amr = json!(["pwd", "hwk", "user", "mfa"]);
        assert_eq!(sessions.body["items"][0]["amr"], amr);
        let token = pending(&app, name).await;
        let challenge = json!({"factor": "webauthn"});
        let options = call(&app, super::CHALLENGE, &token, challenge).await;
        let body = json!({"factor": "webauthn", "credential": key.get(&options.body)});
        let answer = call(&app, super::VERIFY, &token, body).await;
        assert_eq!(answer.body["status"], "authenticated", "{}", answer.body);
    }
}

#[actix_web::test]
async fn an_organization_may_ask_all_who_hold_a_role_in_it_for_a_factor() {
    let app = TestApp::spawn().await;
    let admin = app.admin().await;
    let (anna, bert) = (app.user("anna").await, app.user("bert").await);
    let acme = Tenant::create(&admin, "Acme").await;
    let path = acme.organization_path();
    let given = json!({
        "principal": {"type": "user", "id": bert.user_id}, "role": "viewer",
        "resource": acme.resource("project"), "expires_at": app.clock.now() + TimeDelta::hours(1),
    });
    let given = admin.post("/api/role-assignments", given).await;
    assert_eq!(given.status, 201, "{}", given.body);
    assert_eq!(app.login("bert").await.body["status"], "authenticated");
    assert_eq!(admin.get(&path).await.body["mfa_required"], false);
    let refused = bert.patch(&path, json!({"mfa_required": true})).await;
    assert_eq!(refused.status, 404, "it is above what they see");
    let changed = admin.patch(&path, json!({"mfa_required": true})).await;
    assert_eq!(changed.body["mfa_required"], true, "{}", changed.body);
    demanded(&app, "bert").await;
    assert_eq!(bert.get(OWN).await.body["required"], true);
    assert_eq!(anna.get(OWN).await.body["required"], false, "no role there");
    assert_eq!(app.login("anna").await.body["status"], "authenticated");
    let entries = admin
        .get("/api/admin/audit?action=organization.updated")
        .await;
    let details = &entries.body["items"][0]["details"];
    assert_eq!(
        *details,
        json!({"mfa_required": {"from": false, "to": true}})
    );
    app.clock.advance(TimeDelta::hours(2));
    let expired = app.login("bert").await;
    assert_eq!(
        expired.body["status"], "authenticated",
        "the role has ended"
    );
}

#[actix_web::test]
async fn administrators_alone_may_be_asked_for_a_factor() {
    let app = TestApp::with(&[("REGISTRATION_MODE", "open")]).await;
    registered(&app, "anna").await;
    let admin = app.admin().await;
    let second = app.second_with(&[("MFA_REQUIRED", "admins")]).await;
    assert_eq!(second.login("anna").await.body["status"], "authenticated");
    demanded(&second, "admin@example.com").await;
    let anna = second.log_in("anna").await;
    assert_eq!(anna.get(OWN).await.body["required"], false);
    let admin = admin.at(&second);
    assert_eq!(admin.get(OWN).await.body["required"], true);
    let auditor = json!({
        "principal": {"type": "user", "id": anna.user_id},
        "role": "auditor", "resource": {"type": "system"},
    });
    let given = admin.post("/api/role-assignments", auditor).await;
    assert_eq!(given.status, 201, "{}", given.body);
    demanded(&second, "anna").await;
    second.stop().await;
}

async fn reset(admin: &Client, id: &str) -> Answer {
    let path = format!("/api/admin/users/{id}/reset-mfa");
    admin.put(&path, json!({"reason": "lost the phone"})).await
}

#[actix_web::test]
async fn an_administrator_removes_the_factors_of_someone_who_lost_them() {
    let post = Post::with(&[]).await;
    let app = &post.app;
    let anna = Person::enrolled(app, "anna").await;
    let id = anna.client.user_id.clone();
    let token = anna.pending(app).await;
    let admin = app.admin().await;
    let answer = reset(&admin, &id).await;
    assert_eq!((answer.status, answer.id()), (200, id.clone()));
    assert_eq!(anna.client.get(OWN).await.status, 401, "sessions end");
    let code = fresh_code(app, &anna.secret);
    let late = verify(app, &token, "totp", &code).await;
    assert_eq!(late.problem(), "invalid_token");
    let client = app.log_in("anna").await;
    assert_eq!(client.get(OWN).await.body["recovery_codes_left"], 0);
    assert_eq!(
        reset(&admin, &id).await.status,
        200,
        "again changes nothing"
    );
    assert_eq!(client.get(OWN).await.status, 200);

    let path = format!("/api/admin/audit?action=user.mfa_reset&target_id={id}");
    let entries = admin.get(&path).await;
    assert_eq!(entries.body["items"].as_array().unwrap().len(), 1);
    let details = &entries.body["items"][0]["details"];
    assert_eq!(*details, json!({"reason": "lost the phone", "factors": 1}));
    post.mail("anna@example.com", "administrator", 1).await;
}

#[actix_web::test]
async fn nobody_resets_their_own_factors_or_those_of_someone_above() {
    let app = TestApp::spawn().await;
    let admin = app.admin().await;
    let own = reset(&admin, &admin.user_id).await;
    assert_eq!((own.status, own.problem()), (403, "forbidden"));
    let helper = app.user("helper").await;
    let sql = "INSERT INTO roles (id, key, name, permissions, assignable_at, created_at, updated_at) \
               VALUES (gen_random_uuid(), 'helpdesk', 'Helpdesk', '{user:read,user:update}', '{system}', now(), now())";
    sqlx::query(sql)
        .execute(&mut app.sql().await)
        .await
        .unwrap();
    let sql = format!(
        "INSERT INTO user_role_assignments (id, principal_type, user_id, role_id, resource_type, created_at) \
         SELECT gen_random_uuid(), 'user', '{}', id, 'system', now() FROM roles WHERE key = 'helpdesk'",
        helper.user_id
    );
    sqlx::query(sqlx::AssertSqlSafe(sql))
        .execute(&mut app.sql().await)
        .await
        .unwrap();
    app.clock.advance(TimeDelta::seconds(1));
    let above = reset(&helper, &admin.user_id).await;
    assert_eq!((above.status, above.problem()), (403, "forbidden"));
    let anna = Person::enrolled(&app, "anna").await;
    assert_eq!(reset(&helper, &anna.client.user_id).await.status, 200);
    let unknown = uuid::Uuid::now_v7().to_string();
    assert_eq!(reset(&admin, &unknown).await.status, 404);
}
