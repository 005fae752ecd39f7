//! Projects: what roles above them reach, and who owns them.

use serde_json::json;
use uuid::Uuid;

use crate::{
    harness::TestApp,
    tenants::{Tenant, all, column, given, made},
};

#[actix_web::test]
async fn a_project_lives_from_its_making_to_its_end() {
    let app = TestApp::spawn().await;
    let admin = app.admin().await;
    let acme = Tenant::create(&admin, "Acme").await;
    let projects = format!("{}/projects", acme.account_path());
    let with = [("idempotency-key", "p")];
    let answer = admin
        .post_with(&projects, json!({"name": "Apollo"}), &with)
        .await;
    assert_eq!(answer.status, 201, "{}", answer.body);
    let again = admin
        .post_with(&projects, json!({"name": "Apollo"}), &with)
        .await;
    assert_eq!(again.body, answer.body);
    let path = format!("/api/projects/{}", answer.id());
    assert_eq!(answer.header("location"), path);
    assert_eq!(answer.body["organization_id"], acme.organization);
    assert_eq!(answer.body["account_id"], acme.account);
    assert_eq!(answer.body["owner_id"], admin.user_id);
    assert_eq!(admin.get(&path).await.body, answer.body);
    let taken = admin.post(&projects, json!({"name": "APOLLO"})).await;
    assert_eq!((taken.status, taken.problem()), (409, "name_taken"));

    let seen = answer.header("etag").to_owned();
    let with = [("if-match", seen.as_str())];
    let changed = admin
        .patch_with(&path, json!({"name": "Artemis"}), &with)
        .await;
    assert_eq!(
        (changed.status, &changed.body["name"]),
        (200, &json!("Artemis"))
    );
    for stale in [
        admin.patch_with(&path, json!({"name": "B"}), &with).await,
        admin.delete_with(&path, &with).await,
    ] {
        assert_eq!(
            (stale.status, stale.problem()),
            (412, "precondition_failed")
        );
    }
    let names = column(&all(&admin, &projects, 1).await, "name");
    assert_eq!(names, ["Artemis", "Acme project"]);
    assert_eq!(admin.delete(&path).await.status, 204);
    assert_eq!(admin.get(&path).await.problem(), "not_found");
}

#[actix_web::test]
async fn an_owner_is_an_active_user() {
    let app = TestApp::spawn().await;
    let (admin, anna, ben) = (
        app.admin().await,
        app.user("anna").await,
        app.user("ben").await,
    );
    let acme = Tenant::create(&admin, "Acme").await;
    let disable = format!("/api/admin/users/{}/disable", ben.user_id);
    assert_eq!(admin.put(&disable, json!({})).await.status, 200);
    let projects = format!("{}/projects", acme.account_path());
    for id in [
        json!(Uuid::now_v7()),
        json!(ben.user_id),
        json!("x"),
        json!(null),
    ] {
        let body = json!({"name": "Apollo", "owner_id": id});
        for answer in [
            admin.post(&projects, body.clone()).await,
            admin.patch(&acme.project_path(), body).await,
        ] {
            assert_eq!(
                (answer.status, answer.problem()),
                (400, "validation_failed"),
                "{id}"
            );
            assert_eq!(answer.body["errors"][0]["field"], "owner_id");
        }
    }
    let body = json!({"owner_id": anna.user_id});
    let answer = admin.patch(&acme.project_path(), body.clone()).await;
    assert_eq!(
        (answer.status, &answer.body["owner_id"]),
        (200, &json!(anna.user_id))
    );
    let again = admin.patch(&acme.project_path(), body).await;
    assert_eq!(again.header("etag"), answer.header("etag"));
}

#[actix_web::test]
async fn a_role_reaches_what_is_below_and_nothing_above_or_beside() {
    let app = TestApp::spawn().await;
    let (admin, anna) = (app.admin().await, app.user("anna").await);
    let acme = Tenant::create(&admin, "Acme").await;
    let accounts = format!("{}/accounts", acme.organization_path());
    let beside = made(&admin, &accounts, json!({"name": "Beside"})).await;
    given(&admin, &anna, "editor", acme.resource("account")).await;

    let answer = anna
        .patch(&acme.project_path(), json!({"name": "New"}))
        .await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    made(
        &anna,
        &format!("{}/projects", acme.account_path()),
        json!({"name": "Mine"}),
    )
    .await;
    for path in [acme.project_path(), acme.account_path()] {
        let answer = anna.delete(&path).await;
        assert_eq!(
            (answer.status, answer.problem()),
            (403, "forbidden"),
            "{path}"
        );
    }
    // Whether there is an organization above, or an account beside, is not for her to know.
    for path in [acme.organization_path(), format!("/api/accounts/{beside}")] {
        for answer in [anna.get(&path).await, anna.delete(&path).await] {
            assert_eq!(
                (answer.status, answer.problem()),
                (404, "not_found"),
                "{path}"
            );
        }
    }
}
