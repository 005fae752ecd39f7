//! What keys are for: asking for decisions, and what the guides do with them.

use std::{path::Path, process::Stdio};

use serde_json::{Value, json};
use tokio::process::Command;

use super::{by_key, keyed, made, secret};
use crate::{
    harness::{Client, TestApp},
    tenants::{Tenant, given},
};

#[actix_web::test]
async fn decisions_are_asked_for_by_key_about_oneself_and_by_permission_about_others() {
    let app = TestApp::spawn().await;
    let (admin, ada, bob) = (
        app.admin().await,
        app.user("ada").await,
        app.user("bob").await,
    );
    let tenant = Tenant::create(&admin, "Acme").await;
    given(&admin, &ada, "admin", tenant.resource("organization")).await;
    let question = |about: &Client| {
        json!({"subject": {"type": "user", "id": about.user_id}, "action": {"name": "update"},
            "resource": {"type": "project", "id": tenant.project}})
    };
    let ask = async |client: &Client, about: &Client| {
        let answer = client.post("/access/v1/evaluation", question(about)).await;
        (answer.status, answer.body["decision"].clone())
    };
    let asking = keyed(&app, &ada, json!(["self:evaluate"])).await;
    // The answer is about the person, and not about the key.
    assert_eq!(ask(&asking, &ada).await, (200, json!(true)));
    assert_eq!(ask(&asking, &bob).await.0, 403);
    let gate = keyed(&app, &ada, json!(["authz:evaluate"])).await;
    assert_eq!(ask(&gate, &ada).await, (200, json!(true)));
    assert_eq!(ask(&gate, &bob).await, (200, json!(false)));
    let other = keyed(&app, &ada, json!(["project:*"])).await;
    assert_eq!(ask(&other, &ada).await.0, 403);
}

#[actix_web::test]
async fn what_a_key_does_is_written_down_as_done_by_it() {
    let app = TestApp::spawn().await;
    let admin = app.admin().await;
    let made = made(&admin, json!(["organization:create"])).await;
    let key = by_key(&app, &secret(&made));
    let new = key
        .post("/api/organizations", json!({"name": "Acme"}))
        .await;
    assert_eq!(new.status, 201, "{new:?}");
    let audit = admin
        .get("/api/admin/audit?action=organization.created")
        .await;
    let entry = &audit.body["items"][0];
    assert_eq!(entry["details"]["api_key_id"], made.id());
    assert_eq!(entry["actor_id"], admin.user_id.as_str());
    assert_eq!(entry["actor_session"], Value::Null);
}

/// Runs the commands of a guide as they are written, as `client`.
async fn run_guide(app: &TestApp, client: &Client, name: &str) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let guide = std::fs::read_to_string(root.join("docs/guides").join(name)).unwrap();
    let blocks = guide.split("```sh\n").skip(1);
    let script: String = blocks
        .map(|block| block.split("```").next().unwrap())
        .collect();
    let script = script.replace("http://localhost:8004", &app.address);
    let run = Command::new("bash")
        .args(["-euo", "pipefail", "-c", &script])
        .env("NO_PROXY", "127.0.0.1")
        .env("token", client.token.as_deref().unwrap())
        .stdin(Stdio::null())
        .output()
        .await
        .unwrap();
    let told = String::from_utf8_lossy(&run.stdout);
    let faults = String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success(), "{told}\n{faults}");
}

#[actix_web::test]
async fn the_guides_commands_run_as_they_are_written() {
    let app = TestApp::spawn().await;
    let admin = app.admin().await;
    run_guide(&app, &admin, "api-keys.md").await;
    run_guide(&app, &admin, "forward-auth.md").await;
}
