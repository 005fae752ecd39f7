//! Roles that are asked for, given by somebody else for a while, and end by themselves.

use chrono::TimeDelta;
use futures_util::future::join;
use serde_json::{Value, json};

use crate::{
    harness::{Answer, Client, TestApp},
    post::Post,
    tenants::{Tenant, all, column, given, made},
};

const ALL: &str = "/api/role-requests";

fn wish(role: &str, resource: Value) -> Value {
    let mut body = json!({"role": role, "duration_seconds": 3600, "reason": "incident 7"});
    body["resource"] = resource;
    body
}

async fn asked(by: &Client, role: &str, resource: Value) -> String {
    made(by, ALL, wish(role, resource)).await
}

async fn approve(by: &Client, id: &str) -> Answer {
    by.put(&format!("{ALL}/{id}/approve"), json!({})).await
}

#[actix_web::test]
async fn a_role_that_was_asked_for_is_given_and_ends_by_itself() {
    let post = Post::open().await;
    let app = &post.app;
    let (root, anna) = (app.admin().await, app.user("anna").await);
    let acme = Tenant::create(&root, "Acme").await;
    given(&root, &anna, "viewer", acme.resource("organization")).await;
    let rename = json!({"name": "Q"});
    let answer = anna
        .post(ALL, wish("editor", acme.resource("account")))
        .await;
    assert_eq!(answer.status, 201, "{}", answer.body);
    assert_eq!(answer.body["status"], "pending");
    let id = answer.id();
    let path = answer.header("location").to_owned();
    let twice = anna
        .post(ALL, wish("editor", acme.resource("account")))
        .await;
    assert_eq!(twice.problem(), "conflict");
    let project = acme.project_path();
    assert_eq!(anna.patch(&project, rename.clone()).await.status, 403);

    let open = all(&root, &format!("{ALL}?status=pending"), 50).await;
    assert_eq!(column(&open, "id"), [&*id]);
    let approved = root
        .put(&format!("{path}/approve"), json!({"reason": "go"}))
        .await;
    assert_eq!(approved.status, 200, "{}", approved.body);
    assert_eq!(approved.body["status"], "approved");
    assert_eq!(approved.body["decided_by"], *root.user_id);
    assert!(!approved.header("gatepost-revision").is_empty());
    assert_eq!(anna.patch(&project, rename.clone()).await.status, 200);
    assert_eq!(anna.get(&path).await.body, approved.body);
    assert_eq!(approve(&root, &id).await.problem(), "conflict", "once");
    let own = all(&anna, "/api/users/me/roles", 50).await;
    assert_eq!(
        own[0]["role_assignment_id"],
        approved.body["role_assignment_id"]
    );
    let mail = post.mail("anna@example.com", "Acme account", 1).await;
    assert!(mail.contains("Account editor"), "{mail}");

    app.clock.advance(TimeDelta::seconds(3599));
    // The access token has ended before.
    let anna = app.log_in("anna@example.com").await;
    assert_eq!(anna.patch(&project, rename.clone()).await.status, 200);
    app.clock.advance(TimeDelta::seconds(1));
    assert_eq!(anna.patch(&project, rename).await.status, 403);
    let activity = anna.get("/api/users/me/activity").await;
    let kinds = column(activity.body["items"].as_array().unwrap(), "kind");
    for kind in ["role_requested", "role_request_approved", "role_assigned"] {
        assert!(kinds.contains(&kind.to_owned()), "{kinds:?}");
    }
    let root = app.admin().await;
    let audit = root
        .get("/api/admin/audit?target_type=role_request&limit=2")
        .await;
    let actions = column(audit.body["items"].as_array().unwrap(), "action");
    assert_eq!(actions, ["role_request.approved", "role_request.created"]);
}

#[actix_web::test]
async fn nobody_decides_for_themselves_or_gives_what_they_lack() {
    let app = TestApp::spawn().await;
    let (root, chief, anna) = (
        app.admin().await,
        app.user("chief").await,
        app.user("anna").await,
    );
    let acme = Tenant::create(&root, "Acme").await;
    given(&root, &chief, "admin", acme.resource("organization")).await;
    given(&root, &anna, "viewer", acme.resource("organization")).await;
    let own = asked(&chief, "editor", acme.resource("account")).await;
    assert_eq!(approve(&chief, &own).await.problem(), "forbidden");
    let refused = chief.put(&format!("{ALL}/{own}/refuse"), json!({})).await;
    assert_eq!(refused.problem(), "forbidden");
    let owner = asked(&anna, "owner", acme.resource("account")).await;
    assert_eq!(approve(&chief, &owner).await.problem(), "forbidden");
    assert_eq!(approve(&anna, &owner).await.problem(), "forbidden");

    let roles = format!("{}/roles", acme.organization_path());
    let body = json!({"key": "helper", "name": "Helper", "permissions": ["project:read"],
        "assignable_at": ["project"]});
    let role = made(&root, &roles, body).await;
    let helper = asked(&anna, "helper", acme.resource("project")).await;
    // It has grown since it was asked for.
    let widen = json!({"permissions": ["organization:delete"]});
    let changed = root.patch(&format!("{roles}/{role}"), widen).await;
    assert_eq!(changed.status, 200, "{}", changed.body);
    assert_eq!(approve(&chief, &helper).await.problem(), "forbidden");
    let path = format!("{ALL}/{helper}");
    assert_eq!(chief.get(&path).await.body["status"], "pending");
    let why = json!({"reason": "too much"});
    let refused = chief.put(&format!("{path}/refuse"), why).await;
    assert_eq!(refused.body["status"], "refused", "{}", refused.body);
    assert_eq!(refused.body["decision_reason"], "too much");
    assert_eq!(approve(&root, &helper).await.problem(), "conflict");
}

#[actix_web::test]
async fn requests_are_between_who_asks_and_who_decides() {
    let app = TestApp::spawn().await;
    let (root, anna, ben) = (
        app.admin().await,
        app.user("anna").await,
        app.user("ben").await,
    );
    let acme = Tenant::create(&root, "Acme").await;
    let other = Tenant::create(&root, "Other").await;
    given(&root, &anna, "viewer", acme.resource("organization")).await;
    given(&root, &ben, "owner", other.resource("organization")).await;
    let id = asked(&anna, "editor", acme.resource("project")).await;
    let path = format!("{ALL}/{id}");
    assert_eq!(ben.get(&path).await.problem(), "not_found");
    assert_eq!(approve(&ben, &id).await.problem(), "not_found");
    assert_eq!(ben.delete(&path).await.problem(), "not_found");
    assert_eq!(root.delete(&path).await.problem(), "not_found");
    assert!(all(&ben, ALL, 50).await.is_empty());
    // Nobody asks where they are no member, or for what cannot be given there.
    for (role, resource, status) in [
        ("viewer", other.resource("organization"), 404),
        ("auditor", json!({"type": "system"}), 404),
        ("admin", json!({"type": "project", "id": anna.user_id}), 404),
        ("nonsense", acme.resource("project"), 400),
        ("auditor", acme.resource("project"), 400),
    ] {
        let answer = anna.post(ALL, wish(role, resource)).await;
        assert_eq!(answer.status, status, "{role}: {}", answer.body);
    }
    for seconds in [json!(59), json!(2_592_001), json!(-1), json!("1h")] {
        let mut body = wish("editor", acme.resource("account"));
        body["duration_seconds"] = seconds;
        assert_eq!(anna.post(ALL, body).await.status, 400);
    }
    assert_eq!(anna.delete(&path).await.status, 204);
    assert_eq!(anna.delete(&path).await.problem(), "conflict");
    assert_eq!(approve(&root, &id).await.problem(), "conflict");

    // Who has left gets nothing by an old request; one that nobody decides ends.
    let id = asked(&anna, "editor", acme.resource("project")).await;
    let held = all(
        &root,
        &format!("/api/role-assignments?principal_id={}", anna.user_id),
        50,
    )
    .await;
    let held = held[0]["id"].as_str().unwrap();
    let gone = root.delete(&format!("/api/role-assignments/{held}")).await;
    assert_eq!(gone.status, 204);
    assert_eq!(approve(&root, &id).await.problem(), "conflict");
    app.clock.advance(TimeDelta::days(7));
    let anna = app.log_in("anna@example.com").await;
    let answer = anna.get(&format!("{ALL}/{id}")).await;
    assert_eq!(answer.body["status"], "expired");
    assert_eq!(
        all(&anna, &format!("{ALL}?status=expired"), 50).await.len(),
        1
    );
}

#[actix_web::test]
async fn of_two_who_decide_at_once_one_does() {
    let app = TestApp::spawn().await;
    let (root, chief, anna) = (
        app.admin().await,
        app.user("chief").await,
        app.user("anna").await,
    );
    let acme = Tenant::create(&root, "Acme").await;
    given(&root, &chief, "owner", acme.resource("organization")).await;
    given(&root, &anna, "viewer", acme.resource("organization")).await;
    for kind in ["account", "project"] {
        let id = asked(&anna, "editor", acme.resource(kind)).await;
        let refuse = format!("{ALL}/{id}/refuse");
        let (yes, no) = join(approve(&root, &id), chief.put(&refuse, json!({}))).await;
        let mut statuses = [yes.status, no.status];
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 409], "{yes:?} {no:?}");
        let path = format!(
            "/api/role-assignments?principal_id={}&role=editor",
            anna.user_id
        );
        let held = all(&root, &path, 50).await;
        let on_it = held.iter().filter(|one| one["resource"]["type"] == kind);
        assert_eq!(on_it.count(), usize::from(yes.status == 200));
    }
}
