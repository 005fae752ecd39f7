use proptest::prelude::*;
use serde_json::json;

use super::{read::DEPTH, *};
use crate::problem::Code;

fn sent(body: impl Into<String>) -> Sent {
    Sent(Bytes::from(body.into()))
}

fn question(body: &Value) -> Result<Question, Problem> {
    sent(body.to_string()).question()
}

fn whole() -> Value {
    json!({
        "subject": {"type": "user", "id": "alice"},
        "action": {"name": "read"},
        "resource": {"type": "record", "id": "1"},
    })
}

fn batch(body: &Value) -> Vec<Result<Question, FieldError>> {
    let sent = sent(body.to_string());
    match sent.questions().unwrap() {
        Questions::Many(batch) => batch.questions().collect(),
        Questions::One(question) => panic!("one question: {question:?}"),
    }
}

#[test]
fn a_verb_is_one_of_the_type_of_the_resource() {
    let mut body = whole();
    assert_eq!(question(&body).unwrap().permission, "record:read");
    body["action"]["name"] = json!("project:update");
    assert_eq!(question(&body).unwrap().permission, "project:update");
}

#[test]
fn asterisks_are_not_asked_for() {
    for (pointer, value, field) in [
        ("/action/name", "*", "action.name"),
        ("/action/name", "record:*", "action.name"),
        ("/resource/type", "*", "resource.type"),
    ] {
        let mut body = whole();
        *body.pointer_mut(pointer).unwrap() = json!(value);
        assert!(
            question(&body).unwrap_err().detail().starts_with(field),
            "{body}"
        );
    }
}

#[test]
fn a_fault_names_its_member() {
    for (member, value, fault) in [
        ("subject", json!("alice"), "subject: must be an object"),
        (
            "subject",
            json!(["user", "alice"]),
            "subject: must be an object",
        ),
        ("subject", Value::Null, "subject: is missing"),
        (
            "subject",
            json!({"type": "user", "id": 1}),
            "subject.id: invalid type: integer",
        ),
        (
            "subject",
            json!({"type": "user", "id": null}),
            "subject.id: is missing",
        ),
        (
            "subject",
            json!({"type": "", "id": "1"}),
            "subject.type: must not be empty",
        ),
        (
            "action",
            json!({"name": 123}),
            "action.name: invalid type: integer",
        ),
        ("action", json!({}), "action.name: is missing"),
        ("resource", json!({"id": "1"}), "resource.type: is missing"),
        ("context", json!("now"), "context: must be an object"),
    ] {
        let mut body = whole();
        body[member] = value;
        let problem = question(&body).unwrap_err();
        assert!(
            problem.detail().starts_with(fault),
            "{body}: {}",
            problem.detail()
        );
        assert_eq!(problem.code(), Code::ValidationFailed);
    }
    for wrong in [json!([]), json!("x")] {
        let mut body = whole();
        body["resource"]["properties"] = wrong;
        let problem = question(&body).unwrap_err();
        assert!(
            problem
                .detail()
                .starts_with("resource.properties: invalid type")
        );
    }
}

#[test]
fn what_is_no_json_is_malformed() {
    for body in [
        "",
        " ",
        "{",
        "nonsense",
        "{\"subject\":}",
        "{} {}",
        "\u{feff}{}",
    ] {
        let problem = sent(body).question().unwrap_err();
        assert_eq!(problem.code(), Code::MalformedBody, "{body:?}");
    }
    for body in [
        "[]",
        "\"text\"",
        "null",
        "1",
        "{\"subject\":{},\"subject\":{}}",
    ] {
        let problem = sent(body).question().unwrap_err();
        assert_eq!(problem.code(), Code::ValidationFailed, "{body:?}");
    }
    let problem = Sent(Bytes::from_static(b"{\"a\":\"\xff\"}"))
        .question()
        .unwrap_err();
    assert_eq!(problem.code(), Code::MalformedBody);
}

#[test]
fn nul_is_refused_wherever_it_stands() {
    for body in [
        r#"{"a":"\u0000"}"#,
        r#"{"\u0000":1}"#,
        r#"{"a":{"b":["x\\\u0000y"]}}"#,
    ] {
        assert!(scan(body.as_bytes()).is_err(), "{body}");
    }
    for body in [r#"{"a":"\\u0000"}"#, r#"{"a":"\"[[{"}"#, r#"{"a":"u0000"}"#] {
        assert!(scan(body.as_bytes()).is_ok(), "{body}");
    }
}

#[test]
fn nesting_is_counted_outside_of_text() {
    let nested = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
    assert!(scan(nested(DEPTH).as_bytes()).is_ok());
    assert!(scan(nested(DEPTH + 1).as_bytes()).is_err());
    assert!(scan(format!("\"{}\"", nested(40)).as_bytes()).is_ok());
    assert!(scan("[]".repeat(40).as_bytes()).is_ok());
}

#[test]
fn an_item_replaces_whole_members_and_inherits_the_others() {
    let questions = batch(&json!({
        "subject": {"type": "user", "id": "alice", "properties": {"a": 1}},
        "action": {"name": "read", "properties": {"a": 1}},
        "resource": {"type": "record", "id": "1", "properties": {"a": 1}},
        "context": {"a": 1},
        "evaluations": [
            {},
            {"subject": {"type": "user", "id": "bob"}, "context": {"b": 2}, "action": null},
            {"action": {"name": "write"}, "resource": {"type": "record", "id": "2"}},
            {"resource": {"id": "2"}},
        ],
    }));
    let [first, second, third, fourth] = &questions[..] else {
        panic!("four items");
    };
    let a = json!({"a": 1}).as_object().unwrap().clone();
    let first = first.as_ref().unwrap();
    assert_eq!((&first.context, &first.subject.properties), (&a, &a));
    let second = second.as_ref().unwrap();
    assert_eq!(
        (second.subject.id.as_str(), second.subject.properties.len()),
        ("bob", 0)
    );
    assert_eq!(Value::Object(second.context.clone()), json!({"b": 2}));
    assert_eq!(
        (&second.action_properties, &second.resource.properties),
        (&a, &a)
    );
    let third = third.as_ref().unwrap();
    assert_eq!(
        (third.permission.as_str(), third.action_properties.len()),
        ("record:write", 0)
    );
    assert_eq!(
        (third.resource.id.as_str(), third.resource.properties.len()),
        ("2", 0)
    );
    // The type does not come from the default: members are not merged in depth.
    assert_eq!(fourth.as_ref().unwrap_err().field, "resource.type");
}

#[test]
fn defaults_are_judged_after_merging() {
    let questions = batch(&json!({
        "subject": {"type": "user", "id": "alice"},
        "action": {"name": 1},
        "resource": {},
        "evaluations": [
            {"action": {"name": "read"}, "resource": {"type": "record", "id": "1"}},
            {"resource": {"type": "record", "id": "1"}},
            {"action": {"name": "read"}},
            {"subject": "bob", "action": {"name": "read"}, "resource": {"type": "record", "id": "1"}},
        ],
    }));
    let faults: Vec<_> = questions
        .iter()
        .map(|question| {
            question
                .as_ref()
                .map_or_else(|fault| fault.field.as_str(), |_| "")
        })
        .collect();
    assert_eq!(faults, ["", "action.name", "resource.type", "subject"]);
}

#[test]
fn a_batch_that_is_none_is_refused_as_a_whole() {
    for (name, value) in [
        ("evaluations", json!("x")),
        ("evaluations", json!({})),
        ("evaluations", json!([1])),
        ("evaluations", json!([{}, ["user"]])),
        ("evaluations", json!(vec![json!({}); MOST_ITEMS + 1])),
        ("subject", json!("alice")),
        ("context", json!([])),
        ("options", json!("execute_all")),
        ("options", json!({"evaluations_semantic": "first_wins"})),
        ("options", json!({"evaluations_semantic": 1})),
    ] {
        let mut body = whole();
        body["evaluations"] = json!([{}]);
        body[name] = value;
        let sent = sent(body.to_string());
        let problem = sent.questions().unwrap_err();
        assert_eq!(problem.code(), Code::ValidationFailed, "{name}");
        assert!(problem.detail().starts_with(name), "{}", problem.detail());
    }
}

#[test]
fn without_items_it_is_one_question() {
    for evaluations in [Value::Null, json!([])] {
        let mut body = whole();
        body["evaluations"] = evaluations;
        let sent = sent(body.to_string());
        assert!(matches!(sent.questions().unwrap(), Questions::One(_)));
    }
    let sent = sent(r#"{"evaluations":[]}"#);
    assert_eq!(
        sent.questions().unwrap_err().detail(),
        "subject: is missing"
    );
}

#[test]
fn a_parent_is_named_in_full() {
    let read = |parent: Value| {
        let mut body = whole();
        body["resource"]["properties"] = json!({"parent": parent});
        question(&body).map(|question| question.parent)
    };
    let named = read(json!({"type": "project", "id": "p"}))
        .unwrap()
        .unwrap();
    assert_eq!(
        (named.kind.as_str(), named.id.as_deref()),
        ("project", Some("p"))
    );
    assert!(
        read(json!({"type": "system"}))
            .unwrap()
            .unwrap()
            .id
            .is_none()
    );
    for wrong in [
        json!("p"),
        json!({}),
        json!({"type": "project"}),
        json!({"id": "p"}),
        Value::Null,
        json!({"type": 1, "id": "p"}),
        json!({"type": "project", "id": 1}),
    ] {
        assert!(read(wrong.clone()).is_err(), "{wrong}");
    }
}

proptest! {
    #[test]
    fn no_body_makes_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let sent = Sent(Bytes::from(bytes));
        prop_assert!(sent.question().is_err());
        prop_assert!(sent.questions().is_err());
    }

    #[test]
    fn the_scan_sees_what_serde_sees(text in "[\\[\\]{}\"\\\\u0a:, ]{0,80}") {
        if let Ok(value) = serde_json::from_str::<Value>(&text) {
            let holds_nul = value.to_string().contains("\\u0000");
            // Short texts do not get deep, so only NUL is left to refuse.
            prop_assume!(!text.contains(&"[".repeat(DEPTH)));
            prop_assert_eq!(scan(text.as_bytes()).is_err(), holds_nul, "{}", text);
        }
    }
}
