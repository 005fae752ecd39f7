//! What is asked, and what is right: read from the database that Gatepost answers from, so that
//! all are told the same.

use std::collections::HashMap;

use anyhow::{Context, ensure};
use serde::Deserialize;

use super::postgres;
use crate::{
    data::{Kind, id, scatter},
    people::BATCH,
};

/// A role that somebody holds.
#[derive(Clone, Debug, Deserialize)]
pub struct Grant {
    pub id: String,
    pub user: String,
    /// Its key.
    pub role: String,
    pub permissions: Vec<String>,
    /// `system`, `organization`, `account` or `project`.
    pub kind: String,
    /// Where it holds; the system has no id.
    pub place: Option<String>,
}

/// Where a project stands.
#[derive(Clone, Debug, Deserialize)]
pub struct Project {
    pub id: String,
    pub account: String,
    pub organization: String,
}

impl Project {
    /// From the system down to itself: type and id.
    pub fn path(&self) -> [(&'static str, Option<&str>); 4] {
        [
            ("system", None),
            ("organization", Some(&self.organization)),
            ("account", Some(&self.account)),
            ("project", Some(&self.id)),
        ]
    }
}

#[derive(Clone, Debug, Deserialize)]
pub struct Account {
    pub id: String,
    pub organization: String,
}

/// Who holds what, and what is below what.
pub struct Facts {
    /// By user.
    pub grants: HashMap<String, Vec<Grant>>,
    pub projects: Vec<Project>,
    pub accounts: Vec<Account>,
}

/// May this person do that with this project?
#[derive(Clone, Debug)]
pub struct Question {
    /// The number of the person.
    pub person: u32,
    /// Their id.
    pub user: String,
    pub action: &'static str,
    pub project: Project,
    /// What the answer has to be.
    pub right: bool,
}

const GRANTS: &str = "SELECT json_build_object('id', a.id, 'user', a.user_id, 'role', r.key, \
    'permissions', r.permissions, 'kind', a.resource_type, 'place', a.resource_id) \
    FROM user_role_assignments a JOIN roles r ON r.id = a.role_id \
    WHERE a.user_id IS NOT NULL ORDER BY a.id";
const PROJECTS: &str = "SELECT json_build_object('id', id, 'account', account_id, \
    'organization', organization_id) FROM projects ORDER BY id";
const ACCOUNTS: &str = "SELECT json_build_object('id', id, 'organization', organization_id) \
    FROM accounts ORDER BY id";

impl Facts {
    /// Reads them from Gatepost's database.
    pub fn read() -> anyhow::Result<Self> {
        let mut grants: HashMap<String, Vec<Grant>> = HashMap::new();
        for grant in rows::<Grant>(GRANTS)? {
            grants.entry(grant.user.clone()).or_default().push(grant);
        }
        let facts = Self {
            grants,
            projects: rows(PROJECTS)?,
            accounts: rows(ACCOUNTS)?,
        };
        let enough = facts.projects.len() >= BATCH as usize;
        ensure!(enough, "too little data: see bench/run");
        Ok(facts)
    }

    /// All that people are asked about: a project below each thing they hold a role on, as far as
    /// there is one, and one of strangers; whether they may read it, and whether they may delete it.
    pub fn questions(&self, person: u32) -> anyhow::Result<Vec<Question>> {
        let user = id(Kind::User, person);
        let held = self.grants.get(&user).context("holds nothing")?;
        let mut about: Vec<&Project> = held
            .iter()
            .filter_map(|grant| {
                let place = grant.place.as_ref()?;
                let mut all = self.projects.iter();
                all.find(|project| match grant.kind.as_str() {
                    "organization" => project.organization == *place,
                    // Only the first account of an organization has a project. Of another one,
                    // it is asked about its neighbour's: no role on it holds there.
                    "account" => self.accounts.iter().any(|account| {
                        account.id == *place && account.organization == project.organization
                    }),
                    _ => project.id == *place,
                })
            })
            .collect();
        about.push(&self.projects[scatter(person, 3) as usize % self.projects.len()]);
        Ok(self.about(person, &about))
    }

    /// The same about as many projects as fill a batch.
    pub fn batch(&self, person: u32) -> anyhow::Result<Vec<Question>> {
        let mut about: Vec<&Project> = Vec::new();
        let first = scatter(person, 4) as usize % self.projects.len();
        let more = self.projects.iter().cycle().skip(first);
        let own: Vec<_> = self.questions(person)?;
        let own = own.iter().map(|question| &question.project);
        for project in own.chain(more) {
            if about.len() * 2 == BATCH as usize {
                break;
            }
            if !about.iter().any(|known| known.id == project.id) {
                about.push(project);
            }
        }
        Ok(self.about(person, &about))
    }

    fn about(&self, person: u32, projects: &[&Project]) -> Vec<Question> {
        let user = id(Kind::User, person);
        let both = |project: &&Project| {
            ["read", "delete"].map(|action| Question {
                person,
                user: user.clone(),
                action,
                project: (*project).clone(),
                right: self.is_allowed(&user, action, project),
            })
        };
        projects.iter().flat_map(both).collect()
    }

    /// The grants of somebody that hold on a project: what Gatepost would send to an OPA server.
    pub fn grants_on<'a>(
        &'a self,
        user: &str,
        project: &'a Project,
    ) -> impl Iterator<Item = &'a Grant> {
        let held = self.grants.get(user).into_iter().flatten();
        held.filter(|grant| {
            let place = (grant.kind.as_str(), grant.place.as_deref());
            project.path().contains(&place)
        })
    }

    fn is_allowed(&self, user: &str, action: &str, project: &Project) -> bool {
        let enough = ["*", "project:*"].map(str::to_owned);
        let one = [format!("project:{action}"), format!("*:{action}")];
        self.grants_on(user, project).any(|grant| {
            let mut carried = grant.permissions.iter();
            carried.any(|permission| enough.contains(permission) || one.contains(permission))
        })
    }
}

fn rows<T: for<'a> Deserialize<'a>>(sql: &str) -> anyhow::Result<Vec<T>> {
    let text = postgres::ask("gatepost", sql)?;
    let lines = text.lines().map(serde_json::from_str);
    Ok(lines.collect::<Result<_, _>>()?)
}
