//! Rules of an operator, with what they know of a question.

use chrono::TimeDelta;
use serde_json::{Value, json};

use super::{MANY, ONE, World, decision, decisions, execute, policy_with, why};
use crate::harness::{Client, TestApp};

/// Rules of an operator, over attributes, properties and circumstances.
const CUSTOM: &str = r#"package gatepost.custom

deny contains {"code": "archived", "message": "Archived records stay as they are."} if {
	input.action.name == "record:write"
	input.resource.properties.status == "archived"
	not input.subject.properties.role == "admin"
}

allow contains {"code": "admin", "message": "Administrators of records write them."} if {
	input.action.name == "record:write"
	input.subject.properties.role == "admin"
}

allow contains {"code": "soft", "message": "Whoever edits may delete softly."} if {
	input.action.name == "record:delete"
	input.action.properties.soft == true
	some grant in input.grants
	"resource:write" in grant.permissions
}

allow contains {"code": "ship", "message": "Ships open their own doors."} if {
	input.subject.type == "spaceship"
	input.action.name == "door:open"
}

allow contains {"code": "fresh", "message": "They have just shown who they are."} if {
	input.action.name == "record:sign"
	input.subject.properties.auth_age < 100
	input.subject.properties.mfa == false
}

deny contains {"code": "closed", "message": "Not now."} if input.context.closed

allow contains {"code": "past", "message": "It is long ago."} if startswith(input.context.time, "1985")
"#;

/// A world in which [`CUSTOM`] holds; the folder is needed only while it is read.
async fn world_with_rules() -> World {
    let folder = policy_with(CUSTOM);
    World::on(TestApp::with(&[("POLICY_DIR", folder.path().to_str().unwrap())]).await).await
}

#[actix_web::test]
async fn attributes_and_properties_reach_the_rules_of_an_operator() {
    let world = world_with_rules().await;
    let ask = async |who: &Client, role: Option<&str>, action: Value, status: Option<&str>| {
        let mut body = world.ask(who, "", "record-2");
        body["action"] = action;
        if let Some(role) = role {
            body["subject"]["properties"] = json!({"role": role});
        }
        if let Some(status) = status {
            body["resource"]["properties"]["status"] = json!(status);
        }
        decision(&world.gate.post(ONE, body).await)
    };
    let write = json!({"name": "write"});
    assert!(ask(&world.alice, None, write.clone(), None).await);
    assert!(!ask(&world.alice, None, write.clone(), Some("archived")).await);
    assert!(!ask(&world.bob, None, write.clone(), None).await);
    assert!(ask(&world.bob, Some("admin"), write.clone(), Some("archived")).await);
    for (soft, wanted) in [(true, true), (false, false)] {
        let action = json!({"name": "delete", "properties": {"soft": soft}});
        assert_eq!(
            ask(&world.alice, None, action, None).await,
            wanted,
            "soft: {soft}"
        );
    }
    // What an administrator has set wins over what the request says.
    let attributes = format!(
        "UPDATE users SET attributes = '{{\"role\": \"guest\"}}' WHERE id = '{}'",
        world.carol.user_id
    );
    execute(&world.app, attributes).await;
    assert!(!ask(&world.carol, Some("admin"), write, None).await);
}

#[actix_web::test]
async fn subjects_that_only_rules_know_may_what_the_rules_say() {
    let world = world_with_rules().await;
    let body = json!({
        "subject": {"type": "spaceship", "id": "enterprise"},
        "action": {"name": "open"},
        "evaluations": [
            {"resource": {"type": "door", "id": "1"}},
            {"resource": world.record("record-1")},
        ],
    });
    let answer = world.admin.post(MANY, body.clone()).await;
    assert_eq!(decisions(&answer), [true, false]);
    assert_eq!(
        answer.body["evaluations"][0]["context"]["reasons"][0]["code"],
        "custom:ship"
    );
    let answer = world.alice.post(MANY, body).await;
    assert_eq!(decisions(&answer), [false, false]);
}

#[actix_web::test]
async fn circumstances_are_inherited_and_replaced_but_the_time_is_ours() {
    let world = world_with_rules().await;
    let mut body = world.ask(&world.bob, "read", "record-1");
    body["context"] = json!({"closed": true});
    body["evaluations"] = json!([{}, {"context": {}}, {"context": {"closed": false}}]);
    assert_eq!(
        decisions(&world.gate.post(MANY, body).await),
        [false, true, true]
    );
    let mut body = world.ask(&world.bob, "write", "record-1");
    body["context"] = json!({"time": "1985-10-26T01:22-07:00"});
    assert_eq!(why(&world.gate.post(ONE, body).await), (false, "no_grant"));
}

#[actix_web::test]
async fn how_someone_logged_in_is_known_of_the_caller_and_believed_of_nobody_else() {
    let world = world_with_rules().await;
    let mut body = world.ask(&world.alice, "sign", "record-1");
    assert!(decision(&world.alice.post(ONE, body.clone()).await));
    body["subject"]["properties"] = json!({"auth_age": 0, "mfa": false});
    assert!(!decision(&world.gate.post(ONE, body.clone()).await));
    world.app.clock.advance(TimeDelta::seconds(99));
    assert!(decision(&world.alice.post(ONE, body.clone()).await));
    world.app.clock.advance(TimeDelta::seconds(1));
    assert!(!decision(&world.alice.post(ONE, body).await));
}
