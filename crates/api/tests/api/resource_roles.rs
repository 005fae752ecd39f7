//! Roles on what applications registered: who gives them, what they open, and what becomes of them.

use chrono::TimeDelta;
use gatepost::clock::Clock;
use serde_json::{Value, json};

use crate::{
    api_keys::{by_key, secret},
    harness::{Client, TestApp},
    post::Post,
    service_accounts::{hire, service_account},
    tenants::{Tenant, all, column, give, given, made},
};

const ALL: &str = "/api/role-assignments";

fn thing(kind: &str, id: &str) -> Value {
    json!({"type": kind, "id": id})
}

async fn register(by: &Client, kind: &str, id: &str, parent: &Value) -> u16 {
    let path = format!("/api/resources/{kind}/{id}");
    by.put(&path, json!({"parent": parent})).await.status
}

/// `may <action> <kind>:<id>`, as an evaluation says.
async fn may(by: &Client, user: &str, action: &str, kind: &str, id: &str) -> bool {
    let question = json!({
        "subject": {"type": "user", "id": user}, "action": {"name": action},
        "resource": {"type": kind, "id": id},
    });
    let answer = by.post("/access/v1/evaluation", question).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.body["decision"].as_bool().unwrap()
}

struct World {
    app: TestApp,
    root: Client,
    /// Administers the project.
    chief: Client,
    anna: Client,
    acme: Tenant,
    other: Tenant,
}

/// A project with folder `f`, document `in` in it and document `out` beside it.
async fn world() -> World {
    of(TestApp::spawn().await).await
}

async fn of(app: TestApp) -> World {
    let (root, chief, anna) = (
        app.admin().await,
        app.user("chief").await,
        app.user("anna").await,
    );
    let acme = Tenant::create(&root, "Acme").await;
    let other = Tenant::create(&root, "Other").await;
    given(&root, &chief, "admin", acme.resource("project")).await;
    let project = acme.resource("project");
    for (kind, id, parent) in [
        ("folder", "f", &project),
        ("document", "in", &thing("folder", "f")),
        ("document", "out", &project),
    ] {
        assert_eq!(register(&chief, kind, id, parent).await, 201);
    }
    World {
        app,
        root,
        chief,
        anna,
        acme,
        other,
    }
}

#[actix_web::test]
async fn a_role_on_a_thing_holds_there_and_below_and_ends_at_once() {
    let world = world().await;
    let second = world.app.second().await;
    let (root, chief, anna) = (&world.root, &world.chief, &world.anna);
    let folder = thing("folder", "f");
    let there = root.at(&second);
    assert!(!may(&there, &anna.user_id, "read", "document", "in").await);
    let body = json!({
        "principal": {"type": "user", "id": anna.user_id}, "role": "viewer",
        "resource": folder, "reason": "reviews it",
    });
    let tried = chief
        .post(&format!("{ALL}?dry_run=true"), body.clone())
        .await;
    assert_eq!(tried.status, 200, "{}", tried.body);
    let gained = tried.body["gained"].as_array().unwrap();
    assert!(
        gained.iter().all(|one| one["resource"] == folder),
        "{gained:?}"
    );
    assert!(column(gained, "permission").contains(&"resource:read".to_owned()));
    let answer = chief.post(ALL, body).await;
    assert_eq!(answer.status, 201, "{}", answer.body);
    assert_eq!(answer.body["resource"], folder);
    assert!(answer.header("gatepost-revision").parse::<i64>().unwrap() > 0);
    let path = format!("{ALL}/{}", answer.id());

    for (action, kind, id, expected) in [
        ("read", "folder", "f", true),
        ("read", "document", "in", true),
        ("write", "document", "in", false),
        ("read", "document", "out", false),
        ("read", "project", &*world.acme.project, false),
    ] {
        let found = may(root, &anna.user_id, action, kind, id).await;
        assert_eq!(found, expected, "{action} {kind}:{id}");
    }
    while !may(&there, &anna.user_id, "read", "document", "in").await {
        tokio::task::yield_now().await;
    }
    // What one may read one finds.
    let listed = all(anna, "/api/resources", 1).await;
    let mut ids = column(&listed, "id");
    ids.sort();
    assert_eq!(ids, ["f", "in"]);
    assert_eq!(anna.get("/api/resources/document/in").await.status, 200);
    assert_eq!(anna.get("/api/resources/document/out").await.status, 404);
    assert_eq!(anna.get(&world.acme.project_path()).await.status, 404);
    let own = all(anna, "/api/users/me/roles", 50).await;
    assert_eq!(own[0]["resource"], folder);
    let way: Vec<_> = own[0]["path"].as_array().unwrap().clone();
    assert_eq!(
        column(&way, "type"),
        ["system", "organization", "account", "project", "folder"]
    );
    for filter in [
        "resource_type=folder&resource_id=f",
        "resource_type=folder",
        "resource_id=f",
        &format!("principal_id={}", anna.user_id),
    ] {
        for who in [root, chief, anna] {
            let found = all(who, &format!("{ALL}?{filter}"), 50).await;
            assert_eq!(column(&found, "id"), [path.rsplit('/').next().unwrap()]);
            assert_eq!(found[0]["resource"], folder);
        }
    }
    assert!(
        all(root, &format!("{ALL}?resource_type=document"), 50)
            .await
            .is_empty()
    );

    let tried = chief.delete(&format!("{path}?dry_run=true")).await;
    assert!(
        !tried.body["lost"].as_array().unwrap().is_empty(),
        "{tried:?}"
    );
    assert_eq!(chief.delete(&path).await.status, 204);
    assert!(
        !may(root, &anna.user_id, "read", "document", "in").await,
        "the very next"
    );
    let removed = tokio::time::Instant::now();
    while may(&there, &anna.user_id, "read", "document", "in").await {
        assert!(removed.elapsed().as_secs() < 1, "later than stated");
    }
    let audit = root
        .get("/api/admin/audit?target_type=role_assignment&limit=2")
        .await;
    let entries = audit.body["items"].as_array().unwrap();
    assert_eq!(column(entries, "action"), ["role.removed", "role.assigned"]);
    assert_eq!(entries[0]["details"]["resource"], folder);
}

#[actix_web::test]
async fn who_may_give_a_role_on_a_thing_and_which() {
    let world = world().await;
    let (root, chief, anna) = (&world.root, &world.chief, &world.anna);
    let ben = world.app.user("ben").await;
    let boss = world.app.user("boss").await;
    given(root, &boss, "owner", world.other.resource("organization")).await;
    let folder = thing("folder", "f");
    // Nobody learns of what others have.
    for who in [anna, &boss] {
        let answer = give(who, &ben, "viewer", folder.clone()).await;
        assert!([403, 404].contains(&answer.status), "{answer:?}");
    }
    let answer = give(&boss, &ben, "viewer", folder.clone()).await;
    let absent = give(&boss, &ben, "viewer", thing("folder", "none")).await;
    assert_eq!(
        (answer.status, &answer.body["code"]),
        (404, &absent.body["code"])
    );
    assert_eq!(
        give(chief, &ben, "viewer", thing("folder", "none"))
            .await
            .status,
        404
    );
    // Nobody gives what they lack.
    assert_eq!(give(chief, &ben, "owner", folder.clone()).await.status, 403);
    let viewer = given(chief, anna, "viewer", folder.clone()).await;
    assert_eq!(give(anna, &ben, "viewer", folder.clone()).await.status, 403);
    for (role, resource, field, code) in [
        ("auditor", folder.clone(), "role", "not_assignable"),
        ("nothing", folder.clone(), "role", "unknown_role"),
        (
            "viewer",
            json!({"type": "folder"}),
            "resource.id",
            "invalid_value",
        ),
        (
            "viewer",
            thing("Folder", "f"),
            "resource.type",
            "invalid_value",
        ),
        (
            "viewer",
            thing("user", &anna.user_id),
            "resource.type",
            "invalid_value",
        ),
        (
            "viewer",
            thing("resource", "f"),
            "resource.type",
            "invalid_value",
        ),
        (
            "viewer",
            thing("project", "f"),
            "resource.id",
            "invalid_value",
        ),
    ] {
        let answer = give(root, &ben, role, resource).await;
        assert_eq!(answer.status, 400, "{answer:?}");
        let error = &answer.body["errors"][0];
        assert_eq!(
            (&error["field"], &error["code"]),
            (&json!(field), &json!(code))
        );
    }
    assert_eq!(
        give(chief, anna, "viewer", folder.clone()).await.problem(),
        "already_assigned"
    );
    // Who administers a thing shares it and what is in it, and nothing else.
    given(chief, anna, "admin", folder.clone()).await;
    given(anna, &ben, "editor", thing("document", "in")).await;
    assert_eq!(
        give(anna, &ben, "editor", thing("document", "out"))
            .await
            .status,
        404
    );
    assert_eq!(give(anna, &ben, "owner", folder.clone()).await.status, 403);
    let answer = give(anna, &ben, "viewer", world.acme.resource("project")).await;
    assert_eq!(answer.status, 404);
    assert!(may(root, &ben.user_id, "write", "document", "in").await);
    assert!(!may(root, &ben.user_id, "read", "folder", "f").await);
    // ... and registers what is below it.
    assert_eq!(register(anna, "document", "new", &folder).await, 201);
    assert_eq!(
        register(anna, "document", "new", &thing("folder", "f")).await,
        200
    );
    assert_eq!(
        register(anna, "document", "else", &world.acme.resource("project")).await,
        404
    );
    assert_eq!(anna.delete("/api/resources/document/new").await.status, 204);
    let up = json!({"parent": world.acme.resource("project")});
    assert_eq!(anna.put("/api/resources/document/in", up).await.status, 404);
    assert_eq!(anna.delete("/api/resources/folder/f").await.status, 404);
    // Roles of the organization, where they say so.
    let roles = format!("{}/roles", world.acme.organization_path());
    for (key, levels) in [("here", json!(["resource"])), ("above", json!(["project"]))] {
        let role = json!({"key": key, "name": key, "permissions": ["document:sign"],
            "assignable_at": levels});
        made(root, &roles, role).await;
    }
    let document = thing("document", "in");
    let answer = give(root, &ben, "above", document.clone()).await;
    assert_eq!(answer.body["errors"][0]["code"], "not_assignable");
    given(root, &ben, "here", document.clone()).await;
    assert!(may(root, &ben.user_id, "sign", "document", "in").await);
    // Groups hold in their own organization only; programs hold, too.
    let group = async |tenant: &Tenant| {
        let groups = format!("{}/groups", tenant.organization_path());
        let id = made(root, &groups, json!({"name": "Staff"})).await;
        let member = format!("{groups}/{id}/members/{}", boss.user_id);
        assert_eq!(root.put(&member, json!({})).await.status, 204);
        let body = json!({"principal": {"type": "group", "id": id}, "role": "viewer",
            "resource": document});
        root.post(ALL, body).await
    };
    assert_eq!(
        group(&world.other).await.body["errors"][0]["code"],
        "unknown_principal"
    );
    assert_eq!(group(&world.acme).await.status, 201);
    assert!(may(root, &boss.user_id, "read", "document", "in").await);
    let robot = service_account(root, "robot").await;
    assert_eq!(
        hire(chief, &robot, "viewer", document.clone()).await.status,
        201
    );
    let body = json!({"action": {"name": "read"}, "resource": document});
    let found = async |kind: &str| {
        let mut body = body.clone();
        body["subject"] = json!({"type": kind});
        let found = root.post("/access/v1/search/subject", body).await;
        column(found.body["results"].as_array().unwrap(), "id")
    };
    let mut holders = [root, chief, anna, &ben, &boss].map(|user| user.user_id.clone());
    holders.sort();
    assert_eq!(found("user").await, holders);
    assert_eq!(found("service_account").await, [robot]);
    // Who lacks the right to give does not take.
    assert_eq!(ben.delete(&format!("{ALL}/{viewer}")).await.status, 404);
    assert_eq!(boss.delete(&format!("{ALL}/{viewer}")).await.status, 404);
    assert_eq!(anna.delete(&format!("{ALL}/{viewer}")).await.status, 204);
}

#[actix_web::test]
async fn roles_go_with_the_thing_and_end_where_nobody_judged_them() {
    let world = world().await;
    let (root, chief, anna) = (&world.root, &world.chief, &world.anna);
    let ben = world.app.user("ben").await;
    let roles = format!("{}/roles", world.acme.organization_path());
    let role = json!({"key": "signer", "name": "Signer", "permissions": ["document:sign"],
        "assignable_at": ["resource"]});
    made(root, &roles, role).await;
    let (inside, outside) = (thing("document", "in"), thing("document", "out"));
    given(chief, anna, "viewer", inside.clone()).await;
    given(chief, anna, "viewer", outside.clone()).await;
    given(root, &ben, "signer", inside.clone()).await;
    // Another place of the same organization.
    let account = json!({"parent": world.acme.resource("account")});
    assert_eq!(
        root.put("/api/resources/folder/f", account).await.status,
        200
    );
    assert!(may(root, &anna.user_id, "read", "document", "in").await);
    let back = json!({"parent": world.acme.resource("project")});
    assert_eq!(
        root.put("/api/resources/folder/f", back.clone())
            .await
            .status,
        200
    );
    // The project goes to another organization, with those who hold a built-in role on what is in it.
    let path = format!("{}/move", world.acme.project_path());
    let to = json!({"account_id": world.other.account});
    let tried = root.post(&format!("{path}?dry_run=true"), to.clone()).await;
    let lost = tried.body["lost"].as_array().unwrap();
    assert_eq!(column(lost, "permission"), ["document:sign"], "{lost:?}");
    assert_eq!(lost[0]["resource"], inside);
    assert_eq!(root.post(&path, to).await.status, 200);
    assert!(may(root, &anna.user_id, "read", "document", "in").await);
    assert!(!may(root, &ben.user_id, "sign", "document", "in").await);
    let of = async |user: &Client| {
        let held = all(root, &format!("{ALL}?principal_id={}", user.user_id), 50).await;
        held.len()
    };
    assert_eq!((of(anna).await, of(&ben).await), (2, 0));
    // By itself it takes nobody along.
    let parent = json!({"parent": world.acme.resource("account")});
    assert_eq!(
        root.put("/api/resources/folder/f", parent).await.status,
        200
    );
    assert!(!may(root, &anna.user_id, "read", "document", "in").await);
    assert_eq!(of(anna).await, 1);
    // A name that has become free gives nobody anything.
    assert_eq!(root.delete("/api/resources/document/out").await.status, 204);
    assert_eq!(of(anna).await, 0);
    assert_eq!(
        root.put("/api/resources/document/out", back).await.status,
        201
    );
    assert!(!may(root, &anna.user_id, "read", "document", "out").await);
}

#[actix_web::test]
async fn a_role_on_a_thing_ends_at_its_second_and_says_what_would_help() {
    let world = world().await;
    let (root, chief, anna) = (&world.root, &world.chief, &world.anna);
    let end = world.app.clock.now() + TimeDelta::seconds(60);
    let body = json!({
        "principal": {"type": "user", "id": anna.user_id}, "role": "viewer",
        "resource": thing("folder", "f"), "expires_at": end,
    });
    let id = made(chief, ALL, body).await;
    let ask = async || {
        let question = json!({
            "subject": {"type": "user", "id": anna.user_id}, "action": {"name": "read"},
            "resource": thing("document", "in"), "context": {"explain": true},
        });
        root.post("/access/v1/evaluation", question).await.body
    };
    let yes = ask().await;
    assert_eq!(yes["decision"], true, "{yes}");
    let grant = &yes["context"]["grants"][0];
    assert_eq!(grant["assignment"], *id);
    assert_eq!(grant["at"], thing("folder", "f"));
    assert!(
        may(root, &anna.user_id, "read", "document", "in").await,
        "kept"
    );
    world.app.clock.advance(TimeDelta::seconds(60));
    assert!(!may(root, &anna.user_id, "read", "document", "in").await);
    let no = ask().await;
    assert_eq!(no["context"]["reasons"][0]["code"], "expired_grant", "{no}");
    let would = no["context"]["would_allow"].as_array().unwrap();
    assert_eq!(
        would[0],
        json!({"role": "viewer", "at": thing("document", "in")})
    );
    assert!(would.contains(&json!({"role": "viewer", "at": thing("folder", "f")})));
    assert!(would.contains(&json!({"role": "viewer", "at": world.acme.resource("project")})));
}

#[actix_web::test]
async fn proxies_keys_and_those_who_ask_about_themselves_are_told_the_same() {
    let world = world().await;
    let (root, anna) = (&world.root, &world.anna);
    given(root, anna, "editor", thing("folder", "f")).await;
    let forward = async |who: &Client, permission: &str, resource: &str| {
        let path = format!("/api/auth/forward?permission={permission}&resource={resource}");
        who.get(&path).await.status
    };
    assert_eq!(forward(anna, "document:read", "document:in").await, 200);
    assert_eq!(forward(anna, "document:read", "document:out").await, 403);
    assert_eq!(forward(anna, "document:read", "document:none").await, 403);
    assert_eq!(
        forward(&world.chief, "document:read", "document:out").await,
        200
    );
    let key = json!({"name": "k", "permissions": ["document:read"]});
    let key = anna.post("/api/users/me/api-keys", key).await;
    let key = by_key(&world.app, &secret(&key));
    assert_eq!(forward(&key, "document:read", "document:in").await, 200);
    assert_eq!(forward(&key, "document:write", "document:in").await, 403);
    // About oneself.
    let own = async |who: &Client, action: &str, id: &str| {
        let question = json!({
            "subject": {"type": "user", "id": who.user_id}, "action": {"name": action},
            "resource": thing("document", id), "context": {"explain": true},
        });
        who.post("/access/v1/evaluation", question).await.body
    };
    let no = own(anna, "delete", "in").await;
    let would = no["context"]["would_allow"].as_array().unwrap();
    assert!(
        would.iter().any(|one| one["at"] == thing("folder", "f")),
        "{no}"
    );
    // What one holds nothing on looks as if nobody had registered it.
    let (out, none) = (
        own(anna, "read", "out").await,
        own(anna, "read", "none").await,
    );
    assert_eq!(out["context"], none["context"], "{out} {none}");
    assert_eq!(own(anna, "read", "in").await["decision"], true);
}

#[actix_web::test]
async fn the_access_review_and_the_export_name_things_as_applications_do() {
    let world = world().await;
    let (root, anna) = (&world.root, &world.anna);
    let id = given(root, anna, "editor", thing("folder", "f")).await;
    let path = format!("{}/access-review", world.acme.organization_path());
    let review = all(root, &path, 50).await;
    let line = review.iter().find(|one| one["role_assignment_id"] == *id);
    assert_eq!(line.unwrap()["resource"], thing("folder", "f"));
    let (_, text) = root.text(&format!("{path}?format=csv"), &[]).await;
    assert!(text.contains("editor,false,folder,f,"), "{text}");
    let export = anna.get("/api/users/me/export").await;
    assert_eq!(export.body["roles"][0]["resource"], thing("folder", "f"));
}

#[actix_web::test]
async fn a_role_on_a_thing_is_asked_for_and_invited_to() {
    let post = Post::open().await;
    let app = &post.app;
    let (root, anna, ben) = (
        app.admin().await,
        app.user("anna").await,
        app.user("ben").await,
    );
    let acme = Tenant::create(&root, "Acme").await;
    let project = acme.resource("project");
    assert_eq!(register(&root, "folder", "f", &project).await, 201);
    assert_eq!(register(&root, "folder", "g", &project).await, 201);
    let (folder, other) = (thing("folder", "f"), thing("folder", "g"));
    given(&root, &anna, "viewer", folder.clone()).await;
    let wish = |resource: &Value| json!({"role": "editor", "duration_seconds": 3600, "reason": "needed", "resource": resource});
    let answer = anna.post("/api/role-requests", wish(&other)).await;
    assert_eq!(answer.status, 404, "holds nothing there: {answer:?}");
    assert_eq!(
        anna.post("/api/role-requests", wish(&thing("folder", "x")))
            .await
            .status,
        404
    );
    let asked = anna.post("/api/role-requests", wish(&folder)).await;
    assert_eq!(asked.status, 201, "{asked:?}");
    assert_eq!(asked.body["resource"], folder);
    let listed = all(&root, "/api/role-requests", 50).await;
    assert_eq!(listed[0]["resource"], folder);
    let approve = format!("/api/role-requests/{}/approve", asked.id());
    let approved = root.put(&approve, json!({})).await;
    assert_eq!(approved.status, 200, "{approved:?}");
    assert!(may(&root, &anna.user_id, "write", "folder", "f").await);
    let mail = post.mail("anna@example.com", "folder f", 1).await;
    assert!(mail.contains("editor"), "{mail}");

    let invitations = format!("{}/invitations", acme.organization_path());
    let body = json!({"email": "ben@example.com", "role": "viewer", "resource": folder});
    let invited = root.post(&invitations, body).await;
    assert_eq!(invited.status, 201, "{invited:?}");
    assert_eq!(invited.body["resource"], folder);
    assert_eq!(all(&root, &invitations, 50).await[0]["resource"], folder);
    let token = post.token("ben@example.com", "gpi_", 1).await;
    let joined = ben
        .post("/api/invitations/accept", json!({"token": token}))
        .await;
    assert_eq!(joined.status, 200, "{joined:?}");
    assert_eq!(joined.body["resource"], folder);
    assert!(may(&root, &ben.user_id, "read", "folder", "f").await);
    assert_eq!(root.delete("/api/resources/folder/f").await.status, 204);
    assert!(all(&root, "/api/role-requests", 50).await.is_empty());
    assert!(all(&root, &invitations, 50).await.is_empty());
}
