//! Those who log in and ask.

use anyhow::{Context, ensure};
use serde_json::{Value, json};

use crate::{
    data::{self, Kind, id},
    http::{Answer, Connection, request},
};

/// How many people there are, where their number is not what is measured.
pub const COUNT: u32 = 10_000;
/// How many of them ask.
pub const ASKERS: u32 = 64;
/// Questions of a batch.
pub const BATCH: u32 = 50;

/// Where questions go.
pub const EVALUATION: &str = "/access/v1/evaluation";
/// Where many go at once.
pub const EVALUATIONS: &str = "/access/v1/evaluations";

/// The request by which a person logs in.
pub fn login(number: u32) -> Vec<u8> {
    let login = data::email(number);
    let body = json!({"login": login, "password": data::PASSWORD});
    request("POST", "/api/auth/login", None, &body.to_string())
}

/// Somebody who has logged in.
#[derive(Clone)]
pub struct Person {
    pub number: u32,
    pub token: String,
}

impl Person {
    /// As a subject.
    pub fn subject(&self) -> Value {
        json!({"type": "user", "id": id(Kind::User, self.number)})
    }

    /// A project of their own organization.
    pub fn project(&self) -> String {
        id(Kind::Project, data::organization_of(self.number))
    }

    /// Asks whether this person may do something with that.
    pub fn question(&self, action: &str) -> String {
        json!({
            "subject": self.subject(),
            "action": {"name": action},
            "resource": {"type": "project", "id": self.project()},
        })
        .to_string()
    }

    /// Sends something, and reads the JSON of the answer.
    pub fn ask(&self, address: &str, path: &str, body: &Value) -> anyhow::Result<Value> {
        let asked = request("POST", path, Some(&self.token), &body.to_string());
        let answer = ask(address, &asked)?;
        let body = serde_json::from_slice(&answer.body)?;
        ensure!(answer.status < 300, "{path}: {} {body}", answer.status);
        Ok(body)
    }
}

/// Logs one person in.
pub fn log_in(address: &str, number: u32) -> anyhow::Result<Person> {
    let answer = ask(address, &login(number))?;
    let body: Value = serde_json::from_slice(&answer.body)?;
    let token = body["access_token"]
        .as_str()
        .with_context(|| format!("person {number} cannot log in: {} {body}", answer.status))?;
    Ok(Person {
        number,
        token: token.to_owned(),
    })
}

/// Logs in those who ask, from among all `people`, and makes sure that they get right answers: a
/// viewer may read and may not delete.
pub fn askers(address: &str, count: u32, people: u32) -> anyhow::Result<Vec<Person>> {
    // Not the first two, who may more.
    let numbers = (0..count).map(|turn| 2 + turn * (people / count));
    let people: Vec<_> = numbers
        .map(|number| log_in(address, number))
        .collect::<Result<_, _>>()?;
    for person in &people {
        for (action, wanted) in [("read", true), ("delete", false)] {
            let question = serde_json::from_str(&person.question(action))?;
            let body = person.ask(address, EVALUATION, &question)?;
            let decision = body["decision"].as_bool();
            ensure!(decision == Some(wanted), "wrong about {action}: {body}");
        }
    }
    Ok(people)
}

/// One request on a connection of its own.
fn ask(address: &str, request: &[u8]) -> anyhow::Result<Answer> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async { Connection::open(address).await?.send(request).await })
}
