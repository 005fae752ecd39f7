//! Second factors: at login, on the own account, when they are demanded, and when they are lost.

mod enrolment;
mod limits;
mod login;
mod races;
mod recovery;
mod step_up;

use std::process::Command;

use chrono::TimeDelta;
use gatepost::clock::Clock as _;
use serde_json::{Value, json};

use crate::{
    harness::{Answer, Client, TestApp},
    post::Post,
};

const VERIFY: &str = "/api/auth/mfa/verify";
const CHALLENGE: &str = "/api/auth/mfa/challenge";
const OWN: &str = "/api/users/me/mfa";

/// The code of now, by an implementation that is not ours.
fn oathtool(app: &TestApp, secret: &str) -> String {
    let now = format!("@{}", app.clock.now().timestamp());
    let run = Command::new("oathtool")
        .args(["--totp", "--base32", "--now", &now, secret])
        .output()
        .expect("oathtool is installed: scripts/setup");
    assert!(run.status.success(), "{run:?}");
    String::from_utf8(run.stdout).unwrap().trim().to_owned()
}

/// A code of a step that was not used yet.
pub fn fresh_code(app: &TestApp, secret: &str) -> String {
    app.clock.advance(TimeDelta::seconds(30));
    oathtool(app, secret)
}

/// Six digits that are no code of now, a step before or a step after.
fn wrong_code(app: &TestApp, secret: &str) -> String {
    let now = app.clock.now().timestamp();
    let near: Vec<String> = [-30, 0, 30]
        .iter()
        .map(|off| {
            let at = format!("@{}", now + off);
            let run = Command::new("oathtool")
                .args(["--totp", "--base32", "--now", &at, secret])
                .output()
                .unwrap();
            String::from_utf8(run.stdout).unwrap().trim().to_owned()
        })
        .collect();
    (0..=near.len())
        .map(|number| format!("{number:06}"))
        .find(|code| !near.contains(code))
        .unwrap()
}

/// Someone with an authenticator app.
struct Person {
    client: Client,
    name: String,
    secret: String,
    recovery_codes: Vec<String>,
}

impl Person {
    async fn enrolled(app: &TestApp, name: &str) -> Self {
        let client = app.user(name).await;
        let (secret, answer) = enrol_totp(app, &client).await;
        Self {
            client,
            name: name.to_owned(),
            secret,
            recovery_codes: texts(&answer.body["recovery_codes"]),
        }
    }

    /// The token of a login that waits for the second factor.
    async fn pending(&self, app: &TestApp) -> String {
        pending(app, &self.name).await
    }

    /// Logs in with both.
    async fn log_in(&self, app: &TestApp) -> Client {
        let token = self.pending(app).await;
        let answer = verify(app, &token, "totp", &fresh_code(app, &self.secret)).await;
        app.anonymous().with_tokens(&answer)
    }
}

fn texts(value: &Value) -> Vec<String> {
    let items = value.as_array().unwrap();
    items
        .iter()
        .map(|item| item.as_str().unwrap().to_owned())
        .collect()
}

pub async fn enrol_totp(app: &TestApp, client: &Client) -> (String, Answer) {
    let begun = client.post(&format!("{OWN}/totp"), json!({})).await;
    assert_eq!(begun.status, 200, "{}", begun.body);
    let secret = begun.body["secret"].as_str().unwrap().to_owned();
    let code = json!({"code": oathtool(app, &secret)});
    let confirmed = client.post(&format!("{OWN}/totp/confirm"), code).await;
    assert_eq!(confirmed.status, 200, "{}", confirmed.body);
    (secret, confirmed)
}

async fn pending(app: &TestApp, login: &str) -> String {
    let answer = app.login(login).await;
    assert_eq!(answer.body["status"], "mfa_required", "{}", answer.body);
    answer.body["mfa_token"].as_str().unwrap().to_owned()
}

async fn verify(app: &TestApp, token: &str, factor: &str, code: &str) -> Answer {
    let body = json!({"mfa_token": token, "factor": factor, "code": code});
    app.anonymous().post(VERIFY, body).await
}

impl Post {
    /// The `number`th code that was mailed to `name`.
    async fn code(&self, name: &str, number: usize) -> String {
        let to = format!("{name}@example.com");
        let text = self.mail(&to, "Subject: Your login code", number).await;
        let is_code = |line: &&str| line.len() == 8 && line.bytes().all(|b| b.is_ascii_digit());
        text.lines()
            .map(str::trim)
            .find(is_code)
            .unwrap_or_else(|| panic!("no code in {text}"))
            .to_owned()
    }

    async fn enrol_email(&self, name: &str) -> Client {
        let client = self.app.user(name).await;
        let begun = client.post(&format!("{OWN}/email"), json!({})).await;
        assert_eq!(begun.body["status"], "code_sent", "{}", begun.body);
        let code = json!({"code": self.code(name, 1).await});
        let confirmed = client.post(&format!("{OWN}/email/confirm"), code).await;
        assert_eq!(confirmed.status, 200, "{}", confirmed.body);
        client
    }
}
