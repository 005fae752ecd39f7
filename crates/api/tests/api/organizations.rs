//! Organizations: who may make, see, change and delete them.

use futures_util::future::join_all;
use serde_json::json;
use sqlx::{AssertSqlSafe, Connection, Executor, Row};

use crate::{
    harness::TestApp,
    tenants::{Tenant, all, column, given, made},
};

const ALL: &str = "/api/organizations";

#[actix_web::test]
async fn an_organization_lives_from_its_making_to_its_end() {
    let app = TestApp::spawn().await;
    let admin = app.admin().await;
    let answer = admin.post(ALL, json!({"name": "Acme, Inc."})).await;
    assert_eq!(answer.status, 201, "{}", answer.body);
    let path = format!("{ALL}/{}", answer.id());
    assert_eq!(answer.header("location"), path);
    assert_eq!(answer.body["slug"], "acme-inc");
    let first: i64 = answer.header("gatepost-revision").parse().unwrap();

    let read = admin.get(&path).await;
    assert_eq!((read.status, &read.body), (200, &answer.body));
    assert_eq!(read.header("etag"), answer.header("etag"));

    let changed = admin
        .patch(&path, json!({"name": "Acme", "slug": "acme"}))
        .await;
    assert_eq!(changed.status, 200, "{}", changed.body);
    assert_eq!(
        (&changed.body["name"], &changed.body["slug"]),
        (&json!("Acme"), &json!("acme"))
    );
    assert_ne!(changed.header("etag"), read.header("etag"));
    let same = admin.patch(&path, json!({})).await;
    assert_eq!(
        same.header("etag"),
        changed.header("etag"),
        "nothing changed"
    );

    let deleted = admin.delete(&path).await;
    assert_eq!(deleted.status, 204);
    let last: i64 = deleted.header("gatepost-revision").parse().unwrap();
    assert!(last > first);
    assert_eq!(admin.get(&path).await.problem(), "not_found");
    let assignments = admin.get("/api/role-assignments?role=owner").await;
    assert_eq!(assignments.body["items"], json!([]), "they went along");

    let audit = admin.get("/api/admin/audit?target_type=organization").await;
    let mut actions = column(audit.body["items"].as_array().unwrap(), "action");
    actions.reverse();
    assert_eq!(
        actions,
        [
            "organization.created",
            "organization.updated",
            "organization.deleted"
        ]
    );
}

#[actix_web::test]
async fn names_and_slugs_are_unique_whatever_the_letter_case() {
    let app = TestApp::spawn().await;
    let admin = app.admin().await;
    let acme = made(&admin, ALL, json!({"name": "Acme"})).await;
    let answer = admin.post(ALL, json!({"name": "ＡＣＭＥ"})).await;
    assert_eq!((answer.status, answer.problem()), (409, "name_taken"));
    let answer = admin
        .post(ALL, json!({"name": "Other", "slug": "acme"}))
        .await;
    assert_eq!((answer.status, answer.problem()), (409, "name_taken"));
    let answer = admin.post(ALL, json!({"name": "Acme!"})).await;
    let slug = answer.body["slug"].as_str().unwrap();
    assert!(slug.starts_with("acme-"), "made free: {slug}");
    let answer = admin
        .patch(&format!("{ALL}/{acme}"), json!({"name": "aCmE!"}))
        .await;
    assert_eq!((answer.status, answer.problem()), (409, "name_taken"));
    let answer = admin
        .patch(&format!("{ALL}/{acme}"), json!({"name": "ACME"}))
        .await;
    assert_eq!(answer.status, 200, "its own name in other letters");
}

#[actix_web::test]
async fn what_does_not_fit_is_refused() {
    let app = TestApp::spawn().await;
    let admin = app.admin().await;
    for (body, field) in [
        (json!({}), "name"),
        (json!({"name": ""}), "name"),
        (json!({"name": " a"}), "name"),
        (json!({"name": "x".repeat(81)}), "name"),
        (json!({"name": null}), "name"),
        (json!({"name": "a", "slug": "A"}), "slug"),
        (json!({"name": "a", "slug": null}), "slug"),
        (json!({"name": "a", "id": "x"}), "id"),
    ] {
        let answer = admin.post(ALL, body.clone()).await;
        assert_eq!(
            (answer.status, answer.problem()),
            (400, "validation_failed"),
            "{body}"
        );
        assert_eq!(answer.body["errors"][0]["field"], field, "{body}");
    }
    for query in ["limit=0", "limit=201", "order=name", "cursor=x", "page=2"] {
        let answer = admin.get(&format!("{ALL}?{query}")).await;
        assert_eq!(answer.status, 400, "{query}");
        answer.problem();
    }
}

#[actix_web::test]
async fn a_stale_copy_changes_and_deletes_nothing() {
    let app = TestApp::spawn().await;
    let admin = app.admin().await;
    let path = format!("{ALL}/{}", made(&admin, ALL, json!({"name": "Acme"})).await);
    let seen = admin.get(&path).await.header("etag").to_owned();
    let with = [("if-match", seen.as_str())];
    let answer = admin.patch_with(&path, json!({"name": "A"}), &with).await;
    assert_eq!(answer.status, 200);
    for answer in [
        admin.patch_with(&path, json!({"name": "B"}), &with).await,
        admin.delete_with(&path, &with).await,
    ] {
        assert_eq!(
            (answer.status, answer.problem()),
            (412, "precondition_failed")
        );
    }
    assert_eq!(admin.get(&path).await.body["name"], "A");
}

#[actix_web::test]
async fn twenty_requests_with_one_idempotency_key_make_one_organization() {
    let app = TestApp::spawn().await;
    let admin = app.admin().await;
    let with = [("idempotency-key", "once")];
    let asked = (0..20).map(|_| admin.post_with(ALL, json!({"name": "Acme"}), &with));
    let answers = join_all(asked).await;
    for answer in &answers {
        assert_eq!(answer.status, 201, "{}", answer.body);
        assert_eq!(answer.body, answers[0].body);
        assert_eq!(answer.header("etag"), answers[0].header("etag"));
        assert_eq!(answer.header("location"), answers[0].header("location"));
    }
    assert_eq!(all(&admin, ALL, 50).await.len(), 1);
    let answer = admin.post_with(ALL, json!({"name": "Other"}), &with).await;
    assert_eq!(
        (answer.status, answer.problem()),
        (422, "idempotency_key_reused")
    );
}

#[actix_web::test]
async fn a_list_is_complete_while_others_are_added() {
    let app = TestApp::spawn().await;
    let admin = app.admin().await;
    for number in 0..7 {
        made(&admin, ALL, json!({"name": format!("Org {number}")})).await;
    }
    let first = admin.get(&format!("{ALL}?limit=3")).await;
    let mut names = column(first.body["items"].as_array().unwrap(), "name");
    made(&admin, ALL, json!({"name": "Late"})).await;
    let cursor = first.body["next_cursor"].as_str().unwrap();
    let rest = admin.get(&format!("{ALL}?limit=200&cursor={cursor}")).await;
    names.extend(column(rest.body["items"].as_array().unwrap(), "name"));
    names.reverse();
    let expected: Vec<_> = (0..7).map(|number| format!("Org {number}")).collect();
    assert_eq!(names, expected);
    let oldest = all(&admin, &format!("{ALL}?order=created_at"), 2).await;
    assert_eq!(column(&oldest, "name")[..7], expected);
    assert_eq!(oldest.len(), 8);
    made(&admin, ALL, json!({"name": "50%_off"})).await;
    for (q, count) in [
        ("org", 7),
        ("ORG%203", 1),
        ("50%25_", 1),
        ("50__", 0),
        ("%25", 0),
    ] {
        let found = all(&admin, &format!("{ALL}?q={q}"), 50).await;
        assert_eq!(found.len(), count, "{q}");
    }
}

#[actix_web::test]
async fn one_sees_the_organizations_that_ones_roles_let_one_read() {
    let app = TestApp::spawn().await;
    let (admin, anna) = (app.admin().await, app.user("anna").await);
    let (acme, other) = (
        Tenant::create(&admin, "Acme").await,
        Tenant::create(&admin, "Other").await,
    );
    assert_eq!(all(&anna, ALL, 50).await.len(), 0);
    given(&admin, &anna, "viewer", acme.resource("organization")).await;
    given(&admin, &anna, "viewer", other.resource("account")).await;
    assert_eq!(column(&all(&anna, ALL, 50).await, "name"), ["Acme"]);
    assert_eq!(all(&admin, ALL, 50).await.len(), 2);
}

#[actix_web::test]
async fn others_organizations_do_not_exist() {
    let app = TestApp::spawn().await;
    let (admin, anna) = (app.admin().await, app.user("anna").await);
    let (acme, own) = (
        Tenant::create(&admin, "Acme").await,
        Tenant::create(&admin, "Own").await,
    );
    given(&admin, &anna, "owner", own.resource("organization")).await;
    let organization = acme.organization_path();
    let account = acme.account_path();
    for (method, path) in [
        ("GET", organization.clone()),
        ("PATCH", organization.clone()),
        ("DELETE", organization.clone()),
        ("GET", format!("{organization}/accounts")),
        ("POST", format!("{organization}/accounts")),
        ("GET", format!("{organization}/invitations")),
        ("POST", format!("{organization}/invitations")),
        ("GET", account.clone()),
        ("PATCH", account.clone()),
        ("DELETE", account.clone()),
        ("GET", format!("{account}/projects")),
        ("POST", format!("{account}/projects")),
        ("GET", acme.project_path()),
        ("PATCH", acme.project_path()),
        ("DELETE", acme.project_path()),
    ] {
        let answer = anna
            .send(method, &path, Some(json!({"name": "x"})), &[])
            .await;
        assert_eq!(
            (answer.status, answer.problem()),
            (404, "not_found"),
            "{method} {path}"
        );
    }
    assert_eq!(admin.get(&acme.project_path()).await.status, 200);
}

#[actix_web::test]
async fn who_may_make_organizations_is_a_setting() {
    let closed = TestApp::spawn().await;
    let answer = closed
        .user("anna")
        .await
        .post(ALL, json!({"name": "Acme"}))
        .await;
    assert_eq!((answer.status, answer.problem()), (403, "forbidden"));
    let open = TestApp::with(&[("ORGANIZATION_CREATION", "open")]).await;
    let anna = open.user("anna").await;
    let tenant = Tenant::create(&anna, "Acme").await;
    let roles = anna.get("/api/users/me/roles").await;
    assert_eq!(roles.body["items"][0]["role"], "owner");
    assert_eq!(roles.body["items"][0]["permissions"], json!(["*"]));
    assert_eq!(
        roles.body["items"][0]["path"],
        json!([
            {"type": "system", "id": null, "name": null},
            {"type": "organization", "id": tenant.organization, "name": "Acme"},
        ])
    );
    let activity = anna.get("/api/users/me/activity").await;
    let kinds = column(activity.body["items"].as_array().unwrap(), "kind");
    assert!(kinds.contains(&"role_assigned".to_owned()), "{kinds:?}");
}

#[actix_web::test]
async fn what_is_not_empty_is_not_deleted() {
    let app = TestApp::spawn().await;
    let admin = app.admin().await;
    let acme = Tenant::create(&admin, "Acme").await;
    for path in [acme.organization_path(), acme.account_path()] {
        let answer = admin.delete(&path).await;
        assert_eq!(
            (answer.status, answer.problem()),
            (409, "not_empty"),
            "{path}"
        );
    }
    for path in [
        acme.project_path(),
        acme.account_path(),
        acme.organization_path(),
    ] {
        assert_eq!(admin.delete(&path).await.status, 204, "{path}");
    }
}

#[actix_web::test]
async fn the_database_shows_a_tenant_nothing_of_another() {
    let app = TestApp::spawn().await;
    let admin = app.admin().await;
    let (acme, other) = (
        Tenant::create(&admin, "Acme").await,
        Tenant::create(&admin, "Other").await,
    );
    let mut sql = app.api_sql().await;
    let tables = [
        "organizations",
        "accounts",
        "projects",
        "user_role_assignments",
    ];
    for (scope, visible) in [
        (String::new(), [0, 0, 0, 0]),
        (other.organization.clone(), [1, 1, 1, 1]),
        (
            format!("{},{}", other.organization, acme.organization),
            [2, 2, 2, 2],
        ),
    ] {
        let mut tx = sql.begin().await.unwrap();
        let set = format!("SELECT set_config('app.organization_ids', '{scope}', true)");
        tx.execute(AssertSqlSafe(set)).await.unwrap();
        for (table, count) in tables.iter().zip(visible) {
            let select = format!("SELECT count(*) FROM {table}");
            let row = tx.fetch_one(AssertSqlSafe(select)).await.unwrap();
            assert_eq!(row.get::<i64, _>(0), count, "{table} for {scope:?}");
        }
        if !scope.contains(&acme.organization) {
            let rename = format!(
                "UPDATE projects SET name = 'x' WHERE id = '{}'",
                acme.project
            );
            let done = tx.execute(AssertSqlSafe(rename)).await.unwrap();
            assert_eq!(done.rows_affected(), 0);
        }
    }
}
