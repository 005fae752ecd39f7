//! Roles that an organization makes for itself, and what a change would do.

use futures_util::future::join;
use serde_json::{Value, json};

use crate::{
    harness::{Client, TestApp},
    tenants::{Tenant, all, column, give, given},
};

const ALL: &str = "/api/role-assignments";

fn roles(tenant: &Tenant) -> String {
    format!("{}/roles", tenant.organization_path())
}

fn deployer(permissions: &[&str]) -> Value {
    json!({
        "key": "deployer", "name": "Deployer", "permissions": permissions,
        "assignable_at": ["account", "project"],
    })
}

/// Makes the role `deployer` and returns its address.
async fn made(by: &Client, tenant: &Tenant, permissions: &[&str]) -> String {
    let answer = by.post(&roles(tenant), deployer(permissions)).await;
    assert_eq!(answer.status, 201, "{}", answer.body);
    answer.header("location").to_owned()
}

#[actix_web::test]
async fn an_organization_makes_a_role_and_changes_it_for_all_who_hold_it() {
    let app = TestApp::spawn().await;
    let second = app.second().await;
    let (admin, anna) = (app.admin().await, app.user("anna").await);
    let acme = Tenant::create(&admin, "Acme").await;
    let path = made(&admin, &acme, &["project:read"]).await;
    let id = given(&admin, &anna, "deployer", acme.resource("account")).await;
    let there = anna.at(&second);
    assert_eq!(anna.get(&acme.project_path()).await.status, 200);
    assert_eq!(there.get(&acme.project_path()).await.status, 200);
    let rename = json!({"name": "Q"});
    assert_eq!(
        anna.patch(&acme.project_path(), rename.clone())
            .await
            .status,
        403
    );

    let change = json!({"permissions": ["project:update", "project:read"]});
    let changed = admin
        .patch_with(&path, change.clone(), &[("if-match", "\"v1\"")])
        .await;
    assert_eq!(changed.status, 200, "{}", changed.body);
    assert!(!changed.header("gatepost-revision").is_empty());
    assert_eq!(
        anna.patch(&acme.project_path(), rename.clone())
            .await
            .status,
        200,
        "the very next request"
    );
    while there
        .patch(&acme.project_path(), rename.clone())
        .await
        .status
        != 200
    {
        tokio::task::yield_now().await;
    }
    let stale = admin
        .patch_with(&path, change, &[("if-match", "\"v1\"")])
        .await;
    assert_eq!(stale.status, 412);

    let in_use = admin.delete(&path).await;
    assert_eq!((in_use.status, in_use.problem()), (409, "role_in_use"));
    assert_eq!(admin.delete(&format!("{ALL}/{id}")).await.status, 204);
    assert_eq!(admin.delete(&path).await.status, 204);
    assert_eq!(admin.get(&path).await.problem(), "not_found");
    let audit = admin.get("/api/admin/audit?target_type=role&limit=3").await;
    let actions = column(audit.body["items"].as_array().unwrap(), "action");
    assert_eq!(actions, ["role.deleted", "role.updated", "role.created"]);
}

#[actix_web::test]
async fn the_list_has_the_built_in_roles_and_no_other_organizations() {
    let app = TestApp::spawn().await;
    let root = app.admin().await;
    let acme = Tenant::create(&root, "Acme").await;
    let other = Tenant::create(&root, "Other").await;
    let path = made(&root, &acme, &["project:read"]).await;
    let mallory = app.user("mallory").await;
    given(&root, &mallory, "owner", other.resource("organization")).await;

    let listed = all(&root, &format!("{}?order=created_at", roles(&acme)), 3).await;
    let keys = column(&listed, "key");
    assert!(keys.contains(&"deployer".to_owned()) && keys.contains(&"editor".to_owned()));
    assert!(!keys.contains(&"auditor".to_owned()), "of the system alone");
    let foreign = all(&mallory, &roles(&other), 50).await;
    assert!(!column(&foreign, "key").contains(&"deployer".to_owned()));
    assert!(!foreign.is_empty());

    let id = path.rsplit('/').next().unwrap();
    let through = format!("{}/{id}", roles(&other));
    for address in [&path, &through] {
        assert_eq!(mallory.get(address).await.problem(), "not_found");
        assert_eq!(mallory.delete(address).await.problem(), "not_found");
        let change = mallory.patch(address, json!({"name": "x"})).await;
        assert_eq!(change.problem(), "not_found");
    }
    let answer = give(&root, &mallory, "deployer", other.resource("project")).await;
    assert_eq!(answer.body["errors"][0]["code"], "unknown_role");
    let answer = give(&root, &mallory, "deployer", acme.resource("organization")).await;
    assert_eq!(answer.body["errors"][0]["code"], "not_assignable");
    let built_in = foreign[0]["id"].as_str().unwrap();
    let built_in = format!("{}/{built_in}", roles(&other));
    assert_eq!(mallory.get(&built_in).await.status, 200);
    assert_eq!(mallory.delete(&built_in).await.problem(), "conflict");
}

#[actix_web::test]
async fn nobody_makes_or_changes_a_role_beyond_what_they_hold() {
    let app = TestApp::spawn().await;
    let (root, chief) = (app.admin().await, app.user("chief").await);
    let acme = Tenant::create(&root, "Acme").await;
    given(&root, &chief, "admin", acme.resource("organization")).await;
    for beyond in ["*", "organization:delete", "role:assign_owner", "*:delete"] {
        let answer = chief.post(&roles(&acme), deployer(&[beyond])).await;
        assert_eq!(answer.problem(), "forbidden", "{beyond}: {}", answer.body);
    }
    let path = made(&chief, &acme, &["project:*"]).await;
    let widen = json!({"permissions": ["project:*", "organization:delete"]});
    assert_eq!(
        chief.patch(&path, widen.clone()).await.problem(),
        "forbidden"
    );
    assert_eq!(root.patch(&path, widen).await.status, 200);
    // Now it carries what they lack, so they neither narrow it nor delete it, but may rename it.
    let narrow = json!({"permissions": ["project:read"]});
    assert_eq!(chief.patch(&path, narrow).await.problem(), "forbidden");
    let levels = json!({"assignable_at": ["organization"]});
    assert_eq!(chief.patch(&path, levels).await.problem(), "forbidden");
    assert_eq!(chief.delete(&path).await.problem(), "forbidden");
    assert_eq!(
        chief.patch(&path, json!({"name": "Other"})).await.status,
        200
    );
}

#[actix_web::test]
async fn a_role_that_makes_no_sense_is_refused() {
    let app = TestApp::spawn().await;
    let root = app.admin().await;
    let acme = Tenant::create(&root, "Acme").await;
    let with = |name: &str, value: Value| {
        let mut body = deployer(&["project:read"]);
        body[name] = value;
        body
    };
    for body in [
        with("key", json!("Deployer")),
        with("key", json!("")),
        with("permissions", json!([])),
        with("permissions", json!(["nonsense"])),
        with("permissions", json!(["project:fly"])),
        with("assignable_at", json!([])),
        with("assignable_at", json!(["system"])),
        with("assignable_at", json!(["project", "project"])),
        with("name", json!("a\u{0}b")),
        with("organization_id", json!(acme.organization)),
    ] {
        let answer = root.post(&roles(&acme), body.clone()).await;
        assert_eq!(answer.status, 400, "{body}: {}", answer.body);
    }
    for key in ["owner", "viewer", "auditor"] {
        let answer = root.post(&roles(&acme), with("key", json!(key))).await;
        assert_eq!(answer.problem(), "name_taken", "{key}");
    }
    made(&root, &acme, &["project:read", "document:read"]).await;
    let again = root.post(&roles(&acme), deployer(&["project:read"])).await;
    assert_eq!(again.problem(), "name_taken");
}

#[actix_web::test]
async fn a_dry_run_says_who_gains_and_loses_and_changes_nothing() {
    let app = TestApp::spawn().await;
    let (root, anna, ben) = (
        app.admin().await,
        app.user("anna").await,
        app.user("ben").await,
    );
    let acme = Tenant::create(&root, "Acme").await;
    given(&root, &ben, "viewer", acme.resource("organization")).await;
    let path = made(&root, &acme, &["project:read", "project:update"]).await;
    let access = |user: &Client, permission: &str, kind: &str| {
        json!({
            "principal": {"type": "user", "id": user.user_id}, "permission": permission,
            "resource": acme.resource(kind),
        })
    };

    let body = |user: &Client| {
        json!({
            "principal": {"type": "user", "id": user.user_id}, "role": "deployer",
            "resource": acme.resource("account"),
        })
    };
    let tried = root.post(&format!("{ALL}?dry_run=true"), body(&anna)).await;
    assert_eq!(tried.status, 200, "{}", tried.body);
    let gained = json!([
        access(&anna, "project:read", "account"),
        access(&anna, "project:update", "account"),
    ]);
    let expected = json!({"dry_run": true, "gained": gained, "lost": [], "truncated": false});
    assert_eq!(tried.body, expected);
    assert_eq!(anna.get(&acme.project_path()).await.status, 404);
    // Ben reads it already.
    let tried = root.post(&format!("{ALL}?dry_run=true"), body(&ben)).await;
    assert_eq!(
        tried.body["gained"],
        json!([access(&ben, "project:update", "account")])
    );

    given(&root, &anna, "deployer", acme.resource("account")).await;
    let id = given(&root, &ben, "deployer", acme.resource("account")).await;
    let change = json!({"permissions": ["project:read", "project:delete"]});
    let tried = root.patch(&format!("{path}?dry_run=true"), change).await;
    assert_eq!(
        tried.body["gained"],
        json!([
            access(&anna, "project:delete", "account"),
            access(&ben, "project:delete", "account"),
        ])
    );
    assert_eq!(
        tried.body["lost"],
        json!([
            access(&anna, "project:update", "account"),
            access(&ben, "project:update", "account"),
        ])
    );
    assert_eq!(root.get(&path).await.body["version"], 1);
    let tried = root.delete(&format!("{ALL}/{id}?dry_run=true")).await;
    assert_eq!(
        tried.body["lost"],
        json!([access(&ben, "project:update", "account")])
    );
    assert_eq!(
        ben.patch(&acme.project_path(), json!({"name": "R"}))
            .await
            .status,
        200
    );
    // What may not be done may not be tried.
    let tried = ben.post(&format!("{ALL}?dry_run=true"), body(&anna)).await;
    assert_eq!(tried.problem(), "forbidden");
}

#[actix_web::test]
async fn who_holds_everything_by_a_role_of_ones_own_is_no_last_owner() {
    let app = TestApp::spawn().await;
    let (root, anna, ben) = (
        app.admin().await,
        app.user("anna").await,
        app.user("ben").await,
    );
    let acme = Tenant::create(&root, "Acme").await;
    let body = json!({
        "key": "boss", "name": "Boss", "permissions": ["*"], "assignable_at": ["organization"],
    });
    assert_eq!(root.post(&roles(&acme), body).await.status, 201);
    given(&root, &ben, "boss", acme.resource("organization")).await;
    let other = given(&root, &anna, "owner", acme.resource("organization")).await;
    let path = format!("{ALL}?role=owner&principal_id={}", root.user_id);
    let own = all(&root, &path, 50).await[0]["id"].clone();
    let own = format!("{ALL}/{}", own.as_str().unwrap());
    let other = format!("{ALL}/{other}");
    let (first, second) = join(root.delete(&own), ben.delete(&other)).await;
    let mut statuses = [first.status, second.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [204, 409], "{first:?} {second:?}");
}

#[actix_web::test]
async fn an_invitation_to_a_role_of_ones_own_is_checked_again() {
    let post = crate::post::Post::open().await;
    let app = &post.app;
    let (root, chief) = (app.admin().await, app.user("chief").await);
    let acme = Tenant::create(&root, "Acme").await;
    given(&root, &chief, "admin", acme.resource("organization")).await;
    let path = made(&chief, &acme, &["project:read"]).await;
    let invitations = format!("{}/invitations", acme.organization_path());
    let invite = |email: &str| json!({"email": email, "role": "deployer", "resource": acme.resource("project")});
    let (anna, ben) = (app.user("anna").await, app.user("ben").await);
    for email in ["anna@example.com", "ben@example.com"] {
        assert_eq!(chief.post(&invitations, invite(email)).await.status, 201);
    }
    let token = post.token("anna@example.com", "gpi_", 1).await;
    let joined = anna
        .post("/api/invitations/accept", json!({"token": token}))
        .await;
    assert_eq!(joined.body["role"], "deployer", "{}", joined.body);
    assert_eq!(anna.get(&acme.project_path()).await.status, 200);
    // The role has grown beyond who invited.
    let widen = json!({"permissions": ["project:read", "organization:delete"]});
    assert_eq!(root.patch(&path, widen).await.status, 200);
    let token = post.token("ben@example.com", "gpi_", 1).await;
    let refused = ben
        .post("/api/invitations/accept", json!({"token": token}))
        .await;
    assert_eq!(refused.problem(), "conflict", "{}", refused.body);
    assert_eq!(ben.get(&acme.project_path()).await.status, 404);
}

#[actix_web::test]
async fn the_guide_runs_as_it_is_written() {
    let app = TestApp::spawn().await;
    let (root, ada, bob) = (
        app.admin().await,
        app.user("ada").await,
        app.user("bob").await,
    );
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../docs/guides/roles-and-groups.md"
    );
    let guide = std::fs::read_to_string(path).unwrap();
    let blocks = guide.split("```sh\n").skip(1);
    let script: String = blocks
        .map(|block| block.split("```").next().unwrap())
        .collect();
    let script = script.replace("http://localhost:8004", &app.address);
    let run = tokio::process::Command::new("bash")
        .args(["-euo", "pipefail", "-c", &script])
        .env("NO_PROXY", "127.0.0.1")
        .env("token", root.token.as_deref().unwrap())
        .env("ada_token", ada.token.as_deref().unwrap())
        .env("ada", &ada.user_id)
        .env("bob", &bob.user_id)
        .stdin(std::process::Stdio::null())
        .output()
        .await
        .unwrap();
    let told = String::from_utf8_lossy(&run.stdout);
    let faults = String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success(), "{told}\n{faults}");
}
