//! Groups: what they hold their members hold, and nobody is put into one by who could not give it.

use futures_util::future::join;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    harness::{Answer, Client, TestApp},
    tenants::{Tenant, all, column, given, made},
};

const ALL: &str = "/api/role-assignments";

fn groups(tenant: &Tenant) -> String {
    format!("{}/groups", tenant.organization_path())
}

async fn group(by: &Client, tenant: &Tenant, name: &str) -> String {
    let id = made(by, &groups(tenant), json!({"name": name})).await;
    format!("{}/{id}", groups(tenant))
}

fn id(path: &str) -> &str {
    path.rsplit('/').next().unwrap()
}

async fn give(by: &Client, group: &str, role: &str, resource: Value) -> Answer {
    let body = json!({
        "principal": {"type": "group", "id": id(group)}, "role": role, "resource": resource,
    });
    by.post(ALL, body).await
}

async fn add(by: &Client, group: &str, user: &Client) -> u16 {
    let path = format!("{group}/members/{}", user.user_id);
    by.put(&path, json!({})).await.status
}

#[actix_web::test]
async fn members_hold_what_their_group_holds_everywhere_at_once() {
    let app = TestApp::spawn().await;
    let second = app.second().await;
    let (admin, anna) = (app.admin().await, app.user("anna").await);
    let acme = Tenant::create(&admin, "Acme").await;
    let readers = group(&admin, &acme, "Readers").await;
    assert_eq!(add(&admin, &readers, &anna).await, 204);
    assert_eq!(anna.get(&acme.project_path()).await.status, 404);

    let body = json!({
        "principal": {"type": "group", "id": id(&readers)}, "role": "viewer",
        "resource": acme.resource("account"),
    });
    let tried = admin.post(&format!("{ALL}?dry_run=true"), body).await;
    let gained = tried.body["gained"].as_array().unwrap();
    assert!(gained.len() > 3, "{}", tried.body);
    let whose = |one: &Value| one["principal"]["id"] == *anna.user_id;
    assert!(gained.iter().all(whose), "a group acts by its members");
    let answer = give(&admin, &readers, "viewer", acme.resource("account")).await;
    assert_eq!(answer.status, 201, "{}", answer.body);
    let principal = json!({"type": "group", "id": id(&readers)});
    assert_eq!(answer.body["principal"], principal);
    let there = anna.at(&second);
    assert_eq!(anna.get(&acme.project_path()).await.status, 200);
    while there.get(&acme.project_path()).await.status != 200 {
        tokio::task::yield_now().await;
    }

    let own = anna.get("/api/users/me/roles").await;
    let expected = json!({"id": id(&readers), "name": "Readers"});
    assert_eq!(own.body["items"][0]["group"], expected, "{}", own.body);
    let path = format!("/api/admin/users/{}/roles", anna.user_id);
    assert_eq!(admin.get(&path).await.body, own.body);
    let found = all(
        &admin,
        &format!("{ALL}?principal_type=group&principal_id={}", id(&readers)),
        1,
    )
    .await;
    assert_eq!(found.len(), 1);

    let member = format!("{readers}/members/{}", anna.user_id);
    assert_eq!(admin.delete(&member).await.status, 204);
    assert_eq!(
        anna.get(&acme.project_path()).await.status,
        404,
        "the very next request"
    );
    while there.get(&acme.project_path()).await.status != 404 {
        tokio::task::yield_now().await;
    }
    assert_eq!(admin.delete(&member).await.problem(), "not_found");
    let activity = anna.get("/api/users/me/activity").await;
    let kinds = column(activity.body["items"].as_array().unwrap(), "kind");
    assert_eq!(kinds[..2], ["group_left", "group_joined"]);
}

#[actix_web::test]
async fn a_group_is_made_read_changed_listed_and_deleted() {
    let app = TestApp::spawn().await;
    let (admin, anna, ben) = (
        app.admin().await,
        app.user("anna").await,
        app.user("ben").await,
    );
    let acme = Tenant::create(&admin, "Acme").await;
    let body = json!({"name": "Staff", "description": "all of them"});
    let once = [("idempotency-key", "one")];
    let made = admin.post_with(&groups(&acme), body.clone(), &once).await;
    assert_eq!(made.status, 201, "{}", made.body);
    assert_eq!(made.header("etag"), "\"v1\"");
    let path = made.header("location").to_owned();
    let again = admin.post_with(&groups(&acme), body, &once).await;
    assert_eq!(again.id(), made.id());
    let twice = admin.post(&groups(&acme), json!({"name": "STAFF"})).await;
    assert_eq!((twice.status, twice.problem()), (409, "name_taken"));
    let change = json!({"name": "Crew"});
    let changed = admin
        .patch_with(&path, change.clone(), &[("if-match", "\"v1\"")])
        .await;
    assert_eq!(changed.body["version"], 2, "{}", changed.body);
    let stale = admin
        .patch_with(&path, json!({"name": "x"}), &[("if-match", "\"v1\"")])
        .await;
    assert_eq!(stale.status, 412);
    assert_eq!(admin.get(&path).await.body, changed.body);

    for user in [&anna, &ben, &anna] {
        assert_eq!(add(&admin, &path, user).await, 204);
    }
    let members = all(&admin, &format!("{path}/members?order=created_at"), 1).await;
    assert_eq!(column(&members, "user_id"), [&*anna.user_id, &*ben.user_id]);
    assert_eq!(column(&members, "name"), ["anna", "ben"]);
    let nobody = format!("{path}/members/{}", Uuid::now_v7());
    assert_eq!(
        admin.put(&nobody, json!({})).await.problem(),
        "validation_failed"
    );

    give(&admin, &path, "viewer", acme.resource("organization")).await;
    assert_eq!(anna.get(&acme.project_path()).await.status, 200);
    assert_eq!(admin.delete(&path).await.status, 204);
    for user in [&anna, &ben] {
        assert_eq!(user.get(&acme.project_path()).await.status, 404);
    }
    assert_eq!(admin.get(&path).await.status, 404);
    let found = all(&admin, &format!("{ALL}?principal_type=group"), 50).await;
    assert_eq!(found, Vec::<Value>::new());
    let audit = admin
        .get("/api/admin/audit?target_type=group&limit=5")
        .await;
    let actions = column(audit.body["items"].as_array().unwrap(), "action");
    let expected = [
        "group.deleted",
        "group.member_added",
        "group.member_added",
        "group.updated",
        "group.created",
    ];
    assert_eq!(actions, expected, "adding twice is adding once");
}

#[actix_web::test]
async fn nobody_brings_anyone_or_themselves_to_what_they_could_not_give() {
    let app = TestApp::spawn().await;
    let (root, chief, anna) = (
        app.admin().await,
        app.user("chief").await,
        app.user("anna").await,
    );
    let acme = Tenant::create(&root, "Acme").await;
    given(&root, &chief, "admin", acme.resource("organization")).await;
    let owners = group(&root, &acme, "Owners").await;
    // While it holds nothing, anybody who may change groups may fill it.
    assert_eq!(add(&chief, &owners, &anna).await, 204);
    assert_eq!(
        give(&chief, &owners, "owner", acme.resource("account"))
            .await
            .status,
        403
    );
    assert_eq!(
        give(&root, &owners, "owner", acme.resource("account"))
            .await
            .status,
        201
    );
    assert_eq!(
        anna.delete(&acme.project_path()).await.status,
        204,
        "she is in"
    );
    for user in [&chief, &anna] {
        assert_eq!(add(&chief, &owners, user).await, 403);
    }
    let member = format!("{owners}/members/{}", anna.user_id);
    assert_eq!(chief.delete(&member).await.problem(), "forbidden");
    assert_eq!(chief.delete(&owners).await.problem(), "forbidden");
    assert_eq!(root.delete(&member).await.status, 204);
    assert_eq!(root.delete(&owners).await.status, 204);
}

#[actix_web::test]
async fn a_group_belongs_to_its_organization_alone() {
    let app = TestApp::spawn().await;
    let (root, mallory) = (app.admin().await, app.user("mallory").await);
    let acme = Tenant::create(&root, "Acme").await;
    let other = Tenant::create(&root, "Other").await;
    given(&root, &mallory, "owner", other.resource("organization")).await;
    let staff = group(&root, &acme, "Staff").await;
    for (role, resource) in [
        ("viewer", other.resource("organization")),
        ("viewer", other.resource("project")),
        ("auditor", json!({"type": "system"})),
    ] {
        let answer = give(&root, &staff, role, resource).await;
        assert_eq!(answer.status, 400, "{}", answer.body);
        assert_eq!(answer.body["errors"][0]["code"], "unknown_principal");
    }
    let through = format!("{}/{}", groups(&other), id(&staff));
    for path in [&staff, &through] {
        assert_eq!(mallory.get(path).await.problem(), "not_found");
        assert_eq!(
            mallory.get(&format!("{path}/members")).await.problem(),
            "not_found"
        );
        assert_eq!(add(&mallory, path, &mallory).await, 404);
        assert_eq!(mallory.delete(path).await.problem(), "not_found");
        let change = mallory.patch(path, json!({"name": "x"})).await;
        assert_eq!(change.problem(), "not_found");
    }
    assert_eq!(
        give(&mallory, &staff, "viewer", other.resource("account"))
            .await
            .status,
        400
    );
}

#[actix_web::test]
async fn the_last_owner_is_a_person_and_not_a_group() {
    let app = TestApp::spawn().await;
    let (root, anna) = (app.admin().await, app.user("anna").await);
    let acme = Tenant::create(&root, "Acme").await;
    let owners = group(&root, &acme, "Owners").await;
    assert_eq!(add(&root, &owners, &anna).await, 204);
    let held = give(&root, &owners, "owner", acme.resource("organization")).await;
    let path = format!("{ALL}?role=owner&principal_id={}", root.user_id);
    let own = all(&root, &path, 50).await;
    let own = format!("{ALL}/{}", own[0]["id"].as_str().unwrap());
    assert_eq!(root.delete(&own).await.problem(), "last_owner");
    // Two owners leave at once, each while the group seems to stay.
    let other = given(&root, &anna, "owner", acme.resource("organization")).await;
    let other = format!("{ALL}/{other}");
    let group_held = format!("{ALL}/{}", held.id());
    let (first, second) = join(root.delete(&own), root.delete(&other)).await;
    let mut statuses = [first.status, second.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [204, 409], "{first:?} {second:?}");
    assert_eq!(root.delete(&group_held).await.status, 204);
}

#[actix_web::test]
async fn adding_and_removing_in_parallel_leaves_no_ghost() {
    let app = TestApp::spawn().await;
    let second = app.second().await;
    let (root, anna) = (app.admin().await, app.user("anna").await);
    let acme = Tenant::create(&root, "Acme").await;
    let staff = group(&root, &acme, "Staff").await;
    give(&root, &staff, "viewer", acme.resource("project")).await;
    let member = format!("{staff}/members/{}", anna.user_id);
    let (elsewhere, there) = (root.at(&second), anna.at(&second));
    for _ in 0..10 {
        let (added, removed) = join(root.put(&member, json!({})), elsewhere.delete(&member)).await;
        assert_eq!(added.status, 204);
        assert!([204, 404].contains(&removed.status), "{removed:?}");
        let members = root.get(&format!("{staff}/members")).await;
        let is_in = !members.body["items"].as_array().unwrap().is_empty();
        let expected = if is_in { 200 } else { 404 };
        let started = tokio::time::Instant::now();
        for client in [&anna, &there] {
            while client.get(&acme.project_path()).await.status != expected {
                assert!(started.elapsed().as_secs() < 2, "a ghost: {is_in}");
            }
        }
    }
    let (added, deleted) = join(root.put(&member, json!({})), elsewhere.delete(&staff)).await;
    assert!([204, 404].contains(&added.status), "{added:?}");
    assert_eq!(deleted.status, 204);
    let started = tokio::time::Instant::now();
    for client in [&anna, &there] {
        while client.get(&acme.project_path()).await.status != 404 {
            assert!(started.elapsed().as_secs() < 2, "a ghost");
        }
    }
}

#[actix_web::test]
async fn an_organization_that_asks_for_a_factor_asks_members_of_its_groups() {
    let app = TestApp::spawn().await;
    let (root, anna) = (app.admin().await, app.user("anna").await);
    let acme = Tenant::create(&root, "Acme").await;
    let staff = group(&root, &acme, "Staff").await;
    assert_eq!(add(&root, &staff, &anna).await, 204);
    let asked = json!({"mfa_required": true});
    assert_eq!(
        root.patch(&acme.organization_path(), asked).await.status,
        200
    );
    assert_eq!(app.login("anna").await.body["status"], "authenticated");
    give(&root, &staff, "viewer", acme.resource("project")).await;
    let login = app.login("anna").await;
    assert_eq!(login.body["status"], "mfa_enrolment_required");
}
