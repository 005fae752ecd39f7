//! Taking the own data along, and leaving.

use chrono::TimeDelta;
use serde_json::json;

use crate::{
    harness::{PASSWORD, TestApp},
    people::Post,
    tenants::{Tenant, given},
};

const ME: &str = "/api/users/me";

#[actix_web::test]
async fn an_export_holds_everything_but_secrets_and_what_is_others() {
    let app = TestApp::spawn().await;
    let (admin, anna) = (app.admin().await, app.user("anna").await);
    let ben = app.user("ben").await;
    let acme = Tenant::create(&admin, "Acme").await;
    given(&admin, &anna, "editor", acme.resource("project")).await;
    let invitation = json!({"email": "anna@example.com", "role": "viewer"});
    let invited = admin
        .post(
            &format!("{}/invitations", acme.organization_path()),
            invitation,
        )
        .await;
    assert_eq!(invited.status, 201, "{}", invited.body);
    anna.put(ME, json!({"metadata": {"theme": "dark"}})).await;
    let answer = anna.get(&format!("{ME}/export")).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.header("content-type"), "application/json");
    assert!(
        answer
            .header("content-disposition")
            .starts_with("attachment")
    );
    let export = &answer.body;
    assert_eq!(export["profile"]["email"], "anna@example.com");
    assert_eq!(export["profile"]["metadata"], json!({"theme": "dark"}));
    assert_eq!(export["profile"]["has_password"], true);
    assert_eq!(export["sessions"].as_array().unwrap().len(), 1);
    assert_eq!(export["roles"][0]["role"], "editor");
    assert_eq!(
        export["invitations"][0]["organization_id"],
        json!(acme.organization)
    );
    let has = |part: &str, name: &str, value: &str| {
        let items = export[part].as_array().unwrap();
        items.iter().any(|item| item[name] == value)
    };
    assert!(has("activity", "kind", "login"));
    assert!(has("audit", "action", "session.opened"));
    assert!(has("audit", "action", "user.approved"));
    for part in [
        "devices",
        "api_keys",
        "links",
        "verifications",
        "projects",
        "invitations_sent",
    ] {
        assert!(export[part].is_array(), "{part}");
    }
    for entry in export["audit"].as_array().unwrap() {
        let by_anna = entry["actor_id"] == json!(anna.user_id);
        assert!(
            by_anna || entry["ip"].is_null(),
            "the address of somebody else: {entry}"
        );
    }
    let text = export.to_string();
    for secret in [
        "hash",
        "$argon2",
        "nonce",
        "gpr_",
        "gps_",
        ben.user_id.as_str(),
    ] {
        assert!(!text.contains(secret), "{secret}");
    }
    assert!(!text.contains(PASSWORD));
    let again = anna.get(&format!("{ME}/export")).await;
    let activity = again.body["activity"].as_array().unwrap();
    assert!(activity.iter().any(|item| item["kind"] == "exported"));
}

#[actix_web::test]
async fn a_long_export_comes_whole() {
    let app = TestApp::spawn().await;
    let anna = app.user("anna").await;
    let sql = "INSERT INTO user_activity (id, user_id, kind, created_at) \
               SELECT gen_random_uuid(), $1::uuid, 'login', now() FROM generate_series(1, 1200)";
    sqlx::query(sql)
        .bind(uuid::Uuid::parse_str(&anna.user_id).unwrap())
        .execute(&mut app.sql().await)
        .await
        .unwrap();
    let export = anna.get(&format!("{ME}/export")).await;
    let activity = export.body["activity"].as_array().unwrap();
    assert!(activity.len() > 1200, "{}", activity.len());
    let mut ids: Vec<_> = activity.iter().map(|item| item["id"].to_string()).collect();
    ids.dedup();
    assert_eq!(ids.len(), activity.len(), "none twice");
}

#[actix_web::test]
async fn who_leaves_is_gone_at_once_everywhere() {
    let post = Post::with(&[]).await;
    let app = &post.app;
    let (anna, other) = (app.user("anna").await, app.log_in("anna").await);
    let second = app.second().await;
    let elsewhere = other.at(&second);
    assert_eq!(elsewhere.get(ME).await.status, 200);
    let answer = anna.delete(ME).await;
    assert_eq!(answer.status, 204, "{}", answer.body);
    for session in [&anna, &other, &elsewhere] {
        assert_eq!(session.get(ME).await.status, 401);
    }
    let refresh = json!({"refresh_token": other.refresh_token});
    let refused = app.anonymous().post("/api/auth/refresh", refresh).await;
    assert_eq!(refused.status, 401);
    assert_eq!(app.login("anna").await.status, 401);
    post.mail("anna@example.com", "Subject: Your account").await;
    // The address is free again.
    app.user("anna").await;
    second.stop().await;
}

#[actix_web::test]
async fn leaving_takes_a_fresh_proof() {
    let app = TestApp::spawn().await;
    let anna = app.user("anna").await;
    app.clock.advance(TimeDelta::minutes(6));
    let refresh = json!({"refresh_token": anna.refresh_token});
    let answer = app.anonymous().post("/api/auth/refresh", refresh).await;
    let anna = app.anonymous().with_tokens(&answer);
    let refused = anna.delete(ME).await;
    assert_eq!(
        (refused.status, refused.problem()),
        (403, "step_up_required")
    );
    assert_eq!(app.log_in("anna").await.delete(ME).await.status, 204);
}

#[actix_web::test]
async fn of_many_who_delete_one_account_one_does() {
    let app = TestApp::spawn().await;
    let anna = app.user("anna").await;
    let all = futures_util::future::join_all((0..10).map(|_| anna.delete(ME))).await;
    let done = all.iter().filter(|answer| answer.status == 204).count();
    assert_eq!(done, 1, "{all:?}");
    assert!(
        all.iter()
            .all(|answer| [204, 401, 404].contains(&answer.status)),
        "{all:?}"
    );
}
