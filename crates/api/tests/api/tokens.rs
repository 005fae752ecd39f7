//! Introspection (RFC 7662) and revocation (RFC 7009).

use base64::{Engine as _, engine::general_purpose::STANDARD};
use chrono::TimeDelta;
use serde_json::{Value, json};

use crate::{
    api_keys::{by_key, secret},
    harness::{Answer, Client, TestApp},
    service_accounts::{hire, key_of, service_account},
};

const INTROSPECT: &str = "/api/auth/introspect";
const REVOKE: &str = "/api/auth/revoke";
const FORM: &str = "application/x-www-form-urlencoded";

/// A resource server: a service account whose key may ask about tokens.
async fn resource_server(app: &TestApp, admin: &Client) -> (String, Client) {
    let id = service_account(admin, "resource server").await;
    hire(admin, &id, "application", json!({"type": "system"})).await;
    let key = key_of(admin, &id, json!(["token:introspect"])).await;
    (id, by_key(app, &secret(&key)))
}

async fn send(client: &Client, path: &str, form: &str) -> Answer {
    client
        .raw("POST", path, Some((FORM, form.as_bytes().to_vec())), &[])
        .await
}

async fn introspect(client: &Client, token: &str) -> Value {
    let answer = send(client, INTROSPECT, &format!("token={token}")).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.header("cache-control"), "no-store");
    answer.body
}

#[actix_web::test]
async fn of_a_token_that_counts_it_is_said_whose_it_is() {
    let app = TestApp::spawn().await;
    let (admin, ada) = (app.admin().await, app.user("ada").await);
    let (_, server) = resource_server(&app, &admin).await;
    let said = introspect(&server, ada.token.as_deref().unwrap()).await;
    assert_eq!(said["active"], true);
    assert_eq!(said["token_use"], "access_token");
    assert_eq!(said["token_type"], "Bearer");
    assert_eq!(said["sub"], ada.user_id.as_str());
    assert_eq!(said["username"], "ada");
    assert_eq!(said["iss"], "http://localhost:8004");
    assert_eq!(said["aud"], "gatepost");
    assert_eq!(
        said["exp"].as_i64().unwrap() - said["iat"].as_i64().unwrap(),
        300
    );
    assert_eq!(said["amr"], json!(["pwd"]));
    assert_eq!(said["scope"], Value::Null);

    let refresh = introspect(&server, &ada.refresh_token).await;
    assert_eq!(refresh["token_use"], "refresh_token");
    assert_eq!(refresh["token_type"], Value::Null);
    assert_eq!(refresh["sid"], said["sid"]);
    let body = json!({"name": "k", "permissions": ["self:read"]});
    let made = ada.post("/api/users/me/api-keys", body).await;
    let key = introspect(&server, &secret(&made)).await;
    assert_eq!(key["token_use"], "api_key");
    assert_eq!(key["jti"], made.id());
    assert_eq!(key["permissions"], json!(["self:read"]));
    assert_eq!(key["principal_type"], "user");
    let own = introspect(&server, server.token.as_deref().unwrap()).await;
    assert_eq!(own["principal_type"], "service_account");
    assert_eq!(own["username"], "resource server");
    assert_eq!(
        own["roles"],
        json!([]),
        "the key does not leave the role whole"
    );
}

#[actix_web::test]
async fn of_anything_else_nothing_is_said_and_always_the_same() {
    let app = TestApp::spawn().await;
    let (admin, ada, bob) = (
        app.admin().await,
        app.user("ada").await,
        app.user("bob").await,
    );
    let (_, server) = resource_server(&app, &admin).await;
    let access = ada.token.clone().unwrap();
    let refreshed = ada
        .post(
            "/api/auth/refresh",
            json!({"refresh_token": ada.refresh_token}),
        )
        .await;
    assert_eq!(refreshed.status, 200);
    let revoked = ada
        .post(
            "/api/users/me/api-keys",
            json!({"name": "k", "permissions": ["self:read"]}),
        )
        .await;
    let path = format!("/api/users/me/api-keys/{}", revoked.id());
    assert_eq!(ada.delete(&path).await.status, 204);
    let inactive = json!({"active": false});
    for token in [
        "nonsense",
        "a.b.c",
        "gp_",
        "gpr_",
        "%00",
        "%FF",
        &format!("{}x", &access[..access.len() - 2]),
        &ada.refresh_token,
        &secret(&revoked),
        &"x".repeat(9000),
    ] {
        assert_eq!(introspect(&server, token).await, inactive, "{token}");
    }
    // At once when a session ends, a user is disabled, or time is up.
    assert_eq!(introspect(&server, &access).await["active"], true);
    assert_eq!(ada.post("/api/auth/logout", json!({})).await.status, 204);
    assert_eq!(introspect(&server, &access).await, inactive);
    let (token, refresh) = (bob.token.clone().unwrap(), bob.refresh_token.clone());
    assert_eq!(introspect(&server, &refresh).await["active"], true);
    app.clock.advance(TimeDelta::minutes(6));
    assert_eq!(introspect(&server, &token).await, inactive);
    assert_eq!(introspect(&server, &refresh).await["active"], true);
    let admin = admin
        .clone()
        .with_tokens(&app.login("admin@example.com").await);
    let disable = format!("/api/admin/users/{}/disable", bob.user_id);
    assert_eq!(admin.put(&disable, json!({})).await.status, 200);
    assert_eq!(introspect(&server, &refresh).await, inactive);
}

#[actix_web::test]
async fn only_those_who_may_ask_get_an_answer() {
    let app = TestApp::spawn().await;
    let (admin, ada) = (app.admin().await, app.user("ada").await);
    let form = format!("token={}", ada.token.as_deref().unwrap());
    for path in [INTROSPECT, REVOKE] {
        assert_eq!(send(&app.anonymous(), path, &form).await.status, 401);
        assert_eq!(send(&ada, path, &form).await.status, 403);
        let id = service_account(&admin, path).await;
        hire(&admin, &id, "application", json!({"type": "system"})).await;
        let other = key_of(&admin, &id, json!(["authz:evaluate"])).await;
        let other = by_key(&app, &secret(&other));
        assert_eq!(send(&other, path, &form).await.status, 403);
    }
    assert_eq!(ada.get("/api/users/me").await.status, 200);
}

#[actix_web::test]
async fn oauth_clients_may_send_id_and_key_by_http_basic() {
    let app = TestApp::spawn().await;
    let (admin, ada) = (app.admin().await, app.user("ada").await);
    let (id, server) = resource_server(&app, &admin).await;
    let key = server.token.clone().unwrap();
    let form = format!("token={}", ada.token.as_deref().unwrap()).into_bytes();
    let basic = |id: &str, key: &str| format!("Basic {}", STANDARD.encode(format!("{id}:{key}")));
    let post = async |path: &str, header: &str| {
        let headers = [("authorization", header)];
        let body = Some((FORM, form.clone()));
        app.anonymous()
            .raw("POST", path, body, &headers)
            .await
            .status
    };
    assert_eq!(post(INTROSPECT, &basic(&id, &key)).await, 200);
    assert_eq!(post(INTROSPECT, &basic(&ada.user_id, &key)).await, 401);
    assert_eq!(post(INTROSPECT, &basic(&id, "gp_x")).await, 401);
    assert_eq!(
        post(INTROSPECT, &basic(&id, ada.token.as_deref().unwrap())).await,
        401
    );
    assert_eq!(post(INTROSPECT, "Basic !").await, 401);
    assert_eq!(post("/access/v1/evaluation", &basic(&id, &key)).await, 401);
}

#[actix_web::test]
async fn forms_that_are_none_are_refused() {
    let app = TestApp::spawn().await;
    let admin = app.admin().await;
    let (_, server) = resource_server(&app, &admin).await;
    for path in [INTROSPECT, REVOKE] {
        for (body, status, code) in [
            (Some((FORM, b"".to_vec())), 400, "validation_failed"),
            (Some((FORM, b"token=".to_vec())), 400, "validation_failed"),
            (Some((FORM, b"hint=x".to_vec())), 400, "validation_failed"),
            (
                Some((FORM, b"token=a&token=b".to_vec())),
                400,
                "validation_failed",
            ),
            (
                Some(("application/json", b"{\"token\":\"a\"}".to_vec())),
                415,
                "unsupported_media_type",
            ),
            (
                Some(("", b"token=a".to_vec())),
                415,
                "unsupported_media_type",
            ),
            (None, 415, "unsupported_media_type"),
            (
                Some((FORM, vec![b'a'; 17 * 1024])),
                413,
                "payload_too_large",
            ),
        ] {
            let answer = server.raw("POST", path, body.clone(), &[]).await;
            assert_eq!(
                (answer.status, answer.problem()),
                (status, code),
                "{path} {body:?}"
            );
        }
        // What is not asked for is ignored, and so is a hint that does not fit.
        let form = "token=a&token_type_hint=refresh_token&resource=x";
        assert_eq!(send(&server, path, form).await.status, 200);
        let typed = "application/x-www-form-urlencoded; charset=UTF-8";
        let answer = server
            .raw("POST", path, Some((typed, b"token=a".to_vec())), &[])
            .await;
        assert_eq!(answer.status, 200);
    }
}

#[actix_web::test]
async fn a_token_that_is_revoked_ends_what_it_belongs_to() {
    let app = TestApp::spawn().await;
    let second = app.second().await;
    let (admin, ada) = (app.admin().await, app.user("ada").await);
    let (_, server) = resource_server(&app, &admin).await;
    let other = app.log_in("ada@example.com").await;
    let third = app.log_in("ada@example.com").await;
    let revoke = async |token: &str| {
        send(&server, REVOKE, &format!("token={token}"))
            .await
            .status
    };

    assert_eq!(revoke("nonsense").await, 200);
    assert_eq!(revoke(ada.token.as_deref().unwrap()).await, 200);
    assert_eq!(ada.get("/api/users/me").await.status, 401);
    let refresh = json!({"refresh_token": ada.refresh_token});
    assert_eq!(ada.post("/api/auth/refresh", refresh).await.status, 401);
    assert_eq!(other.get("/api/users/me").await.status, 200);
    assert_eq!(revoke(&other.refresh_token).await, 200);
    assert_eq!(other.get("/api/users/me").await.status, 401);
    assert_eq!(revoke(&other.refresh_token).await, 200, "again");

    let made = third
        .post(
            "/api/users/me/api-keys",
            json!({"name": "k", "permissions": ["self:read"]}),
        )
        .await;
    let key = by_key(&app, &secret(&made));
    assert_eq!(key.get("/api/users/me").await.status, 200);
    assert_eq!(revoke(&secret(&made)).await, 200);
    assert_eq!(key.get("/api/users/me").await.status, 401);
    assert_eq!(third.get("/api/users/me").await.status, 200);
    for (action, count) in [("session.ended", 2), ("api_key.revoked", 1)] {
        let audit = admin
            .get(&format!("/api/admin/audit?action={action}"))
            .await;
        let items = audit.body["items"].as_array().unwrap();
        assert_eq!(items.len(), count, "{action}");
        assert!(
            items
                .iter()
                .all(|entry| entry["actor_type"] == "service_account")
        );
    }
    second.stop().await;
}
