//! API keys: what they open, what stays closed to them, and when they stop.

mod uses;

use chrono::TimeDelta;
use futures_util::future::join_all;
use gatepost::routes;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    harness::{Answer, Client, TestApp},
    tenants::{Tenant, all, given},
};

const OWN: &str = "/api/users/me/api-keys";

/// A client that calls by `key`.
pub fn by_key(app: &TestApp, key: &str) -> Client {
    let mut client = app.anonymous();
    client.token = Some(key.to_owned());
    client
}

/// The secret of a key that was just made.
pub fn secret(answer: &Answer) -> String {
    assert_eq!(answer.status, 201, "{answer:?}");
    answer.body["key"].as_str().unwrap().to_owned()
}

async fn made(owner: &Client, permissions: Value) -> Answer {
    let body = json!({"name": "a key", "permissions": permissions});
    owner.post(OWN, body).await
}

/// A client that calls by a new key of `owner`.
async fn keyed(app: &TestApp, owner: &Client, permissions: Value) -> Client {
    by_key(app, &secret(&made(owner, permissions).await))
}

#[actix_web::test]
async fn a_key_does_what_it_carries_and_its_owner_may_and_nothing_else() {
    let app = TestApp::spawn().await;
    let (admin, ada) = (app.admin().await, app.user("ada").await);
    let tenant = Tenant::create(&admin, "Acme").await;
    given(&admin, &ada, "editor", tenant.resource("account")).await;

    let key = keyed(&app, &ada, json!(["project:read", "organization:read"])).await;
    assert_eq!(key.get(&tenant.project_path()).await.status, 200);
    let change = json!({"name": "other"});
    let answer = key.patch(&tenant.project_path(), change.clone()).await;
    assert_eq!((answer.status, answer.problem()), (403, "forbidden"));
    // What it carries because of one place is not held at another.
    let other = Tenant::create(&admin, "Other").await;
    given(&admin, &ada, "viewer", other.resource("organization")).await;
    let writing = keyed(&app, &ada, json!(["project:update"])).await;
    let renamed = writing.patch(&tenant.project_path(), change.clone()).await;
    assert_eq!(renamed.status, 200, "{renamed:?}");
    let refused = writing.patch(&other.project_path(), change.clone()).await;
    assert_eq!(refused.status, 404, "{refused:?}");
    let list = format!("{}/projects", tenant.account_path());
    let read = key.get(&list).await;
    assert_eq!(read.body["items"].as_array().unwrap().len(), 1);
    let answer = key.post(&list, json!({"name": "new"})).await;
    // It may not even read accounts, so it does not learn that there is one.
    assert_eq!(answer.status, 404);

    // What is listed is what the key may read, not what its owner may.
    let narrow = keyed(&app, &ada, json!(["organization:list"])).await;
    let seen = narrow.get("/api/organizations").await;
    assert_eq!((seen.status, &seen.body["items"]), (200, &json!([])));
    let wide = keyed(
        &app,
        &ada,
        json!(["organization:list", "organization:read", "self:read"]),
    )
    .await;
    let seen = wide.get("/api/organizations").await;
    assert_eq!(seen.body["items"][0]["name"], "Other");
    assert_eq!(
        wide.get("/api/users/me").await.body["id"],
        ada.user_id.as_str()
    );
    assert_eq!(narrow.get("/api/users/me").await.status, 403);
}

#[actix_web::test]
async fn a_key_gives_nobody_what_it_does_not_carry_itself() {
    let app = TestApp::spawn().await;
    let (admin, ada, bob) = (
        app.admin().await,
        app.user("ada").await,
        app.user("bob").await,
    );
    let tenant = Tenant::create(&admin, "Acme").await;
    given(&admin, &ada, "owner", tenant.resource("organization")).await;
    let key = keyed(
        &app,
        &ada,
        json!(["role:assign", "*:read", "resource:list"]),
    )
    .await;
    let at = tenant.resource("project");
    let answer = crate::tenants::give(&key, &bob, "editor", at.clone()).await;
    assert_eq!(answer.status, 403, "{answer:?}");
    assert!(
        answer.body["detail"]
            .as_str()
            .unwrap()
            .contains("resource:create")
    );
    given(&key, &bob, "viewer", at).await;
}

#[actix_web::test]
async fn every_protected_route_refuses_a_key_that_carries_nothing_it_asks_for() {
    let app = TestApp::spawn().await;
    let admin = app.admin().await;
    // Of a system administrator: only the key stands in the way.
    let key = keyed(&app, &admin, json!(["nothing:here"])).await;
    let star = keyed(&app, &admin, json!(["*"])).await;
    for row in routes::protected() {
        let path = row
            .path
            .split('/')
            .map(|part| {
                if part.starts_with('{') {
                    Uuid::now_v7().to_string()
                } else {
                    part.to_owned()
                }
            })
            .collect::<Vec<_>>()
            .join("/");
        let (method, body) = (row.method.as_str(), Some(json!({"unknown": true})));
        let answer = key.send(method, &path, body.clone(), &[]).await;
        assert!(
            [403, 404].contains(&answer.status),
            "{method} {path}: {answer:?}"
        );
        if !row.by_key {
            let answer = star.send(method, &path, body, &[]).await;
            assert_eq!(
                (answer.status, answer.problem()),
                (403, "forbidden"),
                "{method} {path}"
            );
        }
    }
    let closed = |permission: &str| {
        let rows = routes::protected();
        let mut of = rows.iter().filter(|row| row.permission == permission);
        of.all(|row| !row.by_key)
    };
    for person in ["self:update", "self:sessions", "self:keys", "self:join"] {
        assert!(closed(person), "{person}");
    }
}

#[actix_web::test]
async fn a_key_is_shown_once_and_listed_without_its_secret() {
    let app = TestApp::spawn().await;
    let ada = app.user("ada").await;
    let answer = made(&ada, json!(["self:read", "organization:list", "self:read"])).await;
    let key = secret(&answer);
    assert!(key.starts_with("gp_") && key.len() == 46, "{key}");
    assert_eq!(answer.body["prefix"], key[..9]);
    assert_eq!(answer.header("location"), format!("{OWN}/{}", answer.id()));
    let listed = ada.get(OWN).await;
    let item = &listed.body["items"][0];
    assert_eq!(
        item["permissions"],
        json!(["organization:list", "self:read"])
    );
    assert_eq!(
        (&item["last_used_at"], &item["key"]),
        (&Value::Null, &Value::Null)
    );
    // A year and a day if nothing is said.
    let end = item["expires_at"]
        .as_str()
        .unwrap()
        .parse::<chrono::DateTime<chrono::Utc>>();
    let now = gatepost::clock::Clock::now(&*app.clock);
    assert_eq!(end.unwrap() - now, TimeDelta::days(366));

    let mut sql = app.sql().await;
    let rows: Vec<(String,)> = sqlx::query_as("SELECT row_to_json(a)::text FROM api_keys a")
        .fetch_all(&mut sql)
        .await
        .unwrap();
    assert!(rows.iter().all(|(row,)| !row.contains(&key[9..])));
    let mails: (i64,) =
        sqlx::query_as("SELECT count(*) FROM outbox WHERE sent_at IS NULL OR sent_at IS NOT NULL")
            .fetch_one(&mut sql)
            .await
            .unwrap();
    assert!(mails.0 >= 1, "the owner is told");
    let kinds = all(&ada, "/api/users/me/activity", 50).await;
    assert!(kinds.iter().any(|entry| entry["kind"] == "api_key_created"));
    let admin = app.admin().await;
    let audit = admin.get("/api/admin/audit?action=api_key.created").await;
    assert_eq!(audit.body["items"][0]["details"]["prefix"], key[..9]);
}

#[actix_web::test]
async fn what_a_key_cannot_be_made_with_is_refused_by_name() {
    let app = TestApp::spawn().await;
    let ada = app.user("ada").await;
    let refused = async |body: Value| {
        let answer = ada.post(OWN, body).await;
        let code = answer.problem().to_owned();
        (
            answer.status,
            code,
            answer.body["errors"][0]["field"].clone(),
        )
    };
    let invalid = |field: &str| (400, "validation_failed".to_owned(), json!(field));
    for permissions in [
        json!([]),
        json!(["self:update"]),
        json!(["self:*"]),
        json!(["project:fly"]),
        json!(["nonsense"]),
        json!(["*:*"]),
        json!(vec!["project:read"; 101]),
        json!([1]),
        json!("project:read"),
    ] {
        let body = json!({"name": "k", "permissions": permissions});
        let (status, code, field) = refused(body).await;
        assert_eq!(
            (status, code.as_str()),
            (400, "validation_failed"),
            "{permissions}"
        );
        assert!(
            field.as_str().unwrap().starts_with("permissions"),
            "{field}"
        );
    }
    let body = |end: Value| json!({"name": "k", "permissions": ["self:read"], "expires_at": end});
    let now = gatepost::clock::Clock::now(&*app.clock);
    for end in [now, now + TimeDelta::days(366) + TimeDelta::seconds(1)] {
        assert_eq!(refused(body(json!(end))).await, invalid("expires_at"));
    }
    assert_eq!(refused(body(json!("soon"))).await, invalid("expires_at"));
    assert_eq!(
        refused(json!({"name": "a\u{0}", "permissions": ["self:read"]})).await,
        invalid("name")
    );
    // Nobody gives what they lack, not even to themselves.
    let answer = made(&ada, json!(["self:read", "project:read"])).await;
    assert_eq!((answer.status, answer.problem()), (403, "forbidden"));
    let detail = answer.body["detail"].as_str().unwrap();
    assert!(
        detail.contains("project:read") && !detail.contains("self:read"),
        "{detail}"
    );
    assert_eq!(ada.get(OWN).await.body["items"], json!([]));
}

#[actix_web::test]
async fn keys_are_made_and_revoked_only_by_who_has_just_shown_who_they_are() {
    let app = TestApp::spawn().await;
    let ada = app.user("ada").await;
    let answer = made(&ada, json!(["self:read"])).await;
    let path = format!("{OWN}/{}", answer.id());
    let key = by_key(&app, &secret(&answer));
    app.clock
        .advance(TimeDelta::minutes(5) + TimeDelta::seconds(1));
    let refreshed = json!({"refresh_token": ada.refresh_token});
    let ada = ada
        .clone()
        .with_tokens(&ada.post("/api/auth/refresh", refreshed).await);
    let answer = made(&ada, json!(["self:read"])).await;
    assert_eq!((answer.status, answer.problem()), (403, "step_up_required"));
    let answer = ada.delete(&path).await;
    assert_eq!((answer.status, answer.problem()), (403, "step_up_required"));
    assert_eq!(ada.get(OWN).await.status, 200);
    // A key is no person, however fresh it is.
    for answer in [
        key.get(OWN).await,
        key.post(OWN, json!({"name": "k", "permissions": ["self:read"]}))
            .await,
        key.delete(&path).await,
    ] {
        assert_eq!((answer.status, answer.problem()), (403, "forbidden"));
    }
    assert_eq!(key.get("/api/users/me").await.status, 200);
}

#[actix_web::test]
async fn a_revoked_key_is_refused_everywhere_with_the_next_request() {
    let app = TestApp::spawn().await;
    let second = app.second().await;
    let (ada, bob) = (app.user("ada").await, app.user("bob").await);
    let answer = made(&ada, json!(["self:read"])).await;
    let key = by_key(&app, &secret(&answer));
    let path = format!("{OWN}/{}", answer.id());
    assert_eq!(key.get("/api/users/me").await.status, 200);
    assert_eq!(key.at(&second).get("/api/users/me").await.status, 200);
    assert_eq!(bob.delete(&path).await.status, 404, "another's key");

    assert_eq!(ada.delete(&path).await.status, 204);
    let answer = key.get("/api/users/me").await;
    assert_eq!((answer.status, answer.problem()), (401, "unauthenticated"));
    refused_soon(&key.at(&second)).await;
    assert_eq!(ada.delete(&path).await.status, 404);
    assert_eq!(ada.get(OWN).await.body["items"], json!([]));
    second.stop().await;
}

/// Waits for the notification, which takes milliseconds, and not for the entry to grow old.
async fn refused_soon(client: &Client) {
    let begun = std::time::Instant::now();
    while client.get("/api/users/me").await.status != 401 {
        assert!(
            begun.elapsed() < std::time::Duration::from_secs(1),
            "still good"
        );
    }
}

#[actix_web::test]
async fn a_key_stops_with_its_owner_and_at_its_end() {
    let app = TestApp::spawn().await;
    let second = app.second().await;
    let (admin, ada) = (app.admin().await, app.user("ada").await);
    let now = gatepost::clock::Clock::now(&*app.clock);
    let body = json!({"name": "short", "permissions": ["self:read"], "expires_at": now + TimeDelta::hours(1)});
    let short = by_key(&app, &secret(&ada.post(OWN, body).await));
    let long = keyed(&app, &ada, json!(["self:read"])).await;
    assert_eq!(short.get("/api/users/me").await.status, 200);
    app.clock.advance(TimeDelta::hours(1));
    assert_eq!(short.get("/api/users/me").await.status, 401);
    assert_eq!(long.at(&second).get("/api/users/me").await.status, 200);

    let admin = admin
        .clone()
        .with_tokens(&app.login("admin@example.com").await);
    let disable = format!("/api/admin/users/{}/disable", ada.user_id);
    assert_eq!(admin.put(&disable, json!({})).await.status, 200);
    assert_eq!(long.get("/api/users/me").await.status, 401);
    refused_soon(&long.at(&second)).await;
    second.stop().await;
}

#[actix_web::test]
async fn what_the_owner_loses_the_key_loses_too() {
    let app = TestApp::spawn().await;
    let (admin, ada) = (app.admin().await, app.user("ada").await);
    let tenant = Tenant::create(&admin, "Acme").await;
    let role = given(&admin, &ada, "viewer", tenant.resource("organization")).await;
    let key = keyed(&app, &ada, json!(["project:read"])).await;
    assert_eq!(key.get(&tenant.project_path()).await.status, 200);
    let removed = admin.delete(&format!("/api/role-assignments/{role}")).await;
    assert_eq!(removed.status, 204);
    assert_eq!(key.get(&tenant.project_path()).await.status, 404);
}

#[actix_web::test]
async fn the_same_key_twice_is_one_key_and_its_secret_is_kept_sealed() {
    let app = TestApp::spawn().await;
    let ada = app.user("ada").await;
    let body = json!({"name": "once", "permissions": ["self:read"]});
    let post = async |body: Value| ada.post_with(OWN, body, &[("idempotency-key", "k1")]).await;
    let answers = join_all((0..10).map(|_| post(body.clone()))).await;
    let keys: std::collections::BTreeSet<_> = answers.iter().map(secret).collect();
    assert_eq!(keys.len(), 1);
    assert_eq!(
        ada.get(OWN).await.body["items"].as_array().unwrap().len(),
        1
    );
    let key = keys.first().unwrap();
    assert_eq!(by_key(&app, key).get("/api/users/me").await.status, 200);
    let other = post(json!({"name": "twice", "permissions": ["self:read"]})).await;
    assert_eq!(
        (other.status, other.problem()),
        (422, "idempotency_key_reused")
    );
    let mut sql = app.sql().await;
    let kept: (String,) =
        sqlx::query_as("SELECT row_to_json(k)::text FROM idempotency_keys k WHERE key = 'k1'")
            .fetch_one(&mut sql)
            .await
            .unwrap();
    assert!(!kept.0.contains(&key[9..]), "{}", kept.0);
}

#[actix_web::test]
async fn nobody_has_more_than_fifty_keys_however_fast_they_are_made() {
    let app = TestApp::spawn().await;
    let ada = app.user("ada").await;
    let answers = join_all((0..60).map(|_| made(&ada, json!(["self:read"])))).await;
    let count = |status| {
        answers
            .iter()
            .filter(|answer| answer.status == status)
            .count()
    };
    assert_eq!((count(201), count(409)), (50, 10));
    let keys = all(&ada, OWN, 20).await;
    assert_eq!(keys.len(), 50);
    let path = format!("{OWN}/{}", keys[0]["id"].as_str().unwrap());
    assert_eq!(ada.delete(&path).await.status, 204);
    assert_eq!(made(&ada, json!(["self:read"])).await.status, 201);
}

#[actix_web::test]
async fn the_last_use_is_noted_once_a_minute_and_beside_the_request() {
    let app = TestApp::spawn().await;
    let ada = app.user("ada").await;
    let key = keyed(&app, &ada, json!(["self:read"])).await;
    let used = async || {
        // Written in the background.
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        ada.get(OWN).await.body["items"][0].clone()
    };
    key.get("/api/users/me").await;
    let mut first = used().await;
    while first["last_used_at"].is_null() {
        first = used().await;
    }
    assert_eq!(first["last_used_ip"], "127.0.0.1");
    app.clock.advance(TimeDelta::seconds(59));
    key.get("/api/users/me").await;
    assert_eq!(used().await["last_used_at"], first["last_used_at"]);
    app.clock.advance(TimeDelta::seconds(1));
    key.get("/api/users/me").await;
    let begun = std::time::Instant::now();
    while used().await["last_used_at"] == first["last_used_at"] {
        assert!(
            begun.elapsed() < std::time::Duration::from_secs(5),
            "not noted"
        );
    }
}
