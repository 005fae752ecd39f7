//! The guides are run as they are written.

use std::{os::unix::fs::symlink, path::Path, process::Stdio};

use tokio::process::Command;

use super::example;
use crate::{
    databases,
    harness::{TestApp, secret_key},
};

const CUSTOM: &str = include_str!("../../../../../docs/guides/custom-policies.md");
const OPERATIONS: &str = include_str!("../../../../../docs/guides/policy-operations.md");

/// Runs the guide's commands, one block after the other, in a folder where the policy is watched.
async fn run(guide: &str) {
    let folder = tempfile::tempdir().unwrap();
    let policy = folder.path().join("policy/policies/custom");
    std::fs::create_dir_all(&policy).unwrap();
    let rules = "policies/custom/todo.rego";
    std::fs::copy(example("todo").join(rules), policy.join("todo.rego")).unwrap();
    let examples = example("").join("..");
    symlink(
        examples.canonicalize().unwrap(),
        folder.path().join("examples"),
    )
    .unwrap();
    let dir = folder.path().join("policy");
    let app = TestApp::with(&[
        ("POLICY_DIR", dir.to_str().unwrap()),
        ("DECISION_LOG", "all"),
    ])
    .await;
    let admin = app.admin().await;
    let program = Path::new(env!("CARGO_BIN_EXE_gatepost")).parent().unwrap();
    let blocks: Vec<_> = guide.split("```sh\n").skip(1).collect();
    assert!(blocks.len() >= 4);
    for block in blocks {
        let script = block.split("```").next().unwrap();
        let script = script.replace("http://localhost:8004", &app.address);
        let path = format!("{}:/usr/local/bin:/usr/bin:/bin", program.display());
        let output = Command::new("bash")
            .args(["-euo", "pipefail", "-c", &script])
            .current_dir(&folder)
            .env_clear()
            .env("PATH", path)
            .env("NO_PROXY", "127.0.0.1")
            .env("TOKEN", admin.token.as_deref().unwrap())
            .env("POLICY_DIR", &dir)
            .env("DATABASE_URL", databases::api_url(&app.database).await)
            .env("SECRET_KEY", secret_key('a'))
            .stdin(Stdio::null())
            .output()
            .await
            .unwrap();
        let told = String::from_utf8_lossy(&output.stdout);
        let faults = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{script}\n{told}\n{faults}");
    }
    app.stop().await;
}

#[actix_web::test]
async fn the_guide_to_custom_policies_runs_as_written() {
    run(CUSTOM).await;
}

#[actix_web::test]
async fn the_guide_to_operating_the_policy_runs_as_written() {
    run(OPERATIONS).await;
}
