//! Who has access, and by which ways.

use serde_json::json;

use crate::{
    harness::TestApp,
    tenants::{Tenant, all, given, made},
};

#[actix_web::test]
async fn the_members_of_a_project_are_all_who_reach_it_each_with_their_ways() {
    let app = TestApp::spawn().await;
    let (root, anna, ben) = (
        app.admin().await,
        app.user("anna").await,
        app.user("ben").await,
    );
    let acme = Tenant::create(&root, "Acme").await;
    let groups = format!("{}/groups", acme.organization_path());
    let staff = made(&root, &groups, json!({"name": "Staff"})).await;
    for user in [&anna, &ben] {
        let path = format!("{groups}/{staff}/members/{}", user.user_id);
        assert_eq!(root.put(&path, json!({})).await.status, 204);
    }
    let body = json!({
        "principal": {"type": "group", "id": staff}, "role": "viewer",
        "resource": acme.resource("account"),
    });
    let through = made(&root, "/api/role-assignments", body).await;
    let direct = given(&root, &anna, "editor", acme.resource("project")).await;

    let listed = all(
        &anna,
        &format!("{}/members?order=created_at", acme.project_path()),
        1,
    )
    .await;
    assert_eq!(listed.len(), 3, "root by the system and as owner, too");
    assert_eq!(listed[0]["principal"]["id"], *root.user_id);
    assert_eq!(listed[0]["roles"].as_array().unwrap().len(), 2);
    assert_eq!(listed[0]["roles"][0]["resource"]["type"], "system");
    let ways = listed[1]["roles"].as_array().unwrap();
    assert_eq!(listed[1]["name"], "anna");
    assert_eq!(ways[0]["role_assignment_id"], *through);
    assert_eq!(ways[0]["inherited"], true);
    assert_eq!(ways[0]["group"], json!({"id": staff, "name": "Staff"}));
    assert_eq!(ways[0]["resource"], acme.resource("account"));
    assert_eq!(ways[1]["role_assignment_id"], *direct);
    assert_eq!(ways[1]["inherited"], false);
    assert_eq!(ways[1]["group"], json!(null));
    assert_eq!(ways[1]["granted_by"], *root.user_id);
    assert_eq!(listed[2]["principal"]["id"], *ben.user_id);

    let of_account = all(&root, &format!("{}/members", acme.account_path()), 50).await;
    assert_eq!(of_account.len(), 3);
    let of_organization = all(&root, &format!("{}/members", acme.organization_path()), 50).await;
    assert_eq!(
        of_organization.len(),
        1,
        "what is held below does not count"
    );
    let stranger = app.user("stranger").await;
    let answer = stranger
        .get(&format!("{}/members", acme.project_path()))
        .await;
    assert_eq!(answer.problem(), "not_found");
}

#[actix_web::test]
async fn the_access_review_has_every_line_once_as_json_and_as_csv() {
    let app = TestApp::spawn().await;
    let (root, anna, ben) = (
        app.admin().await,
        app.user("anna").await,
        app.user("ben").await,
    );
    let acme = Tenant::create(&root, "Acme").await;
    let groups = format!("{}/groups", acme.organization_path());
    let staff = made(&root, &groups, json!({"name": "=cmd|'/c calc'!A1"})).await;
    for user in [&anna, &ben] {
        let path = format!("{groups}/{staff}/members/{}", user.user_id);
        assert_eq!(root.put(&path, json!({})).await.status, 204);
    }
    let body = json!({
        "principal": {"type": "group", "id": staff}, "role": "viewer",
        "resource": acme.resource("account"), "reason": "+1, \"really\"",
    });
    made(&root, "/api/role-assignments", body).await;
    given(&root, &anna, "editor", acme.resource("project")).await;

    let path = format!("{}/access-review", acme.organization_path());
    let items = all(&root, &path, 1).await;
    assert_eq!(items.len(), 4);
    assert_eq!(items, all(&root, &path, 200).await);
    let (first, through) = (&items[0], &items[1]);
    assert_eq!(first["role"], "owner");
    assert_eq!(first["resource_name"], "Acme");
    assert_eq!(through["principal"]["id"], *anna.user_id);
    assert_eq!(through["email"], "anna@example.com");
    assert_eq!(through["group"]["id"], *staff);
    assert_eq!(through["granted_by"], *root.user_id);
    assert!(through["last_seen_at"].is_string(), "{through}");

    for (query, headers) in [
        ("?format=csv", vec![]),
        ("", vec![("accept", "text/csv")]),
        ("", vec![("accept", "text/csv; charset=utf-8, */*;q=0.1")]),
    ] {
        let (kind, text) = root.text(&format!("{path}{query}"), &headers).await;
        assert!(kind.starts_with("text/csv"), "{kind}");
        let lines: Vec<_> = text.split("\r\n").collect();
        assert_eq!(lines.len(), 6, "head, four lines and the end: {text}");
        assert!(lines[0].starts_with("role_assignment_id,principal_type,"));
        assert!(
            lines[2].contains(",\"'=cmd|'/c calc'!A1\","),
            "{}",
            lines[2]
        );
        assert!(
            lines[2].contains(",\"'+1, \"\"really\"\"\","),
            "{}",
            lines[2]
        );
    }
    assert_eq!(
        root.get(&format!("{path}?cursor=x")).await.problem(),
        "invalid_cursor"
    );
    assert_eq!(anna.get(&path).await.problem(), "not_found");
    given(&root, &anna, "viewer", acme.resource("organization")).await;
    assert_eq!(anna.get(&path).await.problem(), "forbidden");
}
