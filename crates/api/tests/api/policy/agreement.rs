//! The embedded engine and an OPA server answer alike.
use std::fs;

use gatepost::policy::{Bundle, Decision, Embedded, Input, Policy, covers};
use proptest::{prelude::*, strategy::ValueTree as _};
use regorus::Engine;
use serde_json::{Value, json};

use super::{
    PATIENT, decision_table, folder,
    opa::Opa,
    outline,
    questions::{cases, concrete_permission, permission, question},
    remote,
};

fn embedded() -> Embedded {
    Embedded::new(&Bundle::load(None).unwrap()).unwrap()
}

#[tokio::test]
async fn both_engines_decide_as_the_table_says() {
    let opa = Opa::start(None).await;
    let (embedded, remote) = (embedded(), remote(&opa.address, PATIENT));
    let table = decision_table();
    assert!(table.len() >= 60);
    let mut wrong = Vec::new();
    for case in &table {
        let here = embedded.decide_document(&case.input).await.unwrap();
        let there = remote.decide_document(&case.input).await.unwrap();
        if here != there || outline(&here) != case.expect {
            wrong.push(format!("{}: {here:?} {there:?} {}", case.name, case.expect));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn questions_that_are_typed_get_the_same_answers_one_by_one_and_together() {
    let opa = Opa::start(None).await;
    let (embedded, remote) = (embedded(), remote(&opa.address, PATIENT));
    let (mut inputs, mut expected) = (Vec::new(), Vec::new());
    for case in decision_table() {
        if let Ok(input) = serde_json::from_value::<Input>(case.input) {
            inputs.push(input);
            expected.push(case.expect);
        }
    }
    assert!(inputs.len() >= 60);
    let there = remote.decide_many(&inputs).await.unwrap();
    assert_eq!(there.iter().map(outline).collect::<Vec<_>>(), expected);
    assert_eq!(embedded.decide_many(&inputs).await.unwrap(), there);
    for (input, together) in inputs.iter().zip(there) {
        assert_eq!(remote.decide(input).await.unwrap(), together);
    }
    assert!(remote.decide_many(&[]).await.unwrap().is_empty());
}

/// What is remembered of an answer by (`access/memo.rs`) is all that it depends on.
#[tokio::test]
async fn the_delivered_policy_looks_at_nothing_but_what_answers_are_kept_by() {
    let policy = embedded();
    assert!(policy.as_delivered().is_some());
    let mut typed = 0;
    let mut runner = cases(1);
    for _ in 0..8000 {
        let case = question().new_tree(&mut runner).unwrap().current();
        let Ok(input) = serde_json::from_value::<Input>(case) else {
            continue;
        };
        typed += 1;
        let mut other = input.clone();
        let more =
            json!({"frozen": true, "owner_id": input.subject.id, "roles": ["admin"], "mfa": true});
        let Value::Object(more) = more else {
            unreachable!("an object was written here")
        };
        for properties in [
            &mut other.subject.properties,
            &mut other.action.properties,
            &mut other.resource.properties,
            &mut other.context.more,
        ] {
            let known = ["status", "settings"].map(|name| properties.remove_entry(name));
            *properties = more.clone();
            properties.extend(known.into_iter().flatten());
        }
        for grant in &mut other.grants {
            grant.role = "another".to_owned();
        }
        let (one, two) = (policy.decide(&input).await, policy.decide(&other).await);
        assert_eq!(one.unwrap(), two.unwrap(), "{input:?}");
    }
    assert!(typed > 500, "only {typed} questions were of the types");
}

#[tokio::test]
async fn both_engines_are_healthy_and_say_which_they_are() {
    let opa = Opa::start(None).await;
    let (embedded, remote) = (embedded(), remote(&opa.address, PATIENT));
    embedded.health().await.unwrap();
    remote.health().await.unwrap();
    assert_eq!((embedded.engine(), remote.engine()), ("embedded", "opa"));
    assert!(embedded.digest().is_some() && remote.digest().is_none());
}

#[tokio::test]
async fn custom_rules_count_and_fail_alike_in_both_engines() {
    let rules = r#"package gatepost.custom

deny contains {"code": "frozen", "message": "Frozen."} if input.resource.properties.frozen == true

deny contains {"code": "young", "message": "Too young."} if {
	input.resource.properties.min_age
	to_number(input.subject.properties.age) < input.resource.properties.min_age
}

deny contains "no reason" if input.action.name == "document:shred"

allow contains {"code": "author", "message": "Yours."} if input.resource.properties.author == input.subject.id
"#;
    let copy = tempfile::tempdir().unwrap();
    let custom = copy.path().join("policies/custom");
    let authz = copy.path().join("policies/gatepost/authz");
    let data = copy.path().join("data/gatepost/catalog");
    for folder in [&custom, &authz, &data] {
        fs::create_dir_all(folder).unwrap();
    }
    fs::write(custom.join("rules.rego"), rules).unwrap();
    let copied = |from: &str, to: &std::path::Path| fs::copy(folder().join(from), to).unwrap();
    copied(
        "policies/gatepost/authz/authz.rego",
        &authz.join("authz.rego"),
    );
    copied("data/gatepost/catalog/data.json", &data.join("data.json"));
    let opa = Opa::start(Some(&custom)).await;
    let bundle = Bundle::load(Some(copy.path())).unwrap();
    let (embedded, remote) = (
        Embedded::new(&bundle).unwrap(),
        remote(&opa.address, PATIENT),
    );

    let question = |action: &str, properties: Value, age: Value| {
        json!({
            "subject": {"type": "user", "id": "u1", "properties": {"status": "active", "age": age}},
            "action": {"name": action},
            "resource": {"type": "document", "id": "d", "path": [{"type": "system"}], "properties": properties},
            "grants": [],
            "context": {"time": "2026-11-21T10:00:00Z"},
        })
    };
    let author = json!({"author": "u1", "min_age": 18});
    for (input, allow, codes) in [
        (
            question("document:read", author.clone(), json!("20")),
            true,
            vec!["custom:author"],
        ),
        (
            question("document:read", author.clone(), json!(17)),
            false,
            vec!["custom:young", "denied_by_rule"],
        ),
        (
            question("document:shred", author.clone(), json!(20)),
            false,
            vec!["custom", "denied_by_rule"],
        ),
        (
            question("document:read", json!({"frozen": true}), json!(1)),
            false,
            vec!["custom:frozen", "denied_by_rule"],
        ),
        (
            question("document:read", json!({}), json!(1)),
            false,
            vec!["no_grant"],
        ),
    ] {
        let expected = json!({"allow": allow, "reasons": codes, "matched_grants": []});
        let here = embedded.decide_document(&input).await.unwrap();
        assert_eq!(outline(&here), expected, "{input}");
        assert_eq!(
            remote.decide_document(&input).await.unwrap(),
            here,
            "{input}"
        );
    }
    // The author would be allowed, and the rule that must say whether to deny it fails.
    let fails = question("document:read", author, json!("old enough"));
    for policy in [&embedded as &dyn Policy, &remote] {
        let failure = policy.decide_document(&fails).await.unwrap_err();
        assert_eq!(
            failure.code(),
            "policy_error",
            "{}: {failure}",
            policy.engine()
        );
    }
}

/// The answers of an OPA server to documents that may be no questions at all: one call for all
/// of them, and where that fails because one fails, a call for each half.
async fn ask_all(http: &reqwest::Client, opa: &Opa, inputs: &[Value]) -> Vec<Option<Decision>> {
    let url = format!(
        "{}/v1/data/gatepost/authz/decisions?strict-builtin-errors=true",
        opa.address
    );
    let question = json!({"input": {"checks": inputs}}).to_string();
    let answer = http.post(url).body(question).send().await.unwrap();
    let status = answer.status().as_u16();
    let body: Value = answer.json().await.unwrap();
    if status == 200 {
        let decisions: Vec<Decision> = serde_json::from_value(body["result"].clone()).unwrap();
        assert_eq!(decisions.len(), inputs.len());
        return decisions.into_iter().map(Some).collect();
    }
    assert_eq!(status, 500, "{body}");
    if inputs.len() == 1 {
        return vec![None];
    }
    let (first, second) = inputs.split_at(inputs.len() / 2);
    let mut answers = Box::pin(ask_all(http, opa, first)).await;
    answers.extend(Box::pin(ask_all(http, opa, second)).await);
    answers
}

#[tokio::test]
async fn both_engines_agree_on_thousands_of_random_questions() {
    const QUESTIONS: usize = 6000;
    let examples = folder().join("../examples/custom-policies");
    // Fails for some questions, which must then be refused by both.
    let failing = r#"package gatepost.custom

deny contains {"code": "young", "message": "Too young."} if {
	input.resource.properties.min_age
	to_number(input.subject.properties.age) < input.resource.properties.min_age
}
"#;
    let rules = |name: &str| {
        let path = format!("policies/custom/{name}.rego");
        let text = fs::read_to_string(examples.join(name).join(&path)).unwrap();
        (path, text)
    };
    let custom = [
        rules("todo"),
        rules("guards"),
        (
            "policies/custom/failing.rego".to_owned(),
            failing.to_owned(),
        ),
    ];
    let more = tempfile::tempdir().unwrap();
    for (path, text) in &custom {
        fs::write(more.path().join(path.rsplit('/').next().unwrap()), text).unwrap();
    }
    let opa = Opa::start(Some(more.path())).await;
    let bundle = Bundle::load(None).unwrap().with(custom).unwrap();
    let embedded = Embedded::new(&bundle).unwrap();
    let http = reqwest::Client::builder().no_proxy().build().unwrap();

    let mut runner = cases(0);
    let strategy = question();
    let questions: Vec<Value> = (0..QUESTIONS)
        .map(|_| strategy.new_tree(&mut runner).unwrap().current())
        .collect();
    let (mut allowed, mut denied, mut failed) = (0, 0, 0);
    for questions in questions.chunks(150) {
        let there = ask_all(&http, &opa, questions).await;
        for (question, there) in questions.iter().zip(there) {
            let here = match embedded.decide_document(question).await {
                Ok(decision) => Some(decision),
                Err(failure) => {
                    assert_eq!(failure.code(), "policy_error", "{question}");
                    None
                }
            };
            assert_eq!(here, there, "{question}");
            match here {
                None => failed += 1,
                Some(decision) if decision.allow => allowed += 1,
                Some(decision) => denied += usize::from(decision.has_reason("denied_by_rule")),
            }
        }
    }
    // Random questions that are all refused for the same reason would show little.
    assert!(allowed >= 200, "only {allowed} of {QUESTIONS} were allowed");
    assert!(denied >= 200, "only {denied} were denied by a rule");
    assert!(failed >= 10, "only {failed} made a rule fail");
}

#[test]
fn what_permissions_cover_here_is_what_the_policy_says() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let embedded = embedded();
    let held = prop::collection::vec(permission(), 0..4);
    let wanted = concrete_permission();
    cases(300)
        .run(&(held, wanted), |(held, wanted)| {
            let input = json!({
                "subject": {"type": "service_account", "id": "s", "properties": {"status": "active"}},
                "action": {"name": wanted},
                "resource": {"type": "project", "id": "p", "path": [{"type": "project", "id": "p"}]},
                "grants": [{"id": "g", "role": "r", "permissions": held, "resource": {"type": "project", "id": "p"}, "expires_at": null}],
                "context": {"time": "2026-11-21T10:00:00Z"},
            });
            let decision = runtime.block_on(embedded.decide_document(&input)).unwrap();
            prop_assert_eq!(covers(&held, &wanted), decision.has_reason("granted"));
            Ok(())
        })
        .unwrap();
}

#[test]
fn the_capabilities_name_only_what_the_embedded_engine_has() {
    let text = fs::read_to_string(folder().join("capabilities.json")).unwrap();
    let capabilities: Value = serde_json::from_str(&text).unwrap();
    let mut unknown = Vec::new();
    let functions = capabilities["builtins"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|builtin| {
            let name = builtin["name"].as_str().unwrap();
            builtin.get("infix").is_none()
                && !name.starts_with("internal.")
                && name != "eq"
                && name != "assign"
        });
    for function in functions {
        let name = function["name"].as_str().unwrap();
        let args = function["decl"]["args"].as_array().map_or(0, Vec::len);
        let call = format!(
            "package t\n\nx := {name}({})\n",
            vec!["null"; args].join(", ")
        );
        let mut engine = Engine::new();
        let added = engine.add_policy("t.rego".to_owned(), call);
        let outcome = added.and_then(|_| engine.eval_rule("data.t.x".to_owned()));
        if outcome.is_err_and(|error| error.to_string().contains("could not find function")) {
            unknown.push(name.to_owned());
        }
    }
    assert!(unknown.is_empty(), "{unknown:?}");
}
