//! Accounts: the parts of an organization.

use serde_json::json;

use crate::{
    harness::TestApp,
    tenants::{Tenant, all, column, given, made},
};

#[actix_web::test]
async fn an_account_lives_from_its_making_to_its_end() {
    let app = TestApp::spawn().await;
    let admin = app.admin().await;
    let acme = Tenant::create(&admin, "Acme").await;
    let accounts = format!("{}/accounts", acme.organization_path());
    let answer = admin.post(&accounts, json!({"name": "Sales"})).await;
    assert_eq!(answer.status, 201, "{}", answer.body);
    let path = format!("/api/accounts/{}", answer.id());
    assert_eq!(answer.header("location"), path);
    assert_eq!(answer.body["organization_id"], acme.organization);
    assert!(!answer.header("gatepost-revision").is_empty());
    assert_eq!(admin.get(&path).await.body, answer.body);

    let seen = answer.header("etag").to_owned();
    let with = [("if-match", seen.as_str())];
    let changed = admin
        .patch_with(&path, json!({"name": "Selling"}), &with)
        .await;
    assert_eq!(
        (changed.status, &changed.body["name"]),
        (200, &json!("Selling"))
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
    let fresh = [("if-match", changed.header("etag"))];
    assert_eq!(admin.delete_with(&path, &fresh).await.status, 204);
    assert_eq!(admin.get(&path).await.problem(), "not_found");
}

#[actix_web::test]
async fn a_name_is_unique_in_its_organization_only() {
    let app = TestApp::spawn().await;
    let admin = app.admin().await;
    let (acme, other) = (
        Tenant::create(&admin, "Acme").await,
        Tenant::create(&admin, "Other").await,
    );
    let accounts = format!("{}/accounts", acme.organization_path());
    let sales = made(&admin, &accounts, json!({"name": "Sales"})).await;
    let answer = admin.post(&accounts, json!({"name": "SALES"})).await;
    assert_eq!((answer.status, answer.problem()), (409, "name_taken"));
    let answer = admin
        .patch(
            &format!("/api/accounts/{sales}"),
            json!({"name": "acme account"}),
        )
        .await;
    assert_eq!((answer.status, answer.problem()), (409, "name_taken"));
    made(
        &admin,
        &format!("{}/accounts", other.organization_path()),
        json!({"name": "Sales"}),
    )
    .await;
}

#[actix_web::test]
async fn an_idempotency_key_is_good_for_one_request_of_one_person() {
    let app = TestApp::spawn().await;
    let (admin, anna) = (app.admin().await, app.user("anna").await);
    let (acme, other) = (
        Tenant::create(&admin, "Acme").await,
        Tenant::create(&admin, "Other").await,
    );
    given(&admin, &anna, "owner", acme.resource("organization")).await;
    let path = |tenant: &Tenant| format!("{}/accounts", tenant.organization_path());
    let with = [("idempotency-key", "k-1")];
    let body = json!({"name": "Sales"});
    let first = admin.post_with(&path(&acme), body.clone(), &with).await;
    let again = admin.post_with(&path(&acme), body.clone(), &with).await;
    assert_eq!((again.status, &again.body), (201, &first.body));
    assert_eq!(again.header("location"), first.header("location"));
    let elsewhere = admin.post_with(&path(&other), body.clone(), &with).await;
    assert_eq!(
        (elsewhere.status, elsewhere.problem()),
        (422, "idempotency_key_reused")
    );
    let anothers = anna.post_with(&path(&acme), body.clone(), &with).await;
    assert_eq!(
        (anothers.status, anothers.problem()),
        (409, "name_taken"),
        "no replay for others"
    );
    app.clock.advance(chrono::TimeDelta::hours(25));
    let admin = app.admin().await;
    let later = admin.post_with(&path(&acme), body, &with).await;
    assert_eq!(
        (later.status, later.problem()),
        (409, "name_taken"),
        "a day is over"
    );
    let answer = admin
        .post_with(
            &path(&acme),
            json!({"name": "C"}),
            &[("idempotency-key", "")],
        )
        .await;
    assert_eq!(
        (answer.status, answer.problem()),
        (400, "validation_failed")
    );
}

#[actix_web::test]
async fn a_list_holds_the_accounts_of_one_organization() {
    let app = TestApp::spawn().await;
    let admin = app.admin().await;
    let (acme, _) = (
        Tenant::create(&admin, "Acme").await,
        Tenant::create(&admin, "Other").await,
    );
    let accounts = format!("{}/accounts", acme.organization_path());
    for number in 0..4 {
        made(&admin, &accounts, json!({"name": format!("Part {number}")})).await;
    }
    let names = column(
        &all(&admin, &format!("{accounts}?order=created_at"), 2).await,
        "name",
    );
    assert_eq!(
        names,
        ["Acme account", "Part 0", "Part 1", "Part 2", "Part 3"]
    );
    assert_eq!(all(&admin, &format!("{accounts}?q=part"), 3).await.len(), 4);
}
