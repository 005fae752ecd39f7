use clap::ValueEnum;
use serde_json::json;

use super::*;
use crate::import::source::Column;

fn columns(names: &[&str]) -> Vec<Column> {
    names
        .iter()
        .map(|name| Column {
            name: name.trim_end_matches('#').to_owned(),
            is_number: name.ends_with('#'),
        })
        .collect()
}

fn row(value: &Value) -> serde_json::Map<String, Value> {
    value.as_object().unwrap().clone()
}

fn toml(text: &str) -> Result<Mapping, MappingError> {
    Mapping::parse("m.toml", text, false)
}

#[test]
fn all_that_come_along_can_be_read() {
    for ready in Ready::value_variants() {
        let mapping = ready.mapping().unwrap();
        let value = ready.to_possible_value().unwrap();
        assert_eq!(mapping.name, value.get_name());
    }
}

#[test]
fn rules_make_fields_of_columns() {
    let mapping = toml(
        "name = 'x'
        [users]
        table = 'people'
        id = 'uid'
        email = ['mail', 'email']
        locale = { constant = 'de' }
        email_verified = { column = 'verified_at', present = true }
        administrator = { column = 'role', values = { Admin = true }, otherwise = false }
        status = { column = 'state', values = { on = 'active', off = 'disabled' } }
        [users.metadata]
        object = 'extra?'
        numbers = true
        columns = { shoe = 'shoe_size' }
        ",
    )
    .unwrap();
    let there = columns(&[
        "uid#",
        "email",
        "verified_at",
        "role",
        "state",
        "shoe_size#",
        "uploads#",
        "secret",
    ]);
    let plan = mapping.plan(Kind::Users, Some(&there)).unwrap();
    assert_eq!(plan.wanted.table, "people");
    assert_eq!(plan.wanted.key.as_deref(), Some("uid"));
    assert_eq!(plan.unused, ["secret"], "and never asked for");
    assert!(!plan.wanted.columns.contains(&"secret".to_owned()));
    let source = json!({"uid": 7, "email": " a@b.de ", "verified_at": "2024-01-01", "role": "ADMIN",
        "state": "off", "shoe_size": 43, "uploads": 3});
    let fields = plan.apply(&row(&source)).unwrap();
    assert_eq!(
        Value::Object(fields),
        json!({"id": 7, "email": "a@b.de", "locale": "de", "email_verified": true,
            "administrator": true, "status": "disabled", "metadata": {"shoe": 43, "uploads": 3}})
    );
    let source =
        json!({"uid": 7, "email": "a@b.de", "verified_at": null, "role": null, "state": "?"});
    let (code, text) = plan.apply(&row(&source)).unwrap_err();
    assert_eq!(code, "invalid_field");
    assert!(
        text.contains("status") && text.contains("it knows: off, on"),
        "{text}"
    );
}

#[test]
fn a_mapping_that_says_nothing_known_is_refused() {
    for (text, part) in [
        ("name = 'x'", "names no table"),
        (
            "name = 'x'\n[users]\nemial = 'a'",
            "no field \"emial\"; it has: id, email",
        ),
        (
            "name = 'x'\n[users]\nemail = {}",
            "either column or constant",
        ),
        ("name = 'x'\n[people]\nemail = 'a'", "people"),
        (
            "name = 'x'\n[accounts]\nname = 'a'\n[accounts.metadata]\nobject = 'x'",
            "only users",
        ),
        ("[users]\nemail = 'a'", "name"),
    ] {
        let error = toml(text).unwrap_err().to_string();
        assert!(
            error.contains(part) && error.contains("m.toml"),
            "{text}: {error}"
        );
    }
    let mapping = toml("name = 'x'\n[users]\nemail = 'mail'").unwrap();
    let error = mapping
        .plan(Kind::Users, Some(&columns(&["email"])))
        .unwrap_err();
    assert!(error.to_string().contains("there are: email"), "{error}");
}
