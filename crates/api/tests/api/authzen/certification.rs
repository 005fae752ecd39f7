//! The cases of the certification of `AuthZEN` 1.0: Basic, Batch, Search and Discovery, with
//! properties.

use serde_json::{Value, json};

use super::{
    MANY, ONE, ORGANIZATION_ADMIN, PROJECT_EDITOR, VIEWER, assign, decisions, execute, found,
    policy_with, tenant,
};
use crate::harness::{Client, TestApp};

/// What the certification's fixture lets people do, as far as roles do not say it.
const RULES: &str = r#"package gatepost.custom

deny contains {"code": "archived", "message": "Archived records stay as they are."} if {
	input.action.name == "record:write"
	input.resource.properties.status == "archived"
	not input.subject.properties.role == "admin"
}

allow contains {"code": "admin", "message": "Administrators write what is archived."} if {
	input.action.name == "record:write"
	input.resource.properties.status == "archived"
	input.subject.properties.role == "admin"
}

actions contains {"type": "record", "name": "archive"}

allow contains {"code": "archive", "message": "Whoever writes it may archive it."} if {
	input.action.name == "record:archive"
	input.subject.properties.role == "admin"
}

allow contains {"code": "soft", "message": "Whoever edits may delete softly."} if {
	input.action.name == "record:delete"
	input.action.properties.soft == true
	some grant in input.grants
	"resource:write" in grant.permissions
}
"#;

struct Fixture {
    app: TestApp,
    gate: Client,
    alice: String,
    bob: String,
}

/// alice edits and bob views the project of `record-1` (active) and `record-2` (archived); bob's
/// role is `admin`.
async fn fixture() -> Fixture {
    let folder = policy_with(RULES);
    let app = TestApp::with(&[
        ("POLICY_DIR", folder.path().to_str().unwrap()),
        ("PUBLIC_URL", "https://pdp.example.com"),
    ])
    .await;
    let (gate, alice, bob) = (
        app.user("gate").await,
        app.user("alice").await,
        app.user("bob").await,
    );
    let (organization, project) = tenant(&app, "first").await;
    let place = (organization, "organization", organization);
    assign(&app, "user", &gate.user_id, ORGANIZATION_ADMIN, place).await;
    let place = (organization, "project", project);
    assign(&app, "user", &alice.user_id, PROJECT_EDITOR, place).await;
    assign(&app, "user", &bob.user_id, VIEWER, place).await;
    let attributes = r#"UPDATE users SET attributes = '{"role": "admin"}' WHERE username = 'bob'"#;
    execute(&app, attributes.to_owned()).await;
    let admin = app.admin().await;
    for (record, status) in [("record-1", "active"), ("record-2", "archived")] {
        let body = json!({
            "parent": {"type": "project", "id": project}, "properties": {"status": status},
        });
        let answer = admin
            .put(&format!("/api/resources/record/{record}"), body)
            .await;
        assert_eq!(answer.status, 201, "{answer:?}");
    }
    Fixture {
        app,
        gate,
        alice: alice.user_id,
        bob: bob.user_id,
    }
}

fn question(subject: &str, action: &str, record: &str) -> Value {
    json!({
        "subject": {"type": "user", "id": subject},
        "action": {"name": action},
        "resource": {"type": "record", "id": record},
    })
}

/// Puts `value` at `pointer`, making the objects on the way.
fn set(body: &Value, pointer: &str, value: Value) -> Value {
    let mut body = body.clone();
    let mut place = &mut body;
    for name in pointer.split('.') {
        place = &mut place[name];
    }
    *place = value;
    body
}

fn without(body: &Value, pointer: &str) -> Value {
    let mut body = body.clone();
    let (parent, name) = pointer.rsplit_once('.').unwrap_or(("", pointer));
    let parent = if parent.is_empty() {
        &mut body
    } else {
        &mut body[parent]
    };
    parent.as_object_mut().unwrap().remove(name);
    body
}

#[actix_web::test]
async fn evaluations_are_decided_as_the_table_says() {
    let fixture = fixture().await;
    let read = question("alice", "read", "record-1");
    let archived = |body: &Value| set(body, "resource.properties.status", json!("archived"));
    let write = archived(&question("alice", "write", "record-2"));
    let delete = question("alice", "delete", "record-1");
    let soft = |soft: bool| set(&delete, "action.properties.soft", json!(soft));
    let admin = archived(&question("bob", "write", "record-2"));
    let admin = set(&admin, "subject.properties.role", json!("admin"));
    let mut more = set(
        &read,
        "context",
        json!({"time": "1985-10-26T01:22-07:00", "a": [1, {}]}),
    );
    for place in ["subject", "action", "resource"] {
        more = set(
            &more,
            &format!("{place}.properties.more"),
            json!({"x": [null]}),
        );
        more = set(&more, &format!("{place}.unknown"), json!(1));
    }
    let more = set(&more, "unknown", json!({"deep": [{}]}));
    let table = [
        ("1", read.clone(), true),
        ("2", question("alice", "write", "record-1"), true),
        ("3", question("bob", "read", "record-1"), true),
        ("4", question("bob", "write", "record-1"), false),
        ("5", write, false),
        ("6", admin, true),
        ("7", soft(true), true),
        ("8", soft(false), false),
        ("9", more, true),
        ("15", read.clone(), true),
    ];
    for (case, body, wanted) in table {
        for path in [ONE, MANY] {
            for _ in 0..2 {
                let answer = fixture.gate.post(path, body.clone()).await;
                assert_eq!(answer.status, 200, "{case}: {answer:?}");
                assert_eq!(answer.body["decision"], wanted, "{case}: {}", answer.body);
            }
        }
    }
    let empty = set(&read, "evaluations", json!([]));
    assert_eq!(fixture.gate.post(MANY, empty).await.body["decision"], true);
}

#[actix_web::test]
async fn payloads_that_lack_something_or_cannot_be_read_are_400() {
    let fixture = fixture().await;
    let whole = question("alice", "read", "record-1");
    let mut bodies: Vec<String> = [
        "subject",
        "action",
        "resource",
        "subject.type",
        "subject.id",
        "action.name",
        "resource.type",
        "resource.id",
    ]
    .iter()
    .map(|pointer| without(&whole, pointer).to_string())
    .collect();
    bodies.extend([
        set(&whole, "subject", json!("alice")).to_string(),
        set(&whole, "action.name", json!(123)).to_string(),
        set(&whole, "action", json!({})).to_string(),
        String::new(),
        "{\"subject\":".to_owned(),
    ]);
    let headers = [("x-request-id", "certification-11")];
    for (kind, body) in bodies
        .into_iter()
        .map(|body| ("application/json", body))
        .chain([("text/plain", whole.to_string())])
    {
        for path in [ONE, MANY] {
            let sent = Some((kind, body.clone().into_bytes()));
            let answer = fixture.gate.raw("POST", path, sent, &headers).await;
            assert_eq!(answer.status, 400, "{body}: {answer:?}");
            assert_eq!(answer.header("x-request-id"), "certification-11");
        }
    }
    let answer = fixture.app.anonymous().post(ONE, whole).await;
    assert_eq!(answer.status, 401);
    assert!(!answer.header("www-authenticate").is_empty());
}

#[actix_web::test]
async fn batches_inherit_keep_their_order_and_stop_where_they_should() {
    let fixture = fixture().await;
    let bob = question("bob", "read", "record-1");
    let actions = json!([{"action": {"name": "read"}}, {"action": {"name": "write"}}]);
    let ask = async |body: &Value, items: Value, semantic: Option<&str>| {
        let mut body = set(body, "evaluations", items);
        if let Some(semantic) = semantic {
            body["options"] = json!({"evaluations_semantic": semantic, "other": [1]});
        }
        decisions(&fixture.gate.post(MANY, body).await)
    };
    assert_eq!(ask(&bob, actions.clone(), None).await, [true, false]);
    let full = json!([
        question("alice", "write", "record-1"),
        question("bob", "write", "record-1")
    ]);
    assert_eq!(ask(&json!({}), full, None).await, [true, false]);
    let items = json!([{}, {"resource": {"type": "record", "id": "record-2"}}]);
    assert_eq!(ask(&bob, items, None).await, [true, true]);
    let items = json!([{"action": {"name": "read"}}, {"action": {"name": "write"}}, {}]);
    let lacking = without(&bob, "resource");
    let one = json!([
        {"resource": {"type": "record", "id": "record-1"}}, {"action": {"name": "read"}},
    ]);
    assert_eq!(ask(&lacking, one, Some("execute_all")).await, [true, false]);
    for (semantic, wanted) in [
        ("execute_all", &[true, false, true][..]),
        ("deny_on_first_deny", &[true, false]),
        ("permit_on_first_permit", &[true]),
    ] {
        assert_eq!(
            ask(&bob, items.clone(), Some(semantic)).await,
            wanted,
            "{semantic}"
        );
    }
    let mut unknown = set(&bob, "evaluations", json!([{}]));
    unknown["options"] = json!({"evaluations_semantic": "whatever"});
    assert_eq!(fixture.gate.post(MANY, unknown).await.status, 400);
}

#[actix_web::test]
async fn searches_find_what_the_table_says() {
    let fixture = fixture().await;
    let gate = &fixture.gate;
    let users = |action: &str, record: Value| json!({"subject": {"type": "user"}, "action": {"name": action}, "resource": record});
    let record = |id: &str| json!({"type": "record", "id": id});
    let archived =
        json!({"type": "record", "id": "record-2", "properties": {"status": "archived"}});
    let has = |found: &[String], wanted: &[&String]| {
        let missing: Vec<_> = wanted.iter().filter(|one| !found.contains(one)).collect();
        assert!(missing.is_empty(), "{missing:?} not in {found:?}");
    };
    let text = |text: &str| text.to_owned();
    for limit in [1, 2, 50] {
        // S1, also with an id that is to be ignored, whatever it is.
        let body = users("read", record("record-1"));
        has(
            &found(gate, "subject", &body, limit).await,
            &[&fixture.alice, &fixture.bob],
        );
        for id in [json!("alice"), json!(7), json!(null)] {
            let body = set(&body, "subject.id", id);
            has(
                &found(gate, "subject", &body, limit).await,
                &[&fixture.alice, &fixture.bob],
            );
        }
        // S2 and S3.
        let body = json!({"subject": {"type": "user", "id": "alice"}, "action": {"name": "read"},
            "resource": {"type": "record", "id": "record-9"}});
        let both = [text("record-1"), text("record-2")];
        assert_eq!(found(gate, "resource", &body, limit).await, both);
        let body =
            json!({"subject": {"type": "user", "id": "alice"}, "resource": record("record-1")});
        let actions = found(gate, "action", &body, limit).await;
        has(&actions, &[&text("read"), &text("write")]);
        assert!(!actions.contains(&text("delete")), "{actions:?}");
        // S4 to S6.
        let body = users("write", archived.clone());
        assert_eq!(
            found(gate, "subject", &body, limit).await,
            std::slice::from_ref(&fixture.bob)
        );
        let bob = json!({"type": "user", "id": "bob", "properties": {"role": "admin"}});
        let body =
            json!({"subject": bob, "action": {"name": "write"}, "resource": {"type": "record"}});
        assert_eq!(
            found(gate, "resource", &body, limit).await,
            [text("record-2")]
        );
        let body = json!({"subject": bob, "resource": archived});
        let named = [&text("write"), &text("archive")];
        has(&found(gate, "action", &body, limit).await, &named);
    }
}

#[actix_web::test]
async fn searches_for_the_unknown_are_empty_and_for_the_unsaid_400() {
    let fixture = fixture().await;
    let whole = |kind: &str| {
        let mut body = question("alice", "read", "record-1");
        body[kind].as_object_mut().unwrap().remove("id");
        if kind == "action" {
            body = without(&body, "action");
        }
        body
    };
    for (kind, pointer, value) in [
        ("subject", "resource.id", "record-9"),
        ("subject", "subject.type", "spaceship"),
        ("resource", "subject.id", "nobody"),
        ("resource", "resource.type", "spaceship"),
        ("resource", "subject.type", "spaceship"),
        ("action", "subject.id", "nobody"),
        (
            "action",
            "subject.id",
            "0198c4a2-0000-7000-8000-000000000000",
        ),
    ] {
        let body = set(&whole(kind), pointer, json!(value));
        let answer = fixture
            .gate
            .post(&format!("/access/v1/search/{kind}"), body)
            .await;
        assert_eq!(answer.status, 200, "{kind} {value}: {answer:?}");
        assert_eq!(answer.body["results"], json!([]), "{kind} {value}");
        assert_eq!(answer.body["page"]["next_token"], "", "{kind} {value}");
    }
    for (kind, pointers) in [
        (
            "subject",
            &[
                "action",
                "subject",
                "resource",
                "resource.id",
                "subject.type",
            ][..],
        ),
        (
            "resource",
            &[
                "action",
                "subject",
                "resource",
                "subject.id",
                "resource.type",
            ],
        ),
        (
            "action",
            &["subject", "resource", "subject.id", "resource.id"],
        ),
    ] {
        for pointer in pointers {
            let body = without(&whole(kind), pointer);
            let answer = fixture
                .gate
                .post(&format!("/access/v1/search/{kind}"), body)
                .await;
            assert_eq!(
                (answer.status, answer.problem()),
                (400, "validation_failed"),
                "{kind} {pointer}"
            );
        }
        let sent = Some(("text/plain", whole(kind).to_string().into_bytes()));
        let path = format!("/access/v1/search/{kind}");
        let headers = [("x-request-id", "certification-18")];
        let answer = fixture.gate.raw("POST", &path, sent, &headers).await;
        assert_eq!(answer.status, 400);
        assert_eq!(answer.header("x-request-id"), "certification-18");
    }
}

#[actix_web::test]
async fn the_metadata_names_the_three_levels() {
    let fixture = fixture().await;
    let path = "/.well-known/authzen-configuration";
    let answer = fixture.app.anonymous().get(path).await;
    assert_eq!(
        answer.body["policy_decision_point"],
        "https://pdp.example.com"
    );
    for (name, path) in [
        ("access_evaluation_endpoint", "/access/v1/evaluation"),
        ("access_evaluations_endpoint", "/access/v1/evaluations"),
        ("search_subject_endpoint", "/access/v1/search/subject"),
        ("search_resource_endpoint", "/access/v1/search/resource"),
        ("search_action_endpoint", "/access/v1/search/action"),
    ] {
        assert_eq!(answer.body[name], format!("https://pdp.example.com{path}"));
        assert_eq!(
            fixture.gate.post(path, json!({})).await.status,
            400,
            "{path} is there"
        );
    }
}
