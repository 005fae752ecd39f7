//! Projects that move: rights on both ends, and what counts afterwards.

use serde_json::json;

use crate::{
    harness::{Answer, Client, TestApp},
    tenants::{Tenant, all, column, given, made},
};

async fn move_to(by: &Client, from: &Tenant, account: &str) -> Answer {
    let path = format!("{}/move", from.project_path());
    by.post(&path, json!({"account_id": account})).await
}

async fn account(by: &Client, tenant: &Tenant, name: &str) -> String {
    let path = format!("{}/accounts", tenant.organization_path());
    made(by, &path, json!({"name": name})).await
}

#[actix_web::test]
async fn what_was_held_above_the_old_place_ends_and_what_is_above_the_new_one_begins() {
    let app = TestApp::spawn().await;
    let second = app.second().await;
    let (root, anna, ben, cleo) = (
        app.admin().await,
        app.user("anna").await,
        app.user("ben").await,
        app.user("cleo").await,
    );
    let acme = Tenant::create(&root, "Acme").await;
    let to = account(&root, &acme, "Target").await;
    given(&root, &anna, "viewer", acme.resource("account")).await;
    given(&root, &ben, "viewer", json!({"type": "account", "id": to})).await;
    given(&root, &cleo, "viewer", acme.resource("project")).await;
    for (user, status) in [(&anna, 200), (&ben, 404), (&cleo, 200)] {
        assert_eq!(user.get(&acme.project_path()).await.status, status);
    }
    let access = |user: &Client, permission: &str| {
        json!({
            "principal": {"type": "user", "id": user.user_id}, "permission": permission,
            "resource": acme.resource("project"),
        })
    };
    let path = format!("{}/move", acme.project_path());
    let body = json!({"account_id": to});
    let tried = root
        .post(&format!("{path}?dry_run=true"), body.clone())
        .await;
    assert_eq!(tried.status, 200, "{}", tried.body);
    let gained = tried.body["gained"].as_array().unwrap();
    let lost = tried.body["lost"].as_array().unwrap();
    assert!(gained.contains(&access(&ben, "project:read")), "{gained:?}");
    assert!(lost.contains(&access(&anna, "project:read")), "{lost:?}");
    assert!(
        gained
            .iter()
            .all(|one| one["principal"]["id"] == *ben.user_id)
    );
    assert!(
        lost.iter()
            .all(|one| one["principal"]["id"] == *anna.user_id)
    );
    assert_eq!(
        anna.get(&acme.project_path()).await.status,
        200,
        "only tried"
    );

    let stale = root
        .post_with(&path, body.clone(), &[("if-match", "\"v7\"")])
        .await;
    assert_eq!(stale.status, 412);
    let moved = root
        .post_with(&path, body.clone(), &[("if-match", "\"v1\"")])
        .await;
    assert_eq!(moved.status, 200, "{}", moved.body);
    assert_eq!(moved.body["account_id"], *to);
    assert_eq!(moved.header("etag"), "\"v2\"");
    assert!(!moved.header("gatepost-revision").is_empty());
    for (user, status) in [(&anna, 404), (&ben, 200), (&cleo, 200)] {
        assert_eq!(user.get(&acme.project_path()).await.status, status);
        let there = user.at(&second);
        while there.get(&acme.project_path()).await.status != status {
            tokio::task::yield_now().await;
        }
    }
    let again = root.post(&path, body).await;
    assert_eq!((again.status, &again.body["version"]), (200, &json!(2)));
    let audit = root.get("/api/admin/audit?action=project.moved").await;
    assert_eq!(audit.body["items"].as_array().unwrap().len(), 1);
}

#[actix_web::test]
async fn moving_takes_rights_on_both_ends_and_names_are_kept_apart() {
    let app = TestApp::spawn().await;
    let (root, editor, anna) = (
        app.admin().await,
        app.user("editor").await,
        app.user("anna").await,
    );
    let acme = Tenant::create(&root, "Acme").await;
    let other = Tenant::create(&root, "Other").await;
    let to = account(&root, &acme, "Target").await;
    given(&root, &editor, "editor", acme.resource("organization")).await;
    given(&root, &anna, "admin", acme.resource("account")).await;
    // Anna may move what is in her account, but make nothing where it goes, or know of it.
    assert_eq!(move_to(&anna, &acme, &to).await.problem(), "not_found");
    assert_eq!(
        move_to(&editor, &acme, &other.account).await.problem(),
        "not_found"
    );
    assert_eq!(
        move_to(&root, &acme, &acme.project).await.problem(),
        "not_found"
    );
    let twin = format!("/api/accounts/{to}/projects");
    let twin = made(&root, &twin, json!({"name": "acme PROJECT"})).await;
    assert_eq!(move_to(&editor, &acme, &to).await.problem(), "name_taken");
    assert_eq!(
        root.delete(&format!("/api/projects/{twin}")).await.status,
        204
    );
    assert_eq!(move_to(&editor, &acme, &to).await.status, 200);
}

#[actix_web::test]
async fn between_organizations_only_built_in_roles_go_along() {
    let app = TestApp::spawn().await;
    let (root, mallory) = (app.admin().await, app.user("mallory").await);
    let (anna, ben, cleo) = (
        app.user("anna").await,
        app.user("ben").await,
        app.user("cleo").await,
    );
    let acme = Tenant::create(&root, "Acme").await;
    let other = Tenant::create(&root, "Other").await;
    let roles = format!("{}/roles", acme.organization_path());
    let role = json!({"key": "reader", "name": "Reader", "permissions": ["project:read"],
        "assignable_at": ["project"]});
    made(&root, &roles, role).await;
    let groups = format!("{}/groups", acme.organization_path());
    let staff = made(&root, &groups, json!({"name": "Staff"})).await;
    let member = format!("{groups}/{staff}/members/{}", cleo.user_id);
    assert_eq!(root.put(&member, json!({})).await.status, 204);
    let body = json!({"principal": {"type": "group", "id": staff}, "role": "viewer",
        "resource": acme.resource("project")});
    made(&root, "/api/role-assignments", body).await;
    given(&root, &anna, "viewer", acme.resource("project")).await;
    given(&root, &ben, "reader", acme.resource("project")).await;
    for user in [&anna, &ben, &cleo] {
        assert_eq!(user.get(&acme.project_path()).await.status, 200);
    }

    // An editor here who owns the other organization does not carry a project off.
    given(&root, &mallory, "editor", acme.resource("organization")).await;
    given(&root, &mallory, "owner", other.resource("organization")).await;
    assert_eq!(
        move_to(&mallory, &acme, &other.account).await.problem(),
        "forbidden"
    );

    let moved = move_to(&root, &acme, &other.account).await;
    assert_eq!(moved.status, 200, "{}", moved.body);
    assert_eq!(moved.body["organization_id"], *other.organization);
    for (user, status) in [(&anna, 200), (&ben, 404), (&cleo, 404), (&mallory, 200)] {
        assert_eq!(user.get(&acme.project_path()).await.status, status);
    }
    let left = all(
        &root,
        &format!("/api/role-assignments?resource_id={}", acme.project),
        50,
    )
    .await;
    assert_eq!(column(&left, "role"), ["viewer"]);
    let audit = root.get("/api/admin/audit?action=project.moved").await;
    assert_eq!(
        audit.body["items"].as_array().unwrap().len(),
        2,
        "one for each"
    );
}
