//! Role assignments: who may give and take which role, and what holds from then on.

use chrono::TimeDelta;
use futures_util::future::join;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    harness::TestApp,
    tenants::{Tenant, all, column, give, given, made},
};

const ALL: &str = "/api/role-assignments";

#[actix_web::test]
async fn a_role_is_given_and_taken_and_both_count_at_once() {
    let app = TestApp::spawn().await;
    let (admin, anna) = (app.admin().await, app.user("anna").await);
    let acme = Tenant::create(&admin, "Acme").await;
    assert_eq!(anna.get(&acme.project_path()).await.status, 404);
    let body = json!({
        "principal": {"type": "user", "id": anna.user_id}, "role": "viewer",
        "resource": acme.resource("account"), "reason": "helps out",
    });
    let answer = admin.post(ALL, body).await;
    assert_eq!(answer.status, 201, "{}", answer.body);
    let path = format!("{ALL}/{}", answer.id());
    assert_eq!(answer.header("location"), path);
    let mut expected = json!({
        "principal": {"type": "user", "id": anna.user_id}, "role": "viewer",
        "resource": acme.resource("account"), "granted_by": admin.user_id,
        "reason": "helps out", "expires_at": null,
    });
    expected["id"] = answer.body["id"].clone();
    expected["created_at"] = answer.body["created_at"].clone();
    assert_eq!(answer.body, expected);
    let given: i64 = answer.header("gatepost-revision").parse().unwrap();
    assert_eq!(anna.get(&acme.project_path()).await.status, 200);

    let taken = admin.delete(&path).await;
    assert_eq!(taken.status, 204);
    assert!(taken.header("gatepost-revision").parse::<i64>().unwrap() > given);
    assert_eq!(
        anna.get(&acme.project_path()).await.status,
        404,
        "the very next request"
    );
    assert_eq!(admin.delete(&path).await.problem(), "not_found");

    let activity = anna.get("/api/users/me/activity").await;
    let kinds = column(activity.body["items"].as_array().unwrap(), "kind");
    assert_eq!(kinds[..2], ["role_removed", "role_assigned"]);
    let audit = admin
        .get("/api/admin/audit?target_type=role_assignment&limit=2")
        .await;
    let actions = column(audit.body["items"].as_array().unwrap(), "action");
    assert_eq!(actions, ["role.removed", "role.assigned"]);
}

#[actix_web::test]
async fn a_removal_reaches_the_other_instance() {
    let app = TestApp::spawn().await;
    let second = app.second().await;
    let (admin, anna) = (app.admin().await, app.user("anna").await);
    let acme = Tenant::create(&admin, "Acme").await;
    let id = given(&admin, &anna, "viewer", acme.resource("project")).await;
    let there = anna.at(&second);
    while there.get(&acme.project_path()).await.status != 200 {
        tokio::task::yield_now().await;
    }
    assert_eq!(admin.delete(&format!("{ALL}/{id}")).await.status, 204);
    let removed = tokio::time::Instant::now();
    while there.get(&acme.project_path()).await.status != 404 {
        assert!(removed.elapsed().as_secs() < 1, "later than stated");
    }
}

#[actix_web::test]
async fn a_role_ends_at_its_second_and_can_be_given_again() {
    let app = TestApp::spawn().await;
    let (admin, anna) = (app.admin().await, app.user("anna").await);
    let acme = Tenant::create(&admin, "Acme").await;
    let end = gatepost::clock::Clock::now(&*app.clock) + TimeDelta::seconds(60);
    let body = json!({
        "principal": {"type": "user", "id": anna.user_id}, "role": "viewer",
        "resource": acme.resource("project"), "expires_at": end,
    });
    assert_eq!(admin.post(ALL, body.clone()).await.status, 201);
    let again = admin.post(ALL, body).await;
    assert_eq!((again.status, again.problem()), (409, "already_assigned"));
    app.clock.advance(TimeDelta::seconds(59));
    assert_eq!(anna.get(&acme.project_path()).await.status, 200);
    app.clock.advance(TimeDelta::seconds(1));
    assert_eq!(anna.get(&acme.project_path()).await.status, 404);
    assert_eq!(
        anna.get("/api/users/me/roles").await.body["items"],
        json!([])
    );
    given(&admin, &anna, "viewer", acme.resource("project")).await;
    assert_eq!(anna.get(&acme.project_path()).await.status, 200);
    let path = format!("{ALL}?principal_id={}", anna.user_id);
    assert_eq!(
        all(&admin, &path, 50).await.len(),
        1,
        "it replaced the old one"
    );
}

#[actix_web::test]
async fn nobody_gives_or_takes_what_they_lack() {
    let app = TestApp::spawn().await;
    let (root, ben) = (app.admin().await, app.user("ben").await);
    let (chief, anna) = (app.user("chief").await, app.user("anna").await);
    let acme = Tenant::create(&root, "Acme").await;
    given(&root, &chief, "admin", acme.resource("account")).await;
    let editor = given(&root, &ben, "editor", acme.resource("project")).await;
    let owner = given(&root, &ben, "owner", acme.resource("account")).await;
    let above = given(&root, &ben, "viewer", acme.resource("organization")).await;

    for (role, kind) in [
        ("admin", "account"),
        ("editor", "project"),
        ("viewer", "account"),
    ] {
        given(&chief, &anna, role, acme.resource(kind)).await;
    }
    for (role, kind, status) in [
        ("owner", "account", 403),
        ("owner", "project", 403),
        ("viewer", "organization", 404),
        ("admin", "organization", 404),
        ("admin", "system", 403),
        ("auditor", "system", 403),
    ] {
        for to in [&anna, &chief] {
            let answer = give(&chief, to, role, acme.resource(kind)).await;
            assert_eq!(answer.status, status, "{role} on {kind}: {}", answer.body);
            answer.problem();
        }
    }
    for (id, status) in [(&owner, 403), (&above, 404), (&editor, 204)] {
        assert_eq!(chief.delete(&format!("{ALL}/{id}")).await.status, status);
    }
    // Who has no people to care for gives nothing at all.
    let answer = give(&ben, &anna, "viewer", acme.resource("project")).await;
    assert_eq!(answer.status, 201, "an owner gives");
    let carl = app.user("carl").await;
    given(&root, &carl, "editor", acme.resource("organization")).await;
    let answer = give(&carl, &anna, "viewer", acme.resource("project")).await;
    assert_eq!((answer.status, answer.problem()), (403, "forbidden"));
}

#[actix_web::test]
async fn what_the_giver_lacks_is_named() {
    let app = TestApp::spawn().await;
    let (root, anna, ben) = (
        app.admin().await,
        app.user("anna").await,
        app.user("ben").await,
    );
    let acme = Tenant::create(&root, "Acme").await;
    let end = gatepost::clock::Clock::now(&*app.clock) + TimeDelta::seconds(60);
    let mut sql = app.sql().await;
    // A role that may assign and carries little else, as an organization could make one.
    let role = Uuid::now_v7();
    sqlx::query(
        "INSERT INTO roles (id, organization_id, key, name, permissions, assignable_at, created_at, updated_at) \
         VALUES ($1, $2, 'host', 'Host', '{role:assign,project:read}', '{project}', now(), now())",
    )
    .bind(role)
    .bind(Uuid::parse_str(&acme.organization).unwrap())
    .execute(&mut sql)
    .await
    .unwrap();
    given(&root, &anna, "host", acme.resource("project")).await;
    let answer = give(&anna, &ben, "editor", acme.resource("project")).await;
    assert_eq!((answer.status, answer.problem()), (403, "forbidden"));
    let detail = answer.body["detail"].as_str().unwrap();
    assert!(
        detail.contains("member:read") && !detail.contains("project:read"),
        "{detail}"
    );
    given(&anna, &ben, "host", acme.resource("project")).await;
    // Held for a minute is held for a minute, also for giving on.
    let body = json!({
        "principal": {"type": "user", "id": anna.user_id}, "role": "editor",
        "resource": acme.resource("project"), "expires_at": end,
    });
    assert_eq!(root.post(ALL, body).await.status, 201);
    app.clock.advance(TimeDelta::seconds(60));
    let answer = give(&anna, &ben, "editor", acme.resource("project")).await;
    assert_eq!((answer.status, answer.problem()), (403, "forbidden"));
    // Another organization does not have the role.
    let other = Tenant::create(&root, "Other").await;
    let answer = give(&root, &ben, "host", other.resource("project")).await;
    assert_eq!(answer.body["errors"][0]["code"], "unknown_role");
}

#[actix_web::test]
async fn what_does_not_fit_is_refused_with_its_field() {
    let app = TestApp::spawn().await;
    let (admin, anna, ben) = (
        app.admin().await,
        app.user("anna").await,
        app.user("ben").await,
    );
    let acme = Tenant::create(&admin, "Acme").await;
    let disable = format!("/api/admin/users/{}/disable", ben.user_id);
    assert_eq!(admin.put(&disable, json!({})).await.status, 200);
    let now = gatepost::clock::Clock::now(&*app.clock);
    let good = json!({
        "principal": {"type": "user", "id": anna.user_id}, "role": "viewer",
        "resource": acme.resource("project"),
    });
    let with = |name: &str, value: Value| {
        let mut body = good.clone();
        body[name] = value;
        body
    };
    for (body, field) in [
        (with("role", json!("nothing")), "role"),
        (with("role", json!("auditor")), "role"),
        (
            with("principal", json!({"type": "user", "id": Uuid::now_v7()})),
            "principal.id",
        ),
        (
            with("principal", json!({"type": "user", "id": ben.user_id})),
            "principal.id",
        ),
        (
            with(
                "principal",
                json!({"type": "service_account", "id": anna.user_id}),
            ),
            "principal.id",
        ),
        (
            with("principal", json!({"type": "robot", "id": anna.user_id})),
            "principal.type",
        ),
        (with("resource", json!({"type": "project"})), "resource.id"),
        (
            with("resource", json!({"type": "system", "id": acme.project})),
            "resource.id",
        ),
        (
            with("resource", json!({"type": "user", "id": anna.user_id})),
            "resource.type",
        ),
        (with("expires_at", json!(now)), "expires_at"),
        (
            with("expires_at", json!("9999-01-01T00:00:00Z")),
            "expires_at",
        ),
        (with("expires_at", json!("tomorrow")), "expires_at"),
        (with("expires_at", json!(null)), "expires_at"),
        (with("reason", json!("x".repeat(513))), "reason"),
        (with("granted_by", json!(anna.user_id)), "granted_by"),
    ] {
        let answer = admin.post(ALL, body.clone()).await;
        assert_eq!(
            (answer.status, answer.problem()),
            (400, "validation_failed"),
            "{body}"
        );
        assert_eq!(answer.body["errors"][0]["field"], field, "{body}");
    }
    let gone = with("resource", json!({"type": "project", "id": Uuid::now_v7()}));
    assert_eq!(admin.post(ALL, gone).await.problem(), "not_found");
    let query = format!("{ALL}?principal_id={}", anna.user_id);
    assert_eq!(all(&admin, &query, 50).await.len(), 0);
}

#[actix_web::test]
async fn the_same_request_twice_gives_one_role() {
    let app = TestApp::spawn().await;
    let (admin, anna) = (app.admin().await, app.user("anna").await);
    let acme = Tenant::create(&admin, "Acme").await;
    let body = json!({
        "principal": {"type": "user", "id": anna.user_id}, "role": "viewer",
        "resource": acme.resource("project"),
    });
    let with = [("idempotency-key", "give")];
    let (first, second) = join(
        admin.post_with(ALL, body.clone(), &with),
        admin.post_with(ALL, body.clone(), &with),
    )
    .await;
    assert_eq!((first.status, second.status), (201, 201));
    assert_eq!(first.body, second.body);
    let plain = admin.post(ALL, body).await;
    assert_eq!((plain.status, plain.problem()), (409, "already_assigned"));
}

#[actix_web::test]
async fn the_last_owner_stays() {
    let app = TestApp::spawn().await;
    let (admin, anna) = (app.admin().await, app.user("anna").await);
    let acme = Tenant::create(&admin, "Acme").await;
    let query = format!("{ALL}?role=owner&resource_id={}", acme.organization);
    let first = all(&admin, &query, 50).await[0]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let answer = admin.delete(&format!("{ALL}/{first}")).await;
    assert_eq!((answer.status, answer.problem()), (409, "last_owner"));
    // An owner for a time is none to rely on.
    let end = gatepost::clock::Clock::now(&*app.clock) + TimeDelta::hours(1);
    let body = json!({
        "principal": {"type": "user", "id": anna.user_id}, "role": "owner",
        "resource": acme.resource("organization"), "expires_at": end,
    });
    let passing = admin.post(ALL, body).await.id();
    let answer = admin.delete(&format!("{ALL}/{first}")).await;
    assert_eq!((answer.status, answer.problem()), (409, "last_owner"));
    assert_eq!(admin.delete(&format!("{ALL}/{passing}")).await.status, 204);
    given(&admin, &anna, "owner", acme.resource("organization")).await;
    assert_eq!(admin.delete(&format!("{ALL}/{first}")).await.status, 204);
}

#[actix_web::test]
async fn of_two_owners_who_are_removed_at_once_one_stays() {
    let app = TestApp::spawn().await;
    let (admin, anna) = (app.admin().await, app.user("anna").await);
    for round in 0..5 {
        let acme = Tenant::create(&admin, &format!("Acme {round}")).await;
        given(&admin, &anna, "owner", acme.resource("organization")).await;
        let query = format!("{ALL}?role=owner&resource_id={}", acme.organization);
        let ids = column(&all(&admin, &query, 50).await, "id");
        assert_eq!(ids.len(), 2);
        let (first, second) = (format!("{ALL}/{}", ids[0]), format!("{ALL}/{}", ids[1]));
        let (first, second) = join(admin.delete(&first), admin.delete(&second)).await;
        let mut statuses = [first.status, second.status];
        statuses.sort_unstable();
        assert_eq!(statuses, [204, 409], "{first:?} {second:?}");
        assert_eq!(all(&admin, &query, 50).await.len(), 1);
    }
}

#[actix_web::test]
async fn a_list_shows_what_ones_roles_let_one_read() {
    let app = TestApp::spawn().await;
    let admin = app.admin().await;
    let (acme, other) = (
        Tenant::create(&admin, "Acme").await,
        Tenant::create(&admin, "Other").await,
    );
    let accounts = format!("{}/accounts", acme.organization_path());
    let beside = made(&admin, &accounts, json!({"name": "Beside"})).await;
    let holder = app.user("holder").await;
    for tenant in [&acme, &other] {
        for kind in ["organization", "account", "project"] {
            given(&admin, &holder, "viewer", tenant.resource(kind)).await;
        }
    }
    given(
        &admin,
        &holder,
        "viewer",
        json!({"type": "account", "id": beside}),
    )
    .await;
    for (kind, expected) in [
        (
            "organization",
            vec!["organization", "account", "account", "project"],
        ),
        ("account", vec!["account", "project"]),
        ("project", vec!["project"]),
    ] {
        let reader = app.user(kind).await;
        given(&admin, &reader, "viewer", acme.resource(kind)).await;
        let query = format!("{ALL}?principal_id={}&order=created_at", holder.user_id);
        let mut seen: Vec<_> = all(&reader, &query, 2)
            .await
            .iter()
            .map(|item| item["resource"]["type"].as_str().unwrap().to_owned())
            .collect();
        seen.sort_by_key(|kind| {
            ["organization", "account", "project"]
                .iter()
                .position(|k| k == kind)
        });
        assert_eq!(seen, expected, "by a viewer of the {kind}");
    }
    let query = format!("{ALL}?principal_id={}", holder.user_id);
    assert_eq!(all(&admin, &query, 3).await.len(), 7);
    let narrow = format!(
        "{query}&principal_type=user&resource_type=project&role=viewer&resource_id={}",
        acme.project
    );
    assert_eq!(all(&admin, &narrow, 3).await.len(), 1);
    let nobody = app.user("nobody").await.get(ALL).await;
    assert_eq!((nobody.status, nobody.problem()), (403, "forbidden"));
    assert_eq!(
        admin.get(&format!("{ALL}?role=%00")).await.problem(),
        "validation_failed"
    );
    assert_eq!(
        admin.get(&format!("{ALL}?principal_id=x")).await.problem(),
        "validation_failed"
    );
}

#[actix_web::test]
async fn ones_own_roles_come_with_the_way_to_them() {
    let app = TestApp::spawn().await;
    let (admin, anna) = (app.admin().await, app.user("anna").await);
    let acme = Tenant::create(&admin, "Acme").await;
    let ids = [
        given(&admin, &anna, "auditor", json!({"type": "system"})).await,
        given(&admin, &anna, "editor", acme.resource("project")).await,
    ];
    let items = all(&anna, "/api/users/me/roles?order=created_at", 1).await;
    assert_eq!(column(&items, "role_assignment_id"), ids);
    assert_eq!(column(&items, "role"), ["auditor", "editor"]);
    assert_eq!(
        items[0]["path"],
        json!([{"type": "system", "id": null, "name": null}])
    );
    assert_eq!(
        items[1]["path"],
        json!([
            {"type": "system", "id": null, "name": null},
            {"type": "organization", "id": acme.organization, "name": "Acme"},
            {"type": "account", "id": acme.account, "name": "Acme account"},
            {"type": "project", "id": acme.project, "name": "Acme project"},
        ])
    );
    assert_eq!(items[1]["resource"], acme.resource("project"));
    let permissions = items[1]["permissions"].as_array().unwrap();
    assert!(permissions.contains(&json!("project:read")));
}
