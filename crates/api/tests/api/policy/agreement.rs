//! The embedded engine and an OPA server answer alike.
use std::fs;

use gatepost::policy::{Bundle, Embedded, Input, Policy, covers};
use proptest::{
    prelude::*,
    sample::select,
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};
use regorus::Engine;
use serde_json::{Value, json};

use super::{PATIENT, decision_table, folder, opa::Opa, outline, remote};

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

/// Anything at all, small.
fn junk() -> impl Strategy<Value = Value> {
    select(vec![
        json!(null),
        json!(true),
        json!(0),
        json!(-1.5),
        json!(""),
        json!("*"),
        json!("system"),
        json!("2026-11-21T10:00:00Z"),
        json!([]),
        json!(["*"]),
        json!({}),
        json!({"type": "system"}),
        json!({"id": "u1"}),
    ])
}

/// Mostly `good`, sometimes junk, sometimes absent.
fn mostly(good: impl Strategy<Value = Value> + 'static) -> impl Strategy<Value = Option<Value>> {
    prop_oneof![
        80 => good.prop_map(Some),
        1 => junk().prop_map(Some),
        1 => Just(None),
    ]
}

fn object(members: Vec<(&'static str, Option<Value>)>) -> Value {
    members
        .into_iter()
        .filter_map(|(key, value)| Some((key.to_owned(), value?)))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

fn any_of(choices: &[&str]) -> impl Strategy<Value = Value> + use<> {
    select(
        choices
            .iter()
            .map(|choice| json!(choice))
            .collect::<Vec<_>>(),
    )
}

fn place() -> impl Strategy<Value = Value> {
    let kinds = any_of(&["organization", "project"]);
    prop_oneof![
        1 => Just(json!({"type": "system"})),
        3 => (mostly(kinds), mostly(any_of(&["a", "b"])))
            .prop_map(|(kind, id)| object(vec![("type", kind), ("id", id)])),
    ]
}

fn instant() -> impl Strategy<Value = Value> {
    let good = any_of(&[
        "2026-11-21T10:00:00Z",
        "2026-11-21T10:00:00.000000001Z",
        "2026-11-21T11:00:00+01:00",
        "2026-11-21T09:59:59.999-00:00",
        "2024-02-29T23:59:59Z",
        "1970-01-01T00:00:00Z",
        "2259-12-31T23:59:59Z",
    ]);
    let odd = any_of(&[
        "2025-02-29T23:59:59Z",
        "2262-12-31T23:59:59Z",
        "2026-11-21T10:00:60Z",
        "2026-11-21t10:00:00z",
        "2026-11-21 10:00:00Z",
        "2026-11-21T10:00:00",
        "2026-11-21T10:00:00.Z",
        "2026-11-21T10:00:00+24:00",
    ]);
    prop_oneof![8 => good, 1 => odd]
}

fn permission() -> impl Strategy<Value = String> {
    let kinds = select(vec![
        "project",
        "document",
        "resource",
        "self",
        "organization",
        "*",
    ]);
    let verbs = select(vec!["read", "update", "create", "list", "*"]);
    (kinds, verbs).prop_map(|pair| match pair {
        ("*", "*") => "*".to_owned(),
        (kind, verb) => format!("{kind}:{verb}"),
    })
}

fn concrete_permission() -> impl Strategy<Value = String> {
    permission().prop_filter("nobody asks for a pattern", |wanted| !wanted.contains('*'))
}

fn grant() -> impl Strategy<Value = Value> {
    let expiry = prop_oneof![2 => Just(Value::Null), 1 => instant()];
    let permissions = prop::collection::vec(mostly(permission().prop_map(Value::from)), 0..4)
        .prop_map(|some| some.into_iter().flatten().collect::<Value>());
    (
        mostly(any_of(&["g1", "g2", "g3"])),
        mostly(permissions),
        mostly(place()),
        mostly(expiry),
    )
        .prop_map(|(id, permissions, resource, expires_at)| {
            object(vec![
                ("id", id),
                ("role", Some(json!("r"))),
                ("permissions", permissions),
                ("resource", resource),
                ("expires_at", expires_at),
            ])
        })
}

fn list(
    of: impl Strategy<Value = Value> + 'static,
    most: usize,
) -> impl Strategy<Value = Option<Value>> {
    let items = prop::collection::vec(mostly(of), 0..=most);
    mostly(items.prop_map(|some| some.into_iter().flatten().collect::<Value>()))
}

fn question() -> impl Strategy<Value = Value> {
    let types = ["user", "service_account", "project", "document", "system"];
    let status = mostly(any_of(&[
        "active", "active", "active", "active", "active", "active", "disabled",
    ]));
    let properties = mostly(status.prop_map(|status| object(vec![("status", status)])));
    let subject = (
        mostly(any_of(&types[..2])),
        mostly(any_of(&["u1", "u2"])),
        properties,
    )
        .prop_map(|(kind, id, known)| {
            object(vec![("type", kind), ("id", id), ("properties", known)])
        });
    let asked = prop_oneof![8 => concrete_permission(), 1 => permission()];
    let action = mostly(asked.prop_map(Value::from)).prop_map(|name| object(vec![("name", name)]));
    let resource = (
        mostly(any_of(&types)),
        mostly(any_of(&["u1", "a"])),
        list(place(), 4),
    )
        .prop_map(|(kind, id, path)| object(vec![("type", kind), ("id", id), ("path", path)]));
    let settings = mostly(any_of(&["open", "admin"]))
        .prop_map(|creation| object(vec![("organization_creation", creation)]));
    let context = (mostly(instant()), mostly(settings))
        .prop_map(|(time, settings)| object(vec![("time", time), ("settings", settings)]));
    (
        mostly(subject),
        mostly(action),
        mostly(resource),
        list(grant(), 6),
        mostly(context),
    )
        .prop_map(|(subject, action, resource, grants, context)| {
            object(vec![
                ("subject", subject),
                ("action", action),
                ("resource", resource),
                ("grants", grants),
                ("context", context),
            ])
        })
}

/// The same questions in every run: one that fails here fails for everyone.
fn cases(cases: u32) -> TestRunner {
    let config = Config {
        cases,
        failure_persistence: None,
        ..Config::default()
    };
    TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha))
}

#[test]
fn both_engines_agree_on_random_questions() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let opa = runtime.block_on(Opa::start(None));
    let (embedded, remote) = (embedded(), remote(&opa.address, PATIENT));
    let mut allowed = 0;
    let counted = std::cell::RefCell::new(&mut allowed);
    cases(300)
        .run(&question(), |input| {
            let here = runtime.block_on(embedded.decide_document(&input)).unwrap();
            let there = runtime.block_on(remote.decide_document(&input)).unwrap();
            prop_assert_eq!(&here, &there);
            **counted.borrow_mut() += u32::from(here.allow);
            Ok(())
        })
        .unwrap();
    // Random questions that are all refused would show little.
    assert!(allowed >= 15, "only {allowed} of 300 were allowed");
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
