//! Who may search, what they find, and pages.

use std::time::Instant;

use serde_json::{Value, json};
use uuid::Uuid;

use super::{VIEWER, World, assign, execute, found};
use crate::harness::{Answer, Client};

const PROJECT_ADMIN: &str = "019a9f00-0000-7000-8000-000000000006";

fn resources(subject: &str, action: &str, kind: &str) -> Value {
    json!({"subject": {"type": "user", "id": subject}, "action": {"name": action}, "resource": {"type": kind}})
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "calls read better with ids of any kind"
)]
fn subjects(kind: &str, action: &str, resource: &str, id: impl ToString) -> Value {
    json!({"subject": {"type": kind}, "action": {"name": action}, "resource": {"type": resource, "id": id.to_string()}})
}

async fn search(who: &Client, kind: &str, body: Value) -> Answer {
    who.post(&format!("/access/v1/search/{kind}"), body).await
}

fn sorted(ids: &[&str]) -> Vec<String> {
    let mut ids: Vec<_> = ids.iter().map(|&id| id.to_owned()).collect();
    ids.sort();
    ids
}

#[actix_web::test]
async fn a_search_finds_what_its_caller_may_ask_about_and_no_more() {
    let world = World::new().await;
    let (alice, bob, carol) = (
        world.alice.user_id.as_str(),
        world.bob.user_id.as_str(),
        world.carol.user_id.as_str(),
    );
    let (project, foreign) = (world.project.to_string(), world.foreign_project.to_string());
    let there = (world.organization, "project", world.project);
    assign(&world.app, "user", carol, VIEWER, there).await;

    // Who administers the system sees all of it, and everyone who holds something sees their own.
    let of_carol = resources(carol, "read", "project");
    let both = sorted(&[&project, &foreign]);
    assert_eq!(found(&world.admin, "resource", &of_carol, 1).await, both);
    assert_eq!(found(&world.carol, "resource", &of_carol, 1).await, both);
    // The gate of one organization does not learn what she holds elsewhere.
    assert_eq!(
        found(&world.gate, "resource", &of_carol, 1).await,
        sorted(&[&project])
    );
    let by_name = resources("carol@example.com", "read", "project");
    assert_eq!(
        found(&world.gate, "resource", &by_name, 1).await,
        sorted(&[&project])
    );
    for kind in ["organization", "account"] {
        let mine = resources(alice, "read", kind);
        assert_eq!(
            found(&world.alice, "resource", &mine, 5).await,
            Vec::<String>::new(),
            "{kind}"
        );
    }
    // Nobody asks about others, or who may do something, without the right to.
    for (kind, body) in [
        ("resource", resources(bob, "read", "project")),
        (
            "subject",
            subjects("user", "read", "project", world.project),
        ),
        (
            "action",
            json!({"subject": {"type": "user", "id": bob}, "resource": {"type": "project", "id": project}}),
        ),
    ] {
        let answer = search(&world.alice, kind, body).await;
        assert_eq!(
            (answer.status, answer.problem()),
            (403, "forbidden"),
            "{kind}"
        );
    }

    let readers = subjects("user", "read", "project", world.project);
    let gate = world.gate.user_id.as_str();
    let members = sorted(&[alice, bob, carol, gate]);
    assert_eq!(found(&world.gate, "subject", &readers, 1).await, members);
    let all = sorted(&[alice, bob, carol, gate, &world.admin.user_id]);
    assert_eq!(found(&world.admin, "subject", &readers, 2).await, all);
    for body in [
        subjects("user", "read", "project", world.foreign_project),
        subjects("user", "read", "project", Uuid::now_v7()),
        subjects("user", "read", "project", "nothing"),
        subjects("service_account", "read", "project", world.project),
    ] {
        assert_eq!(
            found(&world.gate, "subject", &body, 1).await,
            Vec::<String>::new(),
            "{body}"
        );
    }

    let of_bob = json!({"subject": {"type": "user", "id": "bob"}, "resource": {"type": "project", "id": project}});
    let actions = found(&world.gate, "action", &of_bob, 2).await;
    assert!(actions.contains(&"read".to_owned()) && actions.contains(&"member:read".to_owned()));
    assert!(!actions.contains(&"update".to_owned()), "{actions:?}");
    let own =
        json!({"subject": {"type": "user", "id": bob}, "resource": {"type": "user", "id": bob}});
    assert!(
        found(&world.bob, "action", &own, 3)
            .await
            .contains(&"self:read".to_owned())
    );
    let own = resources(bob, "self:read", "user");
    assert_eq!(found(&world.bob, "resource", &own, 3).await, sorted(&[bob]));
}

#[actix_web::test]
async fn a_page_token_goes_on_with_its_own_request_only() {
    let world = World::new().await;
    for _ in 0..3 {
        let sql = format!(
            "INSERT INTO projects (id, organization_id, account_id, name, name_normalized, created_at, updated_at)
             SELECT '{0}', organization_id, account_id, '{0}', '{0}', now(), now() FROM projects WHERE id = '{1}'",
            Uuid::now_v7(), world.project
        );
        execute(&world.app, sql).await;
    }
    let gate = world.gate.user_id.as_str();
    let body = resources(gate, "read", "project");
    let with = |page: Value| {
        let mut body = body.clone();
        body["page"] = page;
        body
    };
    let first = search(&world.gate, "resource", with(json!({"limit": 2}))).await;
    assert_eq!(first.status, 200, "{first:?}");
    let token = first.body["page"]["next_token"].as_str().unwrap();
    let rest = search(&world.gate, "resource", with(json!({"token": token}))).await;
    assert_eq!(rest.body["results"].as_array().unwrap().len(), 2);
    assert_eq!(rest.body["page"]["next_token"], "");
    assert_ne!(rest.body["results"], first.body["results"]);
    let same = search(
        &world.gate,
        "resource",
        with(json!({"token": token, "limit": 2})),
    )
    .await;
    assert_eq!(same.body["results"], rest.body["results"]);

    let mut other_action = with(json!({"token": token}));
    other_action["action"]["name"] = json!("update");
    let mut other_context = with(json!({"token": token}));
    other_context["context"] = json!({"a": 1});
    let mut other_subject = with(json!({"token": token}));
    other_subject["subject"]["id"] = json!(world.alice.user_id);
    let broken = format!("{}AAAA", &token[..token.len() - 4]);
    for (who, body) in [
        (&world.gate, other_action),
        (&world.gate, other_context),
        (&world.gate, other_subject),
        (&world.gate, with(json!({"token": token, "limit": 3}))),
        (&world.gate, with(json!({"token": broken}))),
        (&world.gate, with(json!({"token": "x"}))),
        (&world.gate, with(json!({"token": 7}))),
        (&world.gate, with(json!({"limit": -1}))),
        (&world.gate, with(json!({"limit": "2"}))),
        (&world.gate, with(json!([]))),
        (&world.admin, with(json!({"token": token}))),
    ] {
        let answer = search(who, "resource", body.clone()).await;
        assert_eq!(
            (answer.status, answer.problem()),
            (400, "validation_failed"),
            "{body}"
        );
    }
    let answer = search(
        &world.gate,
        "subject",
        subjects("user", "read", "project", world.project),
    )
    .await;
    assert_eq!(answer.body["page"]["next_token"], "", "{answer:?}");
    for page in [
        json!({}),
        json!({"limit": 0}),
        json!({"limit": 4_000_000}),
        json!(null),
        json!({"token": ""}),
    ] {
        let answer = search(&world.gate, "resource", with(page)).await;
        assert_eq!(
            answer.body["results"].as_array().map(Vec::len),
            Some(4),
            "{answer:?}"
        );
    }
}

#[actix_web::test]
async fn what_is_found_changes_with_the_roles_and_with_the_time() {
    let world = World::new().await;
    let body = resources(&world.alice.user_id, "read", "project");
    let project = sorted(&[&world.project.to_string()]);
    assert_eq!(found(&world.admin, "resource", &body, 3).await, project);
    let disable = format!("/api/admin/users/{}/disable", world.bob.user_id);
    assert_eq!(world.admin.put(&disable, json!({})).await.status, 200);
    let readers = subjects("user", "read", "project", world.project);
    let readers = found(&world.admin, "subject", &readers, 1).await;
    assert!(!readers.contains(&world.bob.user_id) && readers.contains(&world.alice.user_id));
    world.app.clock.advance(chrono::TimeDelta::minutes(59));
    let answer = world.app.log_in("admin@example.com").await;
    assert_eq!(found(&answer, "resource", &body, 3).await, project);
    world.app.clock.advance(chrono::TimeDelta::minutes(1));
    assert_eq!(
        found(&answer, "resource", &body, 3).await,
        Vec::<String>::new()
    );
}

/// Not how fast, which is for `bench/`: that the first page does not grow with what is behind it.
#[actix_web::test]
async fn the_first_page_of_many_is_not_made_of_all() {
    let world = World::new().await;
    let sql = format!(
        "INSERT INTO projects (id, organization_id, account_id, name, name_normalized, created_at, updated_at)
         SELECT gen_random_uuid(), organization_id, account_id, n, n, now(), now()
         FROM projects, generate_series(1, 20000) AS n WHERE id = '{}';
         ANALYZE projects",
        world.project
    );
    execute(&world.app, sql.replace(", n, n,", ", n::text, n::text,")).await;
    let account = format!(
        "SELECT account_id FROM projects WHERE id = '{}'",
        world.project
    );
    let account: Uuid = sqlx::query_scalar(sqlx::AssertSqlSafe(account))
        .fetch_one(&mut world.app.sql().await)
        .await
        .unwrap();
    let there = (world.organization, "account", account);
    assign(&world.app, "user", &world.bob.user_id, PROJECT_ADMIN, there).await;
    let body = resources(&world.bob.user_id, "read", "project");
    let begin = Instant::now();
    let answer = search(&world.admin, "resource", body).await;
    let taken = begin.elapsed();
    assert_eq!(
        answer.body["results"].as_array().map(Vec::len),
        Some(50),
        "{answer:?}"
    );
    assert!(
        !answer.body["page"]["next_token"]
            .as_str()
            .unwrap()
            .is_empty()
    );
    assert!(taken.as_secs() < 5, "{taken:?}");
}
