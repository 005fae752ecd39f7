//! Why the answer is what it is, for those who ask for it.

use serde_json::{Value, json};
use tokio::process::Command;
use uuid::Uuid;

use super::{MANY, ONE, VIEWER, World, assign, execute};
use crate::{databases, harness::secret_key};

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
    let mut here = would.iter().filter(|one| one["at"] == project);
    let last = here.next_back().unwrap();
    assert_eq!(last["role"], "owner", "what carries all comes last");
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

#[actix_web::test]
async fn a_group_by_which_a_role_comes_is_named() {
    let world = World::new().await;
    let group = Uuid::now_v7();
    let sql = format!(
        "INSERT INTO groups (id, organization_id, name, name_normalized, created_at, updated_at)
         VALUES ('{group}', '{0}', 'g', 'g', now(), now());
         INSERT INTO group_members (group_id, user_id, organization_id, created_at)
         VALUES ('{group}', '{1}', '{0}', now())",
        world.organization, world.carol.user_id
    );
    execute(&world.app, sql).await;
    let there = (world.organization, "project", world.project);
    assign(&world.app, "group", &group.to_string(), VIEWER, there).await;
    let body = explained(world.ask(&world.carol, "read", "record-1"));
    let answer = world.admin.post(ONE, body).await;
    assert_eq!(answer.body["decision"], true, "{answer:?}");
    assert_eq!(
        answer.body["context"]["grants"][0]["group"],
        group.to_string()
    );
}

#[actix_web::test]
async fn the_command_line_explains_a_yes_and_a_no() {
    let world = World::new().await;
    let url = databases::api_url(&world.app.database).await;
    let folder = tempfile::tempdir().unwrap();
    let run = async |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_gatepost"))
            .args(["policy", "explain"])
            .args(arguments)
            .env_clear()
            .env("DATABASE_URL", &url)
            .env("SECRET_KEY", secret_key('a'))
            .env("CSRF_SECRET_KEY", secret_key('b'))
            .current_dir(&folder)
            .output()
            .await
            .unwrap();
        let told = String::from_utf8_lossy(&output.stdout).into_owned();
        let faults = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.code(), told, faults)
    };
    let project = format!("project:{}", world.project);
    let (code, told, faults) = run(&["alice@example.com", "read", &project]).await;
    assert_eq!(code, Some(0), "{told}{faults}");
    assert!(
        told.starts_with("yes\npermission  project:read\npath        system > organization:"),
        "{told}"
    );
    assert!(
        told.contains(&format!("holds       editor at {project}, until ")),
        "{told}"
    );
    let (code, told, _) = run(&["bob", "project:update", &project]).await;
    assert_eq!(code, Some(1));
    assert!(told.contains("because     no_grant"), "{told}");
    assert!(
        told.contains(&format!("would do    admin at {project}\n")),
        "{told}"
    );
    let (code, told, _) = run(&["bob", "project:update", &project, "--json"]).await;
    assert_eq!(code, Some(1));
    let told: Value = serde_json::from_str(&told).unwrap();
    assert_eq!(told["permission"], "project:update");
    assert_eq!(told["context"]["reasons"][0]["code"], "no_grant");
    assert!(told["context"]["would_allow"].as_array().unwrap().len() > 1);
    let (code, told, _) = run(&["nobody", "read", &project]).await;
    assert_eq!(
        (code, told.contains("unknown_subject")),
        (Some(1), true),
        "{told}"
    );
    let (code, told, _) = run(&["bob", "read", "project:x"]).await;
    assert_eq!(
        (code, told.contains("resource_not_found")),
        (Some(1), true),
        "{told}"
    );
    let (_, _, faults) = run(&["bob", "read", "project"]).await;
    assert!(faults.contains("<type>:<id>"), "{faults}");
}
