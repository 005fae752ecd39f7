//! Decisions for applications, as the certification of `AuthZEN` 1.0 asks for them, and what
//! it leaves open: who may ask, and what is learned of things one may not know.
#![expect(
    clippy::unwrap_used,
    reason = "a helper that fails fails its test, as the test itself would"
)]

mod agreement;
mod batches;
mod callers;
mod certification;
mod decisions;
mod explain;
mod freshness;
mod payloads;
mod rules;
mod search;

use chrono::TimeDelta;
use serde_json::{Value, json};
use sqlx::Executor;
use uuid::Uuid;

use crate::harness::{Answer, Client, TestApp};

const ONE: &str = "/access/v1/evaluation";
const MANY: &str = "/access/v1/evaluations";
/// Built-in roles, by the ids of the policy's data.
const ORGANIZATION_ADMIN: &str = "019a9f00-0000-7000-8000-000000000004";
const PROJECT_EDITOR: &str = "019a9f00-0000-7000-8000-000000000009";
const VIEWER: &str = "019a9f00-0000-7000-8000-000000000010";

/// Two organizations with a project each. In the first one, alice edits the project, bob views
/// it and the gate asks about them; carol runs the second one.
struct World {
    app: TestApp,
    admin: Client,
    gate: Client,
    alice: Client,
    bob: Client,
    carol: Client,
    organization: Uuid,
    project: Uuid,
    foreign_project: Uuid,
}

impl World {
    async fn new() -> Self {
        Self::on(TestApp::spawn().await).await
    }

    async fn on(app: TestApp) -> Self {
        let admin = app.admin().await;
        let gate = app.user("gate").await;
        let alice = app.user("alice").await;
        let bob = app.user("bob").await;
        let carol = app.user("carol").await;
        let (organization, project) = tenant(&app, "first").await;
        let (second, foreign_project) = tenant(&app, "second").await;
        let at = |id| (organization, "organization", id);
        assign(
            &app,
            "user",
            &gate.user_id,
            ORGANIZATION_ADMIN,
            at(organization),
        )
        .await;
        let at = |id| (organization, "project", id);
        assign(&app, "user", &alice.user_id, PROJECT_EDITOR, at(project)).await;
        assign(&app, "user", &bob.user_id, VIEWER, at(project)).await;
        let there = (second, "organization", second);
        assign(&app, "user", &carol.user_id, ORGANIZATION_ADMIN, there).await;
        Self {
            app,
            admin,
            gate,
            alice,
            bob,
            carol,
            organization,
            project,
            foreign_project,
        }
    }

    /// A record of the first project.
    fn record(&self, id: &str) -> Value {
        record(id, self.project)
    }

    fn ask(&self, who: &Client, action: &str, id: &str) -> Value {
        question(&who.user_id, action, self.record(id))
    }
}

fn record(id: &str, project: Uuid) -> Value {
    json!({"type": "record", "id": id, "properties": {"parent": {"type": "project", "id": project}}})
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "calls read better with what `json!` makes"
)]
fn question(user: &str, action: &str, resource: Value) -> Value {
    json!({"subject": {"type": "user", "id": user}, "action": {"name": action}, "resource": resource})
}

/// An organization with an account with a project: the ids of the first and the last.
async fn tenant(app: &TestApp, name: &str) -> (Uuid, Uuid) {
    let (organization, account, project) = (Uuid::now_v7(), Uuid::now_v7(), Uuid::now_v7());
    let sql = format!(
        "INSERT INTO organizations (id, name, name_normalized, slug, created_at, updated_at)
             VALUES ('{organization}', '{name}', '{name}', '{name}', now(), now());
         INSERT INTO accounts (id, organization_id, name, name_normalized, created_at, updated_at)
             VALUES ('{account}', '{organization}', 'a', 'a', now(), now());
         INSERT INTO projects (id, organization_id, account_id, name, name_normalized, created_at, updated_at)
             VALUES ('{project}', '{organization}', '{account}', 'p', 'p', now(), now());"
    );
    execute(app, sql).await;
    (organization, project)
}

/// Gives a role that ends in an hour.
async fn assign(
    app: &TestApp,
    kind: &str,
    principal: &str,
    role: &str,
    at: (Uuid, &str, Uuid),
) -> Uuid {
    let (id, (organization, resource_type, resource_id)) = (Uuid::now_v7(), at);
    let expires_at = app.state.clock.now() + TimeDelta::hours(1);
    let sql = format!(
        "INSERT INTO user_role_assignments
             (id, principal_type, {kind}_id, role_id, resource_type, resource_id, organization_id, expires_at, created_at)
         VALUES ('{id}', '{kind}', '{principal}', '{role}', '{resource_type}', '{resource_id}', '{organization}',
             '{expires_at}', now())"
    );
    execute(app, sql).await;
    id
}

async fn execute(app: &TestApp, sql: String) {
    let mut connection = app.sql().await;
    connection.execute(sqlx::AssertSqlSafe(sql)).await.unwrap();
}

/// A folder with our policy and these rules beside it; it is needed only while it is read.
fn policy_with(rules: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let ours = concat!(env!("CARGO_MANIFEST_DIR"), "/../../opa/.");
    let mut copy = std::process::Command::new("cp");
    let copied = copy
        .arg("-r")
        .arg(ours)
        .arg(folder.path())
        .status()
        .unwrap();
    assert!(copied.success());
    std::fs::write(folder.path().join("policies/custom/rules.rego"), rules).unwrap();
    folder
}

/// Everything that is found, page by page; each page is as small as it is said to be.
async fn found(who: &Client, kind: &str, body: &Value, limit: usize) -> Vec<String> {
    let path = format!("/access/v1/search/{kind}");
    let (mut all, mut body) = (Vec::new(), body.clone());
    body["page"] = json!({"limit": limit});
    loop {
        let answer = who.post(&path, body.clone()).await;
        assert_eq!(answer.status, 200, "{kind} {body}: {answer:?}");
        let results = answer.body["results"].as_array().unwrap();
        assert!(results.len() <= limit, "{answer:?}");
        assert_eq!(answer.body["page"]["count"], results.len());
        for result in results {
            let name = if kind == "action" { "name" } else { "id" };
            all.push(result[name].as_str().unwrap().to_owned());
        }
        let next = answer.body["page"]["next_token"].as_str().unwrap();
        if next.is_empty() {
            let mut once = all.clone();
            once.sort();
            once.dedup();
            assert_eq!(once.len(), all.len(), "twice: {all:?}");
            return once;
        }
        body["page"] = json!({"token": next});
    }
}

fn decision(answer: &Answer) -> bool {
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.header("content-type"), "application/json");
    answer.body["decision"].as_bool().unwrap()
}

/// The decision, and the code of its only reason.
fn why(answer: &Answer) -> (bool, &str) {
    let reasons = answer.body["context"]["reasons"].as_array();
    let reasons = reasons.unwrap_or_else(|| panic!("no reasons: {answer:?}"));
    assert_eq!(reasons.len(), 1, "{answer:?}");
    (decision(answer), reasons[0]["code"].as_str().unwrap())
}

fn decisions(answer: &Answer) -> Vec<bool> {
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(answer.body.get("decision").is_none(), "{answer:?}");
    let items = answer.body["evaluations"].as_array().unwrap();
    items
        .iter()
        .map(|item| item["decision"].as_bool().unwrap())
        .collect()
}
