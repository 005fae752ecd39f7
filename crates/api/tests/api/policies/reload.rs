//! New files take the place of the old ones as a whole, or not at all.

use serde_json::{Value, json};

use super::{MANY, Rules, at_the_door, codes, door, example, knock, until};
use crate::{
    harness::TestApp,
    program::{gatepost, told},
};

#[actix_web::test]
async fn changed_files_decide_within_seconds_and_broken_ones_never() {
    let rules = Rules::new(&door("ada"));
    let app = rules.app(&[]).await;
    let admin = app.admin().await;
    let first = until(&admin, |_| true).await;
    assert_eq!(first["engine"], "embedded");
    assert_eq!(first["custom"], json!(["policies/custom/rules.rego"]));
    assert_eq!(first["revision"], first["digest"]);
    let answer = knock(&admin, "ada").await;
    assert_eq!(
        (&answer.body["decision"], codes(&answer.body)),
        (&json!(true), vec!["custom:guest"])
    );
    assert_eq!(answer.body["context"]["policy"], first["digest"]);

    rules.write("policies/custom/rules.rego", &door("bob"));
    let second = until(&admin, |shown| shown["digest"] != first["digest"]).await;
    assert_eq!(knock(&admin, "ada").await.body["decision"], false);
    let answer = knock(&admin, "bob").await;
    assert_eq!(answer.body["decision"], true);
    assert_eq!(answer.body["context"]["policy"], second["digest"]);
    let audit = admin.get("/api/admin/audit?action=policy.replaced").await;
    assert_eq!(
        audit.body["items"][0]["target_id"], second["digest"],
        "{}",
        audit.body
    );
    assert_eq!(audit.body["items"][0]["details"]["before"], first["digest"]);

    for (path, text, expected) in [
        (
            "rules.rego",
            "package gatepost.custom\n\nallow :=\n".to_owned(),
            "rules.rego:",
        ),
        (
            "rules.rego",
            format!("{}\nx := no_such(1)\n", door("eve")),
            "rules.rego:8: `no_such`",
        ),
        (
            "more_test.rego",
            "package more_test\n\ntest_it if 1 == 2\n".to_owned(),
            "more_test.rego:3:",
        ),
    ] {
        rules.write("policies/custom/rules.rego", &door("eve"));
        rules.write(&format!("policies/custom/{path}"), &text);
        let shown = until(&admin, |shown| {
            shown["fault"]
                .as_str()
                .is_some_and(|fault| fault.contains(expected))
        })
        .await;
        let health = app.anonymous().get("/api/health").await;
        assert_eq!(health.status, 200);
        assert_eq!(
            health.body["checks"]["policy"]["status"], "degraded",
            "{shown}"
        );
        assert_eq!(health.body["status"], "degraded");
        let ready = app.anonymous().get("/api/health/ready").await;
        assert_eq!(ready.status, 200);
        assert_eq!(knock(&admin, "eve").await.body["decision"], false, "{path}");
        assert_eq!(knock(&admin, "bob").await.body["decision"], true, "{path}");
    }
    rules.write(
        "policies/custom/more_test.rego",
        "package more_test\n\ntest_it if 2 == 2\n",
    );
    let third = until(&admin, |shown| shown["fault"].is_null()).await;
    assert_ne!(third["digest"], second["digest"]);
    assert_eq!(knock(&admin, "eve").await.body["decision"], true);
    let health = app.anonymous().get("/api/health").await;
    assert_eq!(health.body["checks"]["policy"]["status"], "ok");
    app.stop().await;
}

#[actix_web::test]
async fn a_batch_is_decided_by_one_policy_while_policies_change() {
    let rules = Rules::new(&door("ada"));
    let app = rules.app(&[]).await;
    let admin = app.admin().await;
    let questions = vec![at_the_door("ada"); 200];
    let batch = json!({"evaluations": questions});
    let mut seen = std::collections::BTreeSet::new();
    for round in 0..40 {
        let guest = if round % 2 == 0 { "ada" } else { "bob" };
        let text = format!("{}\n# {round}\n", door(guest));
        rules.write("policies/custom/rules.rego", &text);
        let changed = gatepost::policy_admin::watch::reload(&app.state);
        let (answer, _) = tokio::join!(admin.post(MANY, batch.clone()), changed);
        let answers = answer.body["evaluations"].as_array().unwrap();
        assert_eq!(answers.len(), 200);
        let policies: std::collections::BTreeSet<String> = answers
            .iter()
            .map(|answer| format!("{} {}", answer["decision"], answer["context"]["policy"]))
            .collect();
        assert_eq!(policies.len(), 1, "{policies:?}");
        seen.extend(policies);
    }
    assert!(seen.len() > 10, "{seen:?}");
    app.stop().await;
}

#[actix_web::test]
async fn roles_and_permissions_change_at_a_start_only() {
    let rules = Rules::new(&door("ada"));
    let app = rules.app(&[]).await;
    let admin = app.admin().await;
    let catalog = include_str!("../../../../../opa/data/gatepost/catalog/data.json");
    let changed = catalog.replace("Reads everything, changes nothing.", "Reads.");
    assert_ne!(changed, catalog);
    rules.write("data/gatepost/catalog/data.json", &changed);
    let shown = until(&admin, |shown| !shown["fault"].is_null()).await;
    assert!(
        shown["fault"].as_str().unwrap().contains("restart"),
        "{shown}"
    );
    app.stop().await;
}

#[actix_web::test]
async fn instances_are_told_to_look_and_bad_files_are_not_told_of() {
    let rules = Rules::new(&door("ada"));
    let app = rules.app(&[]).await;
    let run = async |dir: &str| {
        let mut command = gatepost(&app, &["policy", "reload"]).await;
        let output = command.env("POLICY_DIR", dir).output().await.unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        (
            output.status.code(),
            text + &String::from_utf8_lossy(&output.stderr),
        )
    };
    let (status, text) = run(rules.path()).await;
    assert_eq!(status, Some(0), "{text}");
    assert!(text.contains("All running instances"), "{text}");
    let broken = Rules::new("package gatepost.custom\n\nallow :=\n");
    let (status, text) = run(broken.path()).await;
    assert_eq!(status, Some(1), "{text}");
    assert!(text.contains("policies/custom/rules.rego:"), "{text}");
    let (status, text) = told(&app, &["policy", "show"]).await;
    assert_eq!(status, 0, "{text}");
    app.stop().await;
}

#[actix_web::test]
async fn a_deny_that_fails_refuses_what_it_fails_on_and_nothing_else() {
    let rules = Rules::new(&format!(
        r#"{}
deny contains {{"code": "young", "message": "Too young."}} if {{
	input.resource.properties.age
	to_number(input.resource.properties.age) < 18
}}

deny contains {{"code": "odd", "message": "Odd."}} if {{
	input.action.name == "organization:update"
	to_number(input.subject.id) > 3
}}
"#,
        door("ada")
    ));
    let app = rules.app(&[]).await;
    let admin = app.admin().await;
    let aged = |age: &str| {
        let mut question = at_the_door("ada");
        question["resource"]["properties"]["age"] = age.into();
        question
    };
    let answer = admin.post(super::ONE, aged("old enough")).await;
    assert_eq!(
        (answer.status, &answer.body["decision"]),
        (200, &json!(false))
    );
    assert_eq!(codes(&answer.body), ["policy_error"]);
    let batch = json!({"evaluations": [aged("20"), aged("old enough"), aged("17"), aged("18")]});
    let answer = admin.post(MANY, batch).await;
    let told: Vec<_> = answer.body["evaluations"]
        .as_array()
        .unwrap()
        .iter()
        .map(|answer| (answer["decision"] == true, codes(answer)))
        .collect();
    assert_eq!(
        told,
        [
            (true, vec!["custom:guest"]),
            (false, vec!["policy_error"]),
            (false, vec!["custom:young", "denied_by_rule"]),
            (true, vec!["custom:guest"]),
        ]
    );
    let created = admin
        .post("/api/organizations", json!({"name": "One"}))
        .await;
    assert_eq!(created.status, 201, "{}", created.body);
    let path = format!("/api/organizations/{}", created.id());
    assert_eq!(admin.get(&path).await.status, 200);
    let own = admin.patch(&path, json!({"name": "Two"})).await;
    assert_eq!((own.status, own.problem()), (503, "policy_unavailable"));
    app.stop().await;
}

/// The to-do application of the AuthZEN interoperability events, with a folder of rules and
/// nothing else.
#[actix_web::test]
async fn a_todo_application_is_a_policy_file() {
    let folder = example("todo");
    let app = TestApp::with(&[("POLICY_DIR", folder.to_str().unwrap())]).await;
    let admin = app.admin().await;
    let mut ids = std::collections::BTreeMap::new();
    for (name, roles) in [
        ("rick", json!(["admin", "evil_genius"])),
        ("morty", json!(["editor"])),
        ("beth", json!(["viewer"])),
    ] {
        let user = app.user(name).await;
        let path = format!("/api/admin/users/{}", user.user_id);
        let changed = json!({"attributes": {"todo_roles": roles}});
        let answer = admin.patch(&path, changed).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        ids.insert(name, user.user_id);
    }
    let ask = async |who: &str, action: &str, owner: &str| {
        let question = json!({
            "subject": {"type": "user", "id": format!("{who}@example.com"),
                "properties": {"todo_roles": ["admin", "evil_genius", "editor"]}},
            "action": {"name": action},
            "resource": {"type": "todo", "id": "7", "properties": {"ownerID": ids[owner]}},
        });
        let answer = admin.post(super::ONE, question).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer.body["decision"] == Value::Bool(true)
    };
    for (who, action, owner, expected) in [
        ("beth", "can_read_todos", "rick", true),
        ("beth", "can_create_todo", "beth", false),
        ("beth", "can_update_todo", "beth", false),
        ("beth", "can_delete_todo", "beth", false),
        ("morty", "can_create_todo", "morty", true),
        ("morty", "can_update_todo", "morty", true),
        ("morty", "can_update_todo", "rick", false),
        ("morty", "can_delete_todo", "morty", true),
        ("morty", "can_delete_todo", "rick", false),
        ("rick", "can_update_todo", "morty", true),
        ("rick", "can_delete_todo", "morty", true),
        ("rick", "can_undo_todo", "rick", false),
    ] {
        assert_eq!(
            ask(who, action, owner).await,
            expected,
            "{who} {action} {owner}"
        );
    }
    let beth = &ids["beth"];
    let question = json!({
        "subject": {"type": "user", "id": "morty@example.com"},
        "action": {"name": "can_read_user"},
        "resource": {"type": "user", "id": beth},
    });
    assert_eq!(
        admin.post(super::ONE, question).await.body["decision"],
        true
    );
    app.stop().await;
}

/// Office hours, the own domain and a second factor, at our own routes and for applications.
#[actix_web::test]
async fn guards_refuse_whatever_role_someone_holds() {
    let folder = example("guards");
    let app = TestApp::with(&[("POLICY_DIR", folder.to_str().unwrap())]).await;
    let admin = app.admin().await;
    app.verify("admin@example.com").await;
    let organization = admin
        .post("/api/organizations", json!({"name": "Guarded"}))
        .await
        .id();
    let accounts = format!("/api/organizations/{organization}/accounts");
    let account = admin.post(&accounts, json!({"name": "One"})).await.id();
    let projects = format!("/api/accounts/{account}/projects");

    // The next Monday at ten, then the evening.
    app.clock.advance(app.until_monday_at(10));
    let admin = app.admin().await;
    let project = admin.post(&projects, json!({"name": "In hours"})).await;
    assert_eq!(project.status, 201, "{}", project.body);
    let path = format!("/api/projects/{}", project.id());
    let rename = json!({"name": "Renamed"});
    assert_eq!(admin.patch(&path, rename.clone()).await.status, 200);
    let without_factor = admin.delete(&path).await;
    assert_eq!(
        (without_factor.status, without_factor.problem()),
        (403, "forbidden")
    );
    let question = json!({
        "subject": {"type": "user", "id": admin.user_id},
        "action": {"name": "delete"},
        "resource": {"type": "project", "id": project.id()},
    });
    let answer = admin.post(super::ONE, question).await;
    assert_eq!(answer.body["decision"], false);
    assert!(
        codes(&answer.body).contains(&"custom:mfa_needed"),
        "{}",
        answer.body
    );

    app.clock.advance(chrono::TimeDelta::hours(12));
    let admin = app.admin().await;
    assert_eq!(admin.get(&path).await.status, 200);
    assert_eq!(admin.patch(&path, rename.clone()).await.status, 403);

    app.clock.advance(chrono::TimeDelta::hours(12));
    let admin = app.admin().await;
    assert_eq!(admin.patch(&path, rename.clone()).await.status, 200);
    app.unverify("admin@example.com").await;
    app.clock.advance(chrono::TimeDelta::minutes(1));
    let answer = app.admin().await.patch(&path, rename).await;
    assert!([403, 404].contains(&answer.status), "{}", answer.body);
    app.stop().await;
}
