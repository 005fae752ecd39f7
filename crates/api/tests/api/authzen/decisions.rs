//! Who and what is named, and what roles decide about it.

use chrono::TimeDelta;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{ONE, VIEWER, World, assign, decision, execute, question, why};
use crate::harness::Client;

#[actix_web::test]
async fn roles_on_a_project_decide_about_the_records_below_it() {
    let world = World::new().await;
    for (who, action, wanted) in [
        (&world.alice, "read", true),
        (&world.alice, "write", true),
        (&world.bob, "read", true),
        (&world.bob, "write", false),
        (&world.carol, "read", false),
    ] {
        let body = world.ask(who, action, "record-1");
        for _ in 0..2 {
            let answer = world.gate.post(ONE, body.clone()).await;
            let reason = if wanted { "granted" } else { "no_grant" };
            assert_eq!(why(&answer), (wanted, reason), "{body}");
            let digest = answer.body["context"]["policy"].as_str().unwrap();
            assert_eq!(digest.len(), 64);
            let grants = answer.body["context"]["matched_grants"].as_array().unwrap();
            assert_eq!(grants.len(), usize::from(wanted));
        }
    }
}

#[actix_web::test]
async fn users_are_known_by_address_or_name_where_they_belong() {
    let world = World::new().await;
    let ask = async |who: &Client, name: &str| {
        let body = question(name, "read", world.record("record-1"));
        let answer = who.post(ONE, body).await;
        let (decision, code) = why(&answer);
        (decision, code.to_owned())
    };
    let code = |decision, code: &str| (decision, code.to_owned());
    for name in ["alice@example.com", "ALICE", world.alice.user_id.as_str()] {
        assert_eq!(
            ask(&world.gate, name).await,
            code(true, "granted"),
            "{name}"
        );
    }
    let unknown = Uuid::now_v7().to_string();
    for name in [
        "nobody@example.com",
        "nobody",
        "x y",
        &"x".repeat(1000),
        &unknown,
    ] {
        assert_eq!(
            ask(&world.gate, name).await,
            code(false, "unknown_subject"),
            "{name}"
        );
        assert_eq!(
            ask(&world.admin, name).await,
            code(false, "unknown_subject"),
            "{name}"
        );
    }
    // Carol has an account, but nothing in this organization: its gate must not find out.
    assert_eq!(
        ask(&world.gate, "carol@example.com").await,
        code(false, "unknown_subject")
    );
    assert_eq!(
        ask(&world.gate, &world.carol.user_id).await,
        code(false, "no_grant")
    );
    assert_eq!(
        ask(&world.admin, "carol@example.com").await,
        code(false, "no_grant")
    );
}

#[actix_web::test]
async fn a_username_that_looks_like_an_id_stands_for_nobody() {
    let world = World::new().await;
    let impostor = world.app.user("impostor").await;
    let taken = Uuid::now_v7().to_string();
    let renamed = impostor
        .put("/api/users/me", json!({"username": taken}))
        .await;
    assert_eq!(renamed.status, 200, "{renamed:?}");
    let body = question(&taken, "read", world.record("record-1"));
    assert_eq!(
        why(&world.admin.post(ONE, body).await),
        (false, "unknown_subject")
    );
}

#[actix_web::test]
async fn nobody_who_is_disabled_is_allowed_anything_whatever_the_request_says() {
    let world = World::new().await;
    let disable = format!("/api/admin/users/{}/disable", world.alice.user_id);
    assert_eq!(world.admin.put(&disable, json!({})).await.status, 200);
    let mut body = world.ask(&world.alice, "read", "record-1");
    body["subject"]["properties"] = json!({"status": "active"});
    assert_eq!(
        why(&world.gate.post(ONE, body).await),
        (false, "subject_inactive")
    );
}

#[actix_web::test]
async fn a_role_ends_at_its_second() {
    let world = World::new().await;
    let body = world.ask(&world.alice, "read", "record-1");
    // The gate's own role ends with it, so the administrator asks.
    assert!(decision(&world.admin.post(ONE, body.clone()).await));
    world
        .app
        .clock
        .advance(TimeDelta::minutes(60) - TimeDelta::seconds(1));
    let admin = world.app.admin().await;
    assert!(decision(&admin.post(ONE, body.clone()).await));
    world.app.clock.advance(TimeDelta::seconds(1));
    let answer = admin.post(ONE, body).await;
    assert!(!decision(&answer));
    let reasons = answer.body["context"]["reasons"].to_string();
    assert!(reasons.contains("expired_grant"), "{reasons}");
}

#[actix_web::test]
async fn service_accounts_hold_roles_and_other_subjects_hold_none() {
    let world = World::new().await;
    let id = Uuid::now_v7();
    let sql = format!(
        "INSERT INTO service_accounts (id, name, name_normalized, description, status, created_at, updated_at)
         VALUES ('{id}', 'robot', 'robot', '', 'active', now(), now())"
    );
    execute(&world.app, sql).await;
    let at = (world.organization, "project", world.project);
    let grant = assign(&world.app, "service_account", &id.to_string(), VIEWER, at).await;
    let ask = async |kind: &str, id: &str, action: &str| {
        let mut body = question(id, action, world.record("record-1"));
        body["subject"]["type"] = json!(kind);
        body["subject"]["properties"] =
            json!({"status": "active", "roles": ["admin"], "permissions": ["*"]});
        world.gate.post(ONE, body).await
    };
    let answer = ask("service_account", &id.to_string(), "read").await;
    assert_eq!(why(&answer), (true, "granted"));
    assert_eq!(answer.body["context"]["matched_grants"], json!([grant]));
    let answer = ask("service_account", &id.to_string(), "write").await;
    assert_eq!(why(&answer), (false, "no_grant"));
    for (kind, id, reason) in [
        ("service_account", "robot", "unknown_subject"),
        (
            "service_account",
            world.alice.user_id.as_str(),
            "unknown_subject",
        ),
        ("user", &id.to_string(), "unknown_subject"),
        ("spaceship", "enterprise", "no_grant"),
        ("User", world.alice.user_id.as_str(), "no_grant"),
    ] {
        assert_eq!(
            why(&ask(kind, id, "read").await),
            (false, reason),
            "{kind} {id}"
        );
    }
}

#[actix_web::test]
async fn what_is_not_there_is_not_allowed() {
    let world = World::new().await;
    let ask = async |resource: Value| {
        let body = question("admin@example.com", "read", resource);
        let answer = world.admin.post(ONE, body).await;
        let (decision, code) = why(&answer);
        (decision, code.to_owned())
    };
    let nowhere = Uuid::now_v7();
    let below = |kind: &str, id: String| json!({"type": "record", "id": "r", "properties": {"parent": {"type": kind, "id": id}}});
    for resource in [
        json!({"type": "project", "id": nowhere}),
        json!({"type": "account", "id": world.project}),
        json!({"type": "organization", "id": "first"}),
        json!({"type": "user", "id": nowhere}),
        below("project", nowhere.to_string()),
        below("project", "p".to_owned()),
        below("folder", world.project.to_string()),
    ] {
        assert_eq!(
            ask(resource.clone()).await,
            (false, "resource_not_found".to_owned()),
            "{resource}"
        );
    }
    for resource in [
        json!({"type": "system", "id": "here"}),
        json!({"type": "organization", "id": world.organization}),
        json!({"type": "user", "id": world.bob.user_id}),
        json!({"type": "record", "id": "without a parent"}),
        below("organization", world.organization.to_string()),
    ] {
        assert_eq!(
            ask(resource.clone()).await,
            (true, "granted".to_owned()),
            "{resource}"
        );
    }
    // Without a parent only what is held on the system counts.
    let body = question(
        &world.alice.user_id,
        "read",
        json!({"type": "record", "id": "record-1"}),
    );
    assert_eq!(why(&world.admin.post(ONE, body).await), (false, "no_grant"));
    let body = question(
        &world.alice.user_id,
        "read",
        json!({"type": "record", "id": "r",
        "properties": {"parent": "project"}}),
    );
    let answer = world.admin.post(ONE, body).await;
    assert_eq!(
        (answer.status, answer.problem()),
        (400, "validation_failed")
    );
}
