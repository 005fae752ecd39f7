//! Service accounts: principals that are programs.

use serde_json::{Value, json};

use crate::{
    api_keys::{by_key, secret},
    harness::{Answer, Client, TestApp},
    tenants::{Tenant, given, made},
};

pub const ALL: &str = "/api/admin/service-accounts";

pub async fn service_account(admin: &Client, name: &str) -> String {
    made(admin, ALL, json!({"name": name})).await
}

pub async fn key_of(admin: &Client, id: &str, permissions: Value) -> Answer {
    let body = json!({"name": "a key", "permissions": permissions});
    admin.post(&format!("{ALL}/{id}/api-keys"), body).await
}

pub async fn hire(granter: &Client, id: &str, role: &str, resource: Value) -> Answer {
    let principal = json!({"type": "service_account", "id": id});
    let body = json!({"principal": principal, "role": role, "resource": resource});
    granter.post("/api/role-assignments", body).await
}

#[actix_web::test]
async fn a_service_account_is_made_changed_and_deleted() {
    let app = TestApp::spawn().await;
    let admin = app.admin().await;
    let answer = admin
        .post(ALL, json!({"name": "Deployer", "description": "rolls out"}))
        .await;
    assert_eq!(answer.status, 201, "{answer:?}");
    let path = format!("{ALL}/{}", answer.id());
    assert_eq!(answer.header("location"), path);
    assert_eq!(answer.body["status"], "active");
    assert_eq!(answer.body["created_by"], admin.user_id.as_str());
    let taken = admin.post(ALL, json!({"name": "DEPLOYER"})).await;
    assert_eq!((taken.status, taken.problem()), (409, "name_taken"));

    let read = admin.get(&path).await;
    assert_eq!(read.header("etag"), "\"v1\"");
    let change = json!({"name": "deployer 2", "description": ""});
    let changed = admin
        .patch_with(&path, change.clone(), &[("if-match", "\"v1\"")])
        .await;
    assert_eq!((changed.status, changed.header("etag")), (200, "\"v2\""));
    let stale = admin
        .patch_with(&path, json!({"name": "x"}), &[("if-match", "\"v1\"")])
        .await;
    assert_eq!(
        (stale.status, stale.problem()),
        (412, "precondition_failed")
    );
    let same = admin.patch(&path, change).await;
    assert_eq!(same.header("etag"), "\"v2\"");
    let found = admin.get(&format!("{ALL}?q=DEPLOYER")).await;
    assert_eq!(found.body["items"][0]["name"], "deployer 2");
    assert_eq!(
        admin.get(&format!("{ALL}?q=other")).await.body["items"],
        json!([])
    );

    let stale = admin.delete_with(&path, &[("if-match", "\"v1\"")]).await;
    assert_eq!(stale.status, 412);
    assert_eq!(admin.delete(&path).await.status, 204);
    assert_eq!(admin.get(&path).await.status, 404);
    assert_eq!(admin.delete(&path).await.status, 404);
    for action in ["created", "updated", "deleted"] {
        let list = format!("/api/admin/audit?action=service_account.{action}");
        let audit = admin.get(&list).await;
        assert_eq!(audit.body["items"].as_array().unwrap().len(), 1, "{action}");
    }
}

#[actix_web::test]
async fn a_service_account_does_what_its_roles_and_its_key_carry() {
    let app = TestApp::spawn().await;
    let admin = app.admin().await;
    let tenant = Tenant::create(&admin, "Acme").await;
    let id = service_account(&admin, "robot").await;
    let answer = hire(&admin, &id, "owner", tenant.resource("organization")).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    let permissions = json!([
        "*:read",
        "project:create",
        "role:assign",
        "invitation:create"
    ]);
    let robot = by_key(&app, &secret(&key_of(&admin, &id, permissions).await));

    let projects = format!("{}/projects", tenant.account_path());
    let project = robot.post(&projects, json!({"name": "by robot"})).await;
    assert_eq!(project.status, 201, "{project:?}");
    assert_eq!(
        project.body["owner_id"],
        Value::Null,
        "a program owns nothing"
    );
    assert_eq!(robot.delete(&tenant.project_path()).await.status, 403);
    let ada = app.user("ada").await;
    let answer = crate::tenants::give(&robot, &ada, "viewer", tenant.resource("project")).await;
    // `resource:list` is part of the role, and not of the key.
    assert_eq!(answer.status, 403, "{answer:?}");
    // It has no person's account.
    assert_eq!(robot.get("/api/users/me").await.status, 404);
    assert_eq!(robot.get("/api/users/me/sessions").await.status, 403);
    assert_eq!(robot.get("/api/organizations").await.status, 403);
    let audit = admin.get("/api/admin/audit?action=project.created").await;
    let entry = &audit.body["items"][0];
    assert_eq!(entry["actor_type"], "service_account");
    assert_eq!(entry["actor_id"], id.as_str());
}

#[actix_web::test]
async fn who_a_service_account_invites_can_accept() {
    let app = TestApp::spawn().await;
    let (admin, ada) = (app.admin().await, app.user("ada").await);
    let tenant = Tenant::create(&admin, "Acme").await;
    let id = service_account(&admin, "inviter").await;
    hire(&admin, &id, "owner", tenant.resource("organization")).await;
    let robot = by_key(&app, &secret(&key_of(&admin, &id, json!(["*"])).await));
    let list = format!("{}/invitations", tenant.organization_path());
    let invited = robot
        .post(&list, json!({"email": "ada@example.com", "role": "viewer"}))
        .await;
    assert_eq!(invited.status, 201, "{invited:?}");
    // The token stands in a mail that is sealed; its row is given one that the test knows.
    let token =
        gatepost::crypto::token::Token::generate(gatepost::crypto::token::TokenKind::Invitation);
    sqlx::query("UPDATE invitations SET token_hash = $1")
        .bind(token.hash().to_vec())
        .execute(&mut app.sql().await)
        .await
        .unwrap();
    let accepted = ada
        .post("/api/invitations/accept", json!({"token": token.expose()}))
        .await;
    assert_eq!(accepted.status, 200, "{accepted:?}");
}

#[actix_web::test]
async fn a_disabled_service_account_is_refused_everywhere_until_it_is_enabled() {
    let app = TestApp::spawn().await;
    let second = app.second().await;
    let admin = app.admin().await;
    let tenant = Tenant::create(&admin, "Acme").await;
    let id = service_account(&admin, "robot").await;
    hire(&admin, &id, "viewer", tenant.resource("organization")).await;
    let made = key_of(&admin, &id, json!(["project:read"])).await;
    let robot = by_key(&app, &secret(&made));
    let there = robot.at(&second);
    let path = tenant.project_path();
    assert_eq!(
        (robot.get(&path).await.status, there.get(&path).await.status),
        (200, 200)
    );

    let account = format!("{ALL}/{id}");
    assert_eq!(
        admin
            .patch(&account, json!({"status": "disabled"}))
            .await
            .status,
        200
    );
    assert_eq!(robot.get(&path).await.status, 401);
    until(&there, &path, 401).await;
    let refused = hire(&admin, &id, "editor", tenant.resource("organization")).await;
    assert_eq!(
        (refused.status, refused.problem()),
        (400, "validation_failed")
    );
    assert_eq!(
        admin
            .patch(&account, json!({"status": "active"}))
            .await
            .status,
        200
    );
    assert_eq!(robot.get(&path).await.status, 200);
    until(&there, &path, 200).await;

    let key = format!("{account}/api-keys/{}", made.id());
    let listed = admin.get(&format!("{account}/api-keys")).await;
    assert_eq!(listed.body["items"][0]["id"], made.id());
    assert_eq!(admin.delete(&key).await.status, 204);
    assert_eq!(robot.get(&path).await.status, 401);
    until(&there, &path, 401).await;
    assert_eq!(admin.delete(&key).await.status, 404);

    let robot = by_key(
        &app,
        &secret(&key_of(&admin, &id, json!(["project:read"])).await),
    );
    assert_eq!(robot.at(&second).get(&path).await.status, 200);
    assert_eq!(admin.delete(&account).await.status, 204);
    assert_eq!(robot.get(&path).await.status, 401);
    until(&robot.at(&second), &path, 401).await;
    second.stop().await;
}

/// Changes of other instances are heard of within milliseconds.
async fn until(client: &Client, path: &str, status: u16) {
    let begun = std::time::Instant::now();
    while client.get(path).await.status != status {
        assert!(
            begun.elapsed() < std::time::Duration::from_secs(1),
            "not {status} yet"
        );
    }
}

#[actix_web::test]
async fn the_last_owner_stays_also_if_it_is_a_program() {
    let app = TestApp::spawn().await;
    let (admin, ada) = (app.admin().await, app.user("ada").await);
    let tenant = Tenant::create(&admin, "Acme").await;
    let id = service_account(&admin, "owner").await;
    hire(&admin, &id, "owner", tenant.resource("organization")).await;
    let list = format!(
        "/api/role-assignments?principal_id={}&role=owner",
        admin.user_id
    );
    let own = admin.get(&list).await.body["items"][0]["id"].clone();
    let own = format!("/api/role-assignments/{}", own.as_str().unwrap());
    assert_eq!(admin.delete(&own).await.status, 204);
    let account = format!("{ALL}/{id}");
    let answer = admin.delete(&account).await;
    assert_eq!((answer.status, answer.problem()), (409, "last_owner"));
    given(&admin, &ada, "owner", tenant.resource("organization")).await;
    assert_eq!(admin.delete(&account).await.status, 204);
}

#[actix_web::test]
async fn nobody_touches_a_service_account_that_holds_more_than_they_do() {
    let app = TestApp::spawn().await;
    let admin = app.admin().await;
    let powerful = service_account(&admin, "powerful").await;
    assert_eq!(
        hire(&admin, &powerful, "admin", json!({"type": "system"}))
            .await
            .status,
        201
    );
    let harmless = service_account(&admin, "harmless").await;
    // A program that manages service accounts, and holds nothing else by its key.
    let manager = service_account(&admin, "manager").await;
    hire(&admin, &manager, "admin", json!({"type": "system"})).await;
    let key = key_of(&admin, &manager, json!(["service_account:manage"])).await;
    let manager_client = by_key(&app, &secret(&key));
    let above = format!("{ALL}/{powerful}");
    for answer in [
        manager_client
            .patch(&above, json!({"status": "disabled"}))
            .await,
        manager_client.delete(&above).await,
        manager_client
            .patch(&format!("{ALL}/{manager}"), json!({"name": "me"}))
            .await,
    ] {
        assert_eq!(
            (answer.status, answer.problem()),
            (403, "forbidden"),
            "{answer:?}"
        );
    }
    let below = format!("{ALL}/{harmless}");
    let answer = manager_client
        .patch(&below, json!({"status": "disabled"}))
        .await;
    assert_eq!(answer.status, 200, "{answer:?}");
    // Keys are made and seen by people only.
    let keys = format!("{below}/api-keys");
    assert_eq!(manager_client.get(&keys).await.status, 403);
    let body = json!({"name": "k", "permissions": ["project:read"]});
    assert_eq!(manager_client.post(&keys, body).await.status, 403);
}

#[actix_web::test]
async fn who_may_not_manage_service_accounts_does_not_learn_of_them() {
    let app = TestApp::spawn().await;
    let (admin, ada) = (app.admin().await, app.user("ada").await);
    let id = service_account(&admin, "robot").await;
    let tenant = Tenant::create(&admin, "Acme").await;
    // An organization's administrator manages service accounts there: there are none, yet.
    given(&admin, &ada, "admin", tenant.resource("organization")).await;
    for path in [
        ALL.to_owned(),
        format!("{ALL}/{id}"),
        format!("{ALL}/{id}/api-keys"),
    ] {
        assert_eq!(ada.get(&path).await.status, 403, "{path}");
    }
    let unknown = format!("{ALL}/{}/api-keys", uuid::Uuid::now_v7());
    assert_eq!(admin.get(&unknown).await.status, 404);
    let body = json!({"name": "k", "permissions": ["project:read"]});
    assert_eq!(admin.post(&unknown, body).await.status, 404);
}
