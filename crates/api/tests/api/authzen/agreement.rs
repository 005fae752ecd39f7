//! Whatever the hierarchy, the roles, their ends and the rules are: a search finds what
//! evaluations say yes to, all of it, and nothing else.

use std::collections::BTreeSet;

use chrono::TimeDelta;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{MANY, ORGANIZATION_ADMIN, assign, execute, found, policy_with};
use crate::harness::{Client, TestApp};

/// Denies and allows that roles know nothing of.
const RULES: &str = r#"package gatepost.custom

deny contains {"code": "frozen", "message": "It is frozen."} if input.resource.properties.frozen == true

deny contains {"code": "intern", "message": "Interns change nothing."} if {
	input.subject.properties.intern == true
	not endswith(input.action.name, ":read")
}

allow contains {"code": "public", "message": "Everyone reads it."} if {
	input.action.name == "record:read"
	input.resource.properties.public == true
}

allow contains {"code": "owner", "message": "It is theirs."} if {
	input.resource.type == "project"
	input.resource.properties.owner_id == input.subject.id
}
"#;

/// Only denies: then searches look where roles are held.
const DENIES: &str = r#"package gatepost.custom

deny contains {"code": "frozen", "message": "It is frozen."} if input.resource.properties.frozen == true

deny contains {"code": "intern", "message": "Interns change nothing."} if {
	input.subject.properties.intern == true
	not endswith(input.action.name, ":read")
}
"#;

/// Numbers that look random and are the same each time (xorshift64*).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let high = self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33;
        usize::try_from(high).unwrap() % sides
    }

    fn chance(&mut self, one_in: usize) -> bool {
        self.roll(one_in) == 0
    }

    fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.roll(from.len())]
    }
}

/// A resource: its type, its id, its organization.
type Thing = (String, String, Option<usize>);

struct World {
    app: TestApp,
    dice: Dice,
    organizations: Vec<Uuid>,
    users: Vec<Uuid>,
    services: Vec<Uuid>,
    /// For each organization, its groups with their members.
    groups: Vec<Vec<(Uuid, Vec<Uuid>)>>,
    things: Vec<Thing>,
    /// For each organization, our ids of what is registered in it.
    registered: Vec<Vec<Uuid>>,
    /// For each organization, who holds a role in it, whatever has become of it.
    members: Vec<BTreeSet<String>>,
    sql: String,
}

impl World {
    async fn new(seed: u64, rules: &str) -> Self {
        let app = if rules.is_empty() {
            TestApp::spawn().await
        } else {
            let folder = policy_with(rules);
            TestApp::with(&[("POLICY_DIR", folder.path().to_str().unwrap())]).await
        };
        let mut world = Self {
            app,
            dice: Dice(seed),
            organizations: Vec::new(),
            users: Vec::new(),
            services: Vec::new(),
            groups: Vec::new(),
            things: vec![("system".to_owned(), "system".to_owned(), None)],
            registered: Vec::new(),
            members: Vec::new(),
            sql: String::new(),
        };
        world.people();
        for index in 0..3 {
            world.organization(index);
        }
        for index in 0..3 {
            world.custom_roles(index);
        }
        world.system_roles();
        let sql = std::mem::take(&mut world.sql);
        execute(&world.app, sql).await;
        world
    }

    fn write(&mut self, sql: &str) {
        self.sql.push_str(sql);
    }

    fn people(&mut self) {
        for index in 0..14 {
            let id = Uuid::now_v7();
            let status = if self.dice.chance(6) {
                "disabled"
            } else {
                "active"
            };
            let attributes = json!({"intern": self.dice.chance(4)});
            self.write(&format!(
                "INSERT INTO users (id, email, email_normalized, status, attributes, created_at, updated_at)
                 VALUES ('{id}', 'u{index}@example.com', 'u{index}@example.com', '{status}', '{attributes}', now(), now());"
            ));
            self.users.push(id);
        }
        for index in 0..4 {
            let id = Uuid::now_v7();
            let status = if self.dice.chance(4) {
                "disabled"
            } else {
                "active"
            };
            self.write(&format!(
                "INSERT INTO service_accounts (id, name, name_normalized, status, created_at, updated_at)
                 VALUES ('{id}', 's{index}', 's{index}', '{status}', now(), now());"
            ));
            self.services.push(id);
        }
    }

    fn organization(&mut self, index: usize) {
        let id = Uuid::now_v7();
        self.organizations.push(id);
        self.members.push(BTreeSet::new());
        self.registered.push(Vec::new());
        self.write(&format!(
            "INSERT INTO organizations (id, name, name_normalized, slug, created_at, updated_at)
             VALUES ('{id}', 'o{index}', 'o{index}', 'o{index}', now(), now());"
        ));
        self.groups(index);
        self.thing("organization", &id, index);
        self.roles(index, "organization", id);
        self.records(index, (id, None, None));
        for number in 0..=self.dice.roll(2) {
            let account = Uuid::now_v7();
            self.write(&format!(
                "INSERT INTO accounts (id, organization_id, name, name_normalized, created_at, updated_at)
                 VALUES ('{account}', '{id}', 'a{number}', 'a{number}', now(), now());"
            ));
            self.thing("account", &account, index);
            self.roles(index, "account", account);
            self.records(index, (id, Some(account), None));
            for number in 0..=self.dice.roll(4) {
                let project = Uuid::now_v7();
                let owner = *self.dice.pick(&self.users.clone());
                self.write(&format!(
                    "INSERT INTO projects (id, organization_id, account_id, owner_id, name, name_normalized, created_at, updated_at)
                     VALUES ('{project}', '{id}', '{account}', '{owner}', 'p{number}', 'p{number}', now(), now());"
                ));
                self.thing("project", &project, index);
                self.roles(index, "project", project);
                self.records(index, (id, Some(account), Some(project)));
            }
        }
    }

    fn groups(&mut self, index: usize) {
        let organization = self.organizations[index];
        let mut groups = Vec::new();
        for number in 0..2 {
            let group = Uuid::now_v7();
            self.write(&format!(
                "INSERT INTO groups (id, organization_id, name, name_normalized, created_at, updated_at)
                 VALUES ('{group}', '{organization}', 'g{number}', 'g{number}', now(), now());"
            ));
            let mut members = Vec::new();
            for user in self.users.clone() {
                if self.dice.chance(4) {
                    self.write(&format!(
                        "INSERT INTO group_members (group_id, user_id, organization_id, created_at)
                         VALUES ('{group}', '{user}', '{organization}', now());"
                    ));
                    members.push(user);
                }
            }
            groups.push((group, members));
        }
        self.groups.push(groups);
    }

    fn thing(&mut self, kind: &str, id: &impl ToString, organization: usize) {
        self.things
            .push((kind.to_owned(), id.to_string(), Some(organization)));
    }

    /// Some registered resources at one place, some of them below each other.
    fn records(
        &mut self,
        index: usize,
        (organization, account, project): (Uuid, Option<Uuid>, Option<Uuid>),
    ) {
        let text = |id: Option<Uuid>| id.map_or("NULL".to_owned(), |id| format!("'{id}'"));
        let mut above: Vec<Uuid> = Vec::new();
        for _ in 0..self.dice.roll(4) {
            let id = Uuid::now_v7();
            let kind = *self.dice.pick(&["record", "folder"]);
            let name = format!("{kind}-{}", self.things.len());
            let properties = json!({"frozen": self.dice.chance(5), "public": self.dice.chance(5)});
            if self.dice.chance(2) {
                above.clear();
            }
            let parent = text(above.last().copied());
            let ancestors: Vec<_> = above.iter().map(ToString::to_string).collect();
            self.write(&format!(
                "INSERT INTO resources (id, type, external_id, organization_id, account_id, project_id, parent_id, ancestors, properties, created_at, updated_at)
                 VALUES ('{id}', '{kind}', '{name}', '{organization}', {}, {}, {parent}, '{{{}}}', '{properties}', now(), now());",
                text(account), text(project), ancestors.join(",")
            ));
            above.push(id);
            self.thing(kind, &name, index);
            self.registered[index].push(id);
            self.roles(index, "resource", id);
        }
    }

    fn roles(&mut self, index: usize, kind: &str, place: Uuid) {
        for _ in 0..self.dice.roll(4) {
            let key = *self
                .dice
                .pick(&["owner", "admin", "editor", "viewer", "viewer"]);
            let role = format!(
                "(SELECT id FROM roles WHERE key = '{key}' AND organization_id IS NULL AND '{kind}' = ANY (assignable_at))"
            );
            self.assign(&role, kind, Some((index, place)));
        }
    }

    /// A role that carries little, given in some places of its organization.
    fn custom_roles(&mut self, index: usize) {
        let (role, organization) = (Uuid::now_v7(), self.organizations[index]);
        let carried = [
            "{record:read}",
            "{resource:write}",
            "{*:read}",
            "{project:*}",
            "{folder:*,project:update}",
            "{user:read,document:publish}",
        ];
        let permissions = *self.dice.pick(&carried);
        self.write(&format!(
            "INSERT INTO roles (id, organization_id, key, name, permissions, assignable_at, created_at, updated_at)
             VALUES ('{role}', '{organization}', 'custom', 'custom', '{permissions}', '{{organization,account,project,resource}}', now(), now());"
        ));
        let places: Vec<Thing> = self.things.clone();
        let places: Vec<_> = places
            .iter()
            .filter(|(kind, _, of)| {
                *of == Some(index)
                    && ["organization", "account", "project"].contains(&kind.as_str())
            })
            .collect();
        for _ in 0..3 {
            let (kind, id, _) = *self.dice.pick(&places);
            self.assign(
                &format!("'{role}'"),
                kind,
                Some((index, id.parse().unwrap())),
            );
        }
        for id in self.registered[index].clone() {
            if self.dice.chance(4) {
                self.assign(&format!("'{role}'"), "resource", Some((index, id)));
            }
        }
    }

    fn system_roles(&mut self) {
        for key in ["auditor", "application"] {
            let role =
                format!("(SELECT id FROM roles WHERE key = '{key}' AND organization_id IS NULL)");
            self.assign(&role, "system", None);
        }
    }

    fn assign(&mut self, role: &str, kind: &str, at: Option<(usize, Uuid)>) {
        let (principal, id) = match (self.dice.roll(6), at) {
            (0, _) => ("service_account", *self.dice.pick(&self.services.clone())),
            (1, Some((index, _))) => {
                let (group, members) = self.dice.pick(&self.groups[index].clone()).clone();
                self.members[index].extend(members.iter().map(ToString::to_string));
                ("group", group)
            }
            _ => ("user", *self.dice.pick(&self.users.clone())),
        };
        let now = self.app.state.clock.now();
        let end = match self.dice.roll(5) {
            0 => format!("'{}'", now - TimeDelta::seconds(1)),
            1 => format!("'{now}'"),
            2 => format!("'{}'", now + TimeDelta::seconds(1)),
            _ => "NULL".to_owned(),
        };
        let (place, organization) = match at {
            Some((index, place)) => {
                self.members[index].insert(id.to_string());
                (
                    format!("'{place}'"),
                    format!("'{}'", self.organizations[index]),
                )
            }
            None => ("NULL".to_owned(), "NULL".to_owned()),
        };
        self.write(&format!(
            "INSERT INTO user_role_assignments (id, principal_type, {principal}_id, role_id, resource_type, resource_id, organization_id, expires_at, created_at)
             VALUES ('{}', '{principal}', '{id}', {role}, '{kind}', {place}, {organization}, {end}, now()) ON CONFLICT DO NOTHING;",
            Uuid::now_v7()
        ));
    }

    fn principal(&mut self) -> (&'static str, String) {
        if self.dice.chance(5) {
            (
                "service_account",
                self.dice.pick(&self.services.clone()).to_string(),
            )
        } else {
            ("user", self.dice.pick(&self.users.clone()).to_string())
        }
    }
}

/// Which of the questions are answered yes, by evaluation; those that the caller may not ask are not.
async fn yes(who: &Client, questions: Vec<(String, Value)>) -> Vec<String> {
    let mut allowed = Vec::new();
    for some in questions.chunks(200) {
        let items: Vec<_> = some.iter().map(|(_, question)| question).collect();
        let answer = who.post(MANY, json!({"evaluations": items})).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let answers = answer.body["evaluations"].as_array().unwrap();
        let named = some.iter().zip(answers);
        allowed.extend(
            named
                .filter(|(_, answer)| answer["decision"] == true)
                .map(|((name, _), _)| name.clone()),
        );
    }
    allowed.sort();
    allowed
}

const ACTIONS: [&str; 9] = [
    "read",
    "write",
    "update",
    "publish",
    "delete",
    "project:create",
    "resource:manage",
    "organization:list",
    "self:read",
];

/// One caller: who they are, and the organization that they are bound to.
type Caller<'a> = (&'a Client, Option<usize>);

async fn compare(world: &mut World, (who, bound): Caller<'_>, round: &str) {
    let (kind, id) = world.principal();
    let action = *world.dice.pick(&ACTIONS);
    let limit = world.dice.roll(4) + 1;
    let subject = json!({"type": kind, "id": id});
    let wanted = *world.dice.pick(&[
        "organization",
        "account",
        "project",
        "record",
        "folder",
        "user",
    ]);
    let mut candidates: Vec<String> = world
        .things
        .iter()
        .filter(|(kind, ..)| kind == wanted)
        .map(|(_, id, _)| id.clone())
        .collect();
    if wanted == "user" {
        candidates = world.users.iter().map(ToString::to_string).collect();
    }
    let question = |id: &str| json!({"subject": subject, "action": {"name": action}, "resource": {"type": wanted, "id": id}});
    let questions = candidates
        .into_iter()
        .map(|id| (id.clone(), question(&id)))
        .collect();
    let by_evaluation = yes(who, questions).await;
    let body =
        json!({"subject": subject, "action": {"name": action}, "resource": {"type": wanted}});
    let mut by_search = found(who, "resource", &body, limit).await;
    if wanted == "user" {
        // The break-glass administrator and the gates are not among ours.
        by_search.retain(|id| world.users.iter().any(|user| user.to_string() == *id));
    }
    assert_eq!(by_search, by_evaluation, "{round}: resources, {body}");

    let (resource_kind, resource_id, of) = world.dice.pick(&world.things.clone()).clone();
    let resource = json!({"type": resource_kind, "id": resource_id});
    let kind = *world.dice.pick(&["user", "user", "service_account"]);
    let principals = if kind == "user" {
        &world.users
    } else {
        &world.services
    };
    let mut candidates: Vec<String> = principals.iter().map(ToString::to_string).collect();
    let known = candidates.clone();
    if bound.is_some() {
        // Who holds nothing in it is nobody that its gate may know of.
        let members = of
            .filter(|of| bound == Some(*of))
            .map(|of| &world.members[of]);
        candidates.retain(|id| members.is_some_and(|members| members.contains(id)));
    }
    let question = |id: &str| json!({"subject": {"type": kind, "id": id}, "action": {"name": action}, "resource": resource});
    let questions = candidates
        .into_iter()
        .map(|id| (id.clone(), question(&id)))
        .collect();
    let by_evaluation = yes(who, questions).await;
    let body = json!({"subject": {"type": kind}, "action": {"name": action}, "resource": resource});
    let mut by_search = found(who, "subject", &body, limit).await;
    by_search.retain(|id| known.contains(id));
    assert_eq!(by_search, by_evaluation, "{round}: subjects, {body}");

    let body = json!({"subject": subject, "resource": resource});
    let by_search = found(who, "action", &body, limit).await;
    let mut names: BTreeSet<String> = ACTIONS.iter().map(ToString::to_string).collect();
    names.extend(by_search.iter().cloned());
    let question =
        |name: &str| json!({"subject": subject, "action": {"name": name}, "resource": resource});
    let questions = names
        .iter()
        .map(|name| (name.clone(), question(name)))
        .collect();
    let by_evaluation = yes(who, questions).await;
    let missing: Vec<_> = by_search
        .iter()
        .filter(|name| !by_evaluation.contains(name))
        .collect();
    assert!(
        missing.is_empty(),
        "{round}: actions, {body}: not allowed: {missing:?}"
    );
    for name in ["read", "update", "write"].map(ToOwned::to_owned) {
        let is_verb = name != "write"
            && ["organization", "account", "project"].contains(&resource_kind.as_str())
            || ["record", "folder"].contains(&resource_kind.as_str());
        if is_verb && by_evaluation.contains(&name) {
            assert!(
                by_search.contains(&name),
                "{round}: actions, {body}: lacks {name}"
            );
        }
    }
}

async fn agree(seed: u64, rules: &str) {
    let mut world = World::new(seed, rules).await;
    let (admin, gate) = (world.app.admin().await, world.app.user("gate").await);
    let organization = world.organizations[0];
    let place = (organization, "organization", organization);
    assign(&world.app, "user", &gate.user_id, ORGANIZATION_ADMIN, place).await;
    for round in 0..25 {
        let round = format!("seed {seed}, round {round}");
        compare(&mut world, (&admin, None), &round).await;
        compare(&mut world, (&gate, Some(0)), &round).await;
    }
}

#[actix_web::test]
async fn searches_agree_with_evaluations_that_are_remembered() {
    // Only answers of the policy as it is delivered are.
    agree(7, "").await;
}

#[actix_web::test]
async fn searches_agree_with_evaluations_where_roles_alone_allow() {
    for seed in [1, 2, 3] {
        agree(seed, DENIES).await;
    }
}

#[actix_web::test]
async fn searches_agree_with_evaluations_where_rules_allow_too() {
    for seed in [4, 5, 6] {
        agree(seed, RULES).await;
    }
}
