//! Random questions to the policy: mostly whole, some with junk in them.
use proptest::{
    prelude::*,
    sample::select,
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};
use serde_json::{Value, json};

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

pub fn permission() -> impl Strategy<Value = String> {
    let kinds = select(vec![
        "project",
        "document",
        "resource",
        "self",
        "organization",
        "todo",
        "todo",
        "*",
    ]);
    let verbs = select(vec![
        "read",
        "update",
        "create",
        "list",
        "delete",
        "can_read_todos",
        "can_update_todo",
        "can_delete_todo",
        "*",
    ]);
    (kinds, verbs).prop_map(|pair| match pair {
        ("*", "*") => "*".to_owned(),
        (kind, verb) => format!("{kind}:{verb}"),
    })
}

pub fn concrete_permission() -> impl Strategy<Value = String> {
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

fn email() -> impl Strategy<Value = Value> {
    any_of(&[
        "u1@example.com",
        "u2@example.com",
        "u1@example.com",
        "u1@elsewhere.org",
    ])
}

fn flag() -> impl Strategy<Value = Value> {
    any::<bool>().prop_map(Value::from)
}

fn todo_roles() -> impl Strategy<Value = Value> {
    let role = select(vec!["viewer", "editor", "admin", "evil_genius", "nobody"]);
    prop::collection::vec(role, 0..3).prop_map(Value::from)
}

/// What a rule turns into a number, or fails to.
fn age() -> impl Strategy<Value = Option<Value>> {
    select(vec![
        None,
        Some(json!("20")),
        Some(json!(17)),
        Some(json!("old")),
    ])
}

/// What an application says of its things.
fn thing() -> impl Strategy<Value = Value> {
    let owner = any_of(&["u1", "u2", "u1@example.com", "u2@example.com"]);
    let least = prop_oneof![15 => Just(None), 1 => Just(Some(json!(18)))];
    (mostly(owner), least)
        .prop_map(|(owner, least)| object(vec![("ownerID", owner), ("min_age", least)]))
}

pub fn question() -> impl Strategy<Value = Value> {
    let types = [
        "user",
        "service_account",
        "project",
        "project",
        "document",
        "system",
        "organization",
        "account",
        "group",
        "todo",
        "todo",
        "resource",
        "policy",
    ];
    let status = mostly(any_of(&[
        "active", "active", "active", "active", "active", "active", "disabled",
    ]));
    let properties = (
        status,
        mostly(email()),
        mostly(todo_roles()),
        mostly(flag()),
        age(),
    )
        .prop_map(|(status, email, roles, mfa, age)| {
            object(vec![
                ("status", status),
                ("email", email),
                ("todo_roles", roles),
                ("mfa", mfa),
                ("age", age),
            ])
        });
    let properties = mostly(properties);
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
        mostly(thing()),
    )
        .prop_map(|(kind, id, path, known)| {
            object(vec![
                ("type", kind),
                ("id", id),
                ("path", path),
                ("properties", known),
            ])
        });
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
pub fn cases(cases: u32) -> TestRunner {
    let config = Config {
        cases,
        failure_persistence: None,
        ..Config::default()
    };
    TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha))
}
