//! The policy as operators and OPA servers meet it: files that are taken in while it serves,
//! bundles, decision logs, replays.

mod bundles;
mod decisions;
mod guides;
mod outages;
mod reload;

use std::{fs, path::Path};

use chrono::{Datelike, TimeDelta};
use gatepost::clock::Clock as _;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::{Answer, Client, TestApp};

const ONE: &str = "/access/v1/evaluation";
const MANY: &str = "/access/v1/evaluations";
const POLICY: &str = "/api/admin/policy";

/// A folder of custom rules.
struct Rules(TempDir);

impl Rules {
    fn new(rules: &str) -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        folder.write("policies/custom/rules.rego", rules);
        folder
    }

    fn path(&self) -> &str {
        self.0.path().to_str().unwrap()
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.0.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        // As a whole, as those do who know that it is watched.
        let fresh = path.with_extension("new");
        fs::write(&fresh, text).unwrap();
        fs::rename(fresh, path).unwrap();
    }

    async fn app(&self, more: &[(&str, &str)]) -> TestApp {
        let mut settings = vec![("POLICY_DIR", self.path())];
        settings.extend(more);
        TestApp::with(&settings).await
    }
}

/// Whoever has this name at the door may come in, and others may not.
fn door(name: &str) -> String {
    format!(
        r#"package gatepost.custom

allow contains {{"code": "guest", "message": "Expected."}} if {{
	input.action.name == "door:open"
	input.resource.properties.guest == "{name}"
}}
"#
    )
}

fn at_the_door(guest: &str) -> Value {
    json!({
        "subject": {"type": "visitor", "id": guest},
        "action": {"name": "open"},
        "resource": {"type": "door", "id": "1", "properties": {"guest": guest}},
    })
}

async fn knock(client: &Client, guest: &str) -> Answer {
    let answer = client.post(ONE, at_the_door(guest)).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer
}

/// Waits until what is shown of the policy is so.
async fn until(admin: &Client, what: impl Fn(&Value) -> bool) -> Value {
    for _ in 0..300 {
        let shown = admin.get(POLICY).await;
        assert_eq!(shown.status, 200, "{}", shown.body);
        if what(&shown.body) {
            return shown.body;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    panic!("nothing became of it: {}", admin.get(POLICY).await.body);
}

impl TestApp {
    /// The address is proven.
    async fn verify(&self, email: &str) {
        self.set_verified(email, "now()").await;
    }

    /// It is not.
    async fn unverify(&self, email: &str) {
        self.set_verified(email, "NULL").await;
    }

    async fn set_verified(&self, email: &str, at: &str) {
        let sql = format!("UPDATE users SET email_verified_at = {at} WHERE email = '{email}'");
        let sql = sqlx::AssertSqlSafe(sql);
        sqlx::query(sql)
            .execute(&mut self.sql().await)
            .await
            .unwrap();
        self.state.cache.forget_all();
    }

    /// How long it is until the next Monday at this hour.
    fn until_monday_at(&self, hour: u32) -> TimeDelta {
        let now = self.clock.now();
        let days = 7 - u64::from(now.weekday().num_days_from_monday());
        let monday = now.date_naive() + chrono::Days::new(days);
        monday.and_hms_opt(hour, 0, 0).unwrap().and_utc() - now
    }
}

fn codes(answer: &Value) -> Vec<&str> {
    let reasons = answer["context"]["reasons"].as_array().unwrap();
    reasons
        .iter()
        .map(|why| why["code"].as_str().unwrap())
        .collect()
}

fn example(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../examples/custom-policies")
        .join(name)
}
