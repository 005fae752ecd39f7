//! Those who log in and ask: many people with one password, the first of whom have an
//! organization each, with a project two levels below it.

use anyhow::{Context, anyhow, ensure};
use argon2::{Argon2, PasswordHasher};
use serde_json::{Value, json};

use crate::http::{Answer, Connection, request};

/// How many people there are.
pub const COUNT: u32 = 10_000;
/// How many of them have an organization, and ask about it.
pub const ASKERS: u32 = 64;

const PASSWORD: &str = "walnut ferry 88 cobalt moss";
/// The built-in role `viewer`, by the policy's data.
const VIEWER: &str = "019a9f00-0000-7000-8000-000000000010";

/// Kinds of rows, as they stand in their ids.
const USER: u16 = 1;
const ORGANIZATION: u16 = 2;
const ACCOUNT: u16 = 3;
const PROJECT: u16 = 4;
const ASSIGNMENT: u16 = 5;

fn id(kind: u16, number: u32) -> String {
    format!("019a9f00-{kind:04x}-7000-8000-{number:012x}")
}

/// The same as SQL over a column `i`.
fn sql_id(kind: u16) -> String {
    format!("('019a9f00-{kind:04x}-7000-8000-' || lpad(to_hex(i), 12, '0'))::uuid")
}

/// The statements that make everybody. All have the same hash: it takes as long to check as any.
pub fn sql(people: u32) -> anyhow::Result<String> {
    let hash = Argon2::default()
        .hash_password(PASSWORD.as_bytes())
        .map_err(|error| anyhow!("argon2: {error}"))?
        .to_string();
    ensure!(
        people >= ASKERS,
        "there have to be {ASKERS} people at least"
    );
    let [user, organization, account, project, assignment] =
        [USER, ORGANIZATION, ACCOUNT, PROJECT, ASSIGNMENT].map(sql_id);
    let (last, last_asker) = (people - 1, ASKERS - 1);
    Ok(format!(
        "BEGIN;
INSERT INTO users (id, email, email_normalized, username, username_normalized, password_hash,
                   display_name, status, created_at, updated_at)
    SELECT {user}, e.email, e.email, 'person' || i, 'person' || i, '{hash}',
           'Person ' || i, 'active', now(), now()
    FROM generate_series(0, {last}) AS i, format('person%s@bench.example', i) AS e (email);
INSERT INTO organizations (id, name, name_normalized, slug, created_at, updated_at)
    SELECT {organization}, n, n, n, now(), now()
    FROM generate_series(0, {last_asker}) AS i, format('bench-%s', i) AS n;
INSERT INTO accounts (id, organization_id, name, name_normalized, created_at, updated_at)
    SELECT {account}, {organization}, 'a', 'a', now(), now()
    FROM generate_series(0, {last_asker}) AS i;
INSERT INTO projects (id, organization_id, account_id, name, name_normalized, created_at, updated_at)
    SELECT {project}, {organization}, {account}, 'p', 'p', now(), now()
    FROM generate_series(0, {last_asker}) AS i;
INSERT INTO user_role_assignments (id, principal_type, user_id, role_id, resource_type,
                                   resource_id, organization_id, created_at)
    SELECT {assignment}, 'user', {user}, '{VIEWER}', 'organization', {organization},
           {organization}, now()
    FROM generate_series(0, {last_asker}) AS i;
COMMIT;
ANALYZE;"
    ))
}

/// The address of a person.
pub fn email(number: u32) -> String {
    format!("person{number}@bench.example")
}

/// The request by which a person logs in.
pub fn login(number: u32) -> Vec<u8> {
    let login = email(number);
    let body = json!({"login": login, "password": PASSWORD});
    request("POST", "/api/auth/login", None, &body.to_string())
}

/// Somebody who has logged in.
#[derive(Clone)]
pub struct Person {
    pub number: u32,
    pub token: String,
}

impl Person {
    /// Asks whether this person may do something with their own project.
    pub fn question(&self, action: &str) -> String {
        json!({
            "subject": {"type": "user", "id": id(USER, self.number)},
            "action": {"name": action},
            "resource": {"type": "project", "id": id(PROJECT, self.number)},
        })
        .to_string()
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

/// Logs in those who ask, and makes sure that they get right answers: a viewer may read and may
/// not delete.
pub fn askers(address: &str) -> anyhow::Result<Vec<Person>> {
    let people: Vec<_> = (0..ASKERS)
        .map(|number| log_in(address, number))
        .collect::<Result<_, _>>()?;
    for person in &people {
        for (action, wanted) in [("read", true), ("delete", false)] {
            let body = person.question(action);
            let asked = request("POST", EVALUATION, Some(&person.token), &body);
            let answer = ask(address, &asked)?;
            let body: Value = serde_json::from_slice(&answer.body)?;
            let decision = body["decision"].as_bool();
            ensure!(
                decision == Some(wanted),
                "the decision on {action} is wrong: {} {body}",
                answer.status
            );
        }
    }
    Ok(people)
}

/// Where questions go.
pub const EVALUATION: &str = "/access/v1/evaluation";

/// One request on a connection of its own.
fn ask(address: &str, request: &[u8]) -> anyhow::Result<Answer> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async { Connection::open(address).await?.send(request).await })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_those_that_the_database_makes() {
        assert_eq!(id(USER, 255), "019a9f00-0001-7000-8000-0000000000ff");
        assert!(sql_id(USER).starts_with("('019a9f00-0001-7000-8000-' || "));
    }
}
