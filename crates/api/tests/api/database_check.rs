//! `gatepost db check` on real servers in every state that it tells apart.

mod certificates;
mod drift;
mod poolers;
mod servers;
mod standbys;
mod states;
mod strangers;
mod transport;

use std::process::Stdio;

use gatepost::database::check::Class;
use serde_json::Value;
use tokio::process::Command;

/// What a check said.
pub struct Told {
    pub status: i32,
    pub json: Value,
    pub all: String,
}

impl Told {
    pub fn code(&self) -> &str {
        self.json["code"].as_str().unwrap_or_default()
    }

    pub fn fix(&self) -> &str {
        self.json["fix"].as_str().unwrap_or_default()
    }

    /// The findings of a code, errors or not.
    pub fn finding(&self, code: &str) -> Option<&Value> {
        let findings = self.json["findings"].as_array().unwrap();
        findings.iter().find(|finding| finding["code"] == code)
    }
}

/// Runs the command with `arguments` and these settings alone.
pub async fn check_with(arguments: &[&str], settings: &[(&str, &str)]) -> Told {
    let output = Command::new(env!("CARGO_BIN_EXE_gatepost"))
        .args(["db", "check", "--json"])
        .args(arguments)
        .env_clear()
        .envs(settings.iter().copied())
        .current_dir(std::env::temp_dir())
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let faults = String::from_utf8_lossy(&output.stderr);
    let json =
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}{faults}"));
    let told = Told {
        status: output.status.code().unwrap(),
        json,
        all: format!("{text}{faults}"),
    };
    assert!(!told.all.contains(servers::PASSWORD), "{}", told.all);
    told
}

pub async fn check(url: &str) -> Told {
    check_with(&["--timeout", "5", url], &[]).await
}

/// Checks `url`, and demands class, exit status, and what the fix has to say.
pub async fn expect(url: &str, code: &str, status: i32, fix: &str) -> Told {
    let told = check(url).await;
    demand(&told, url, code, status, fix);
    told
}

pub fn demand(told: &Told, url: &str, code: &str, status: i32, fix: &str) {
    assert_eq!(
        (told.code(), told.status),
        (code, status),
        "{url}\n{}",
        told.all
    );
    assert!(told.fix().contains(fix), "{url}: {}", told.fix());
    let outcome = if status == 0 { "ok" } else { "error" };
    assert_eq!(told.json["status"], outcome);
    assert!(!told.json["message"].as_str().unwrap().is_empty());
}

const GUIDE: &str = include_str!("../../../../docs/guides/database-check.md");

#[test]
fn the_guide_has_every_code() {
    let rows: Vec<_> = Class::ALL
        .iter()
        .map(|class| {
            format!(
                "| `{class}` | {} | {} |",
                class.exit_status(),
                class.title()
            )
        })
        .collect();
    let documented: Vec<_> = GUIDE
        .lines()
        .filter(|line| line.starts_with("| `PG"))
        .collect();
    assert_eq!(documented, rows, "it has to be:\n{}\n", rows.join("\n"));
}
