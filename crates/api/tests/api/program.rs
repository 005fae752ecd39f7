//! The program's commands, run as an operator runs them.

use std::process::{Output, Stdio};

use tokio::process::Command;

use crate::{databases, harness::TestApp};

/// `gatepost` with the settings of the API's role on the database of `app`, and no others.
pub async fn gatepost(app: &TestApp, arguments: &[&str]) -> Command {
    let url = databases::api_url(&app.database).await;
    let mut command = Command::new(env!("CARGO_BIN_EXE_gatepost"));
    command
        .args(arguments)
        .env_clear()
        .env("DATABASE_URL", url)
        .env("LOG_FORMAT", "json")
        // No .env of the developer's is read there.
        .current_dir(std::env::temp_dir())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

/// Runs it to its end.
pub async fn run(app: &TestApp, arguments: &[&str]) -> Output {
    gatepost(app, arguments).await.output().await.unwrap()
}

/// The exit status, and what stood on standard output.
pub async fn told(app: &TestApp, arguments: &[&str]) -> (i32, String) {
    let output = run(app, arguments).await;
    let text = String::from_utf8(output.stdout).unwrap();
    let faults = String::from_utf8_lossy(&output.stderr);
    let code = output.status.code();
    (
        code.unwrap_or(-1),
        if text.is_empty() {
            faults.into_owned()
        } else {
            text
        },
    )
}
