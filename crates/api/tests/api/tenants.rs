//! Organizations with something in them, and people who hold roles there.

use serde_json::{Value, json};

use crate::harness::{Answer, Client};

/// An organization, an account in it and a project in that.
pub struct Tenant {
    pub organization: String,
    pub account: String,
    pub project: String,
}

impl Tenant {
    /// Made by `owner`, named after `name`.
    pub async fn create(owner: &Client, name: &str) -> Self {
        let organization = made(owner, "/api/organizations", json!({"name": name})).await;
        let accounts = format!("/api/organizations/{organization}/accounts");
        let account = made(owner, &accounts, json!({"name": format!("{name} account")})).await;
        let projects = format!("/api/accounts/{account}/projects");
        let project = made(owner, &projects, json!({"name": format!("{name} project")})).await;
        Self {
            organization,
            account,
            project,
        }
    }

    pub fn organization_path(&self) -> String {
        format!("/api/organizations/{}", self.organization)
    }

    pub fn account_path(&self) -> String {
        format!("/api/accounts/{}", self.account)
    }

    pub fn project_path(&self) -> String {
        format!("/api/projects/{}", self.project)
    }

    /// The three resources, as bodies name them.
    pub fn resource(&self, kind: &str) -> Value {
        let id = match kind {
            "organization" => &self.organization,
            "account" => &self.account,
            "project" => &self.project,
            _ => return json!({"type": kind}),
        };
        json!({"type": kind, "id": id})
    }
}

/// Creates something and returns its id.
pub async fn made(client: &Client, path: &str, body: Value) -> String {
    let answer = client.post(path, body).await;
    assert_eq!(answer.status, 201, "{path}: {}", answer.body);
    answer.id()
}

/// Asks for a role to be given; whether it was is for the caller to see.
pub async fn give(granter: &Client, user: &Client, role: &str, resource: Value) -> Answer {
    let body = json!({
        "principal": {"type": "user", "id": user.user_id}, "role": role, "resource": resource,
    });
    granter.post("/api/role-assignments", body).await
}

/// Gives a role and returns the id of the assignment.
pub async fn given(granter: &Client, user: &Client, role: &str, resource: Value) -> String {
    let answer = give(granter, user, role, resource).await;
    assert_eq!(answer.status, 201, "{}", answer.body);
    answer.id()
}

/// Every item of a list, page by page.
pub async fn all(client: &Client, path: &str, limit: usize) -> Vec<Value> {
    let mut items = Vec::new();
    let mut cursor = String::new();
    loop {
        let separator = if path.contains('?') { '&' } else { '?' };
        let answer = client
            .get(&format!("{path}{separator}limit={limit}{cursor}"))
            .await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        let page = answer.body["items"].as_array().unwrap();
        assert!(page.len() <= limit);
        items.extend(page.iter().cloned());
        match answer.body["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return items,
        }
    }
}

/// The values of one member of each item.
pub fn column(items: &[Value], name: &str) -> Vec<String> {
    items
        .iter()
        .map(|item| item[name].as_str().unwrap().to_owned())
        .collect()
}
