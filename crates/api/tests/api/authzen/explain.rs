//! Why the answer is what it is, for those who ask for it.

use serde_json::{Value, json};

use super::{MANY, ONE, VIEWER, World, assign, execute};

fn explained(mut question: Value) -> Value {
    question["context"]["explain"] = json!(true);
    question
}

#[actix_web::test]
async fn a_yes_names_the_assignment_and_a_no_the_roles_that_would_do() {
    let world = World::new().await;
    let custom = format!(
        "INSERT INTO roles (id, organization_id, key, name, permissions, assignable_at, created_at, updated_at)
         VALUES (gen_random_uuid(), '{}', 'scribe', 'Scribe', '{{record:write}}', '{{project}}', now(), now())",
        world.organization
    );
    execute(&world.app, custom).await;
    let answer = world
        .gate
        .post(ONE, explained(world.ask(&world.alice, "write", "record-1")))
        .await;
    let context = &answer.body["context"];
    assert_eq!(answer.body["decision"], true, "{answer:?}");
    let grant = &context["grants"][0];
    assert_eq!(grant["assignment"], context["matched_grants"][0]);
    assert_eq!(grant["role"], "editor");
    assert_eq!(grant["at"], json!({"type": "project", "id": world.project}));
    assert!(grant["expires_at"].is_string());
    assert!(context.get("would_allow").is_none());

    let body = explained(world.ask(&world.bob, "write", "record-1"));
    let answer = world.gate.post(ONE, body.clone()).await;
    assert_eq!(answer.body["decision"], false);
    let would = answer.body["context"]["would_allow"].as_array().unwrap();
    let project = json!({"type": "project", "id": world.project});
    assert_eq!(
        would[0],
        json!({"role": "scribe", "at": project}),
        "the least at the nearest"
    );
    for role in ["editor", "admin", "owner"] {
        assert!(
            would.contains(&json!({"role": role, "at": project})),
            "{role}: {would:?}"
        );
    }
    assert!(would.contains(&json!({"role": "admin", "at": {"type": "system"}})));
    assert!(
        !would.iter().any(|one| one["role"] == "viewer"),
        "{would:?}"
    );
    // Each of them really would.
    let there = (world.organization, "project", world.project);
    assign(
        &world.app,
        "user",
        &world.bob.user_id,
        super::PROJECT_EDITOR,
        there,
    )
    .await;
    let second = world.app.second().await;
    let answer = world.gate.at(&second).post(ONE, body.clone()).await;
    assert_eq!(answer.body["decision"], true, "{answer:?}");

    // Who asks about themselves learns nothing of an organization's own roles, nor of what they
    // may not know of.
    let own = explained(world.ask(&world.carol, "write", "record-1"));
    let answer = world.carol.post(ONE, own).await;
    assert_eq!(
        answer.body["context"]["reasons"][0]["code"],
        "resource_not_found"
    );
    assert!(answer.body["context"].get("would_allow").is_none());
    assign(&world.app, "user", &world.carol.user_id, VIEWER, there).await;
    let own = explained(world.ask(&world.carol, "write", "record-1"));
    let answer = world.carol.at(&second).post(ONE, own).await;
    let would = answer.body["context"]["would_allow"].as_array().unwrap();
    assert!(
        !would.iter().any(|one| one["role"] == "scribe"),
        "{would:?}"
    );
    assert!(would.iter().any(|one| one["role"] == "editor"), "{would:?}");
    second.stop().await;
}

#[actix_web::test]
async fn nothing_is_explained_that_was_not_asked_for_nor_more_than_can_be() {
    let world = World::new().await;
    let plain = world.ask(&world.bob, "write", "record-1");
    let answer = world.gate.post(ONE, plain.clone()).await;
    for member in ["grants", "would_allow"] {
        assert!(answer.body["context"].get(member).is_none(), "{answer:?}");
    }
    let mut body = explained(plain);
    body["evaluations"] = json!(vec![json!({}); 200]);
    let answer = world.gate.post(MANY, body).await;
    let items = answer.body["evaluations"].as_array().unwrap();
    assert_eq!(items.len(), 200);
    assert!(items[0]["context"]["would_allow"].is_array());
    assert!(items[199]["context"].get("would_allow").is_none());
    // Whom nothing helps is told so.
    let disable = format!("/api/admin/users/{}/disable", world.bob.user_id);
    assert_eq!(world.admin.put(&disable, json!({})).await.status, 200);
    let body = explained(world.ask(&world.bob, "read", "record-1"));
    let answer = world.gate.post(ONE, body).await;
    assert_eq!(
        answer.body["context"]["would_allow"],
        json!([]),
        "{answer:?}"
    );
}
