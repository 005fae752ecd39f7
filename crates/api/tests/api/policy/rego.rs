//! Rego tests run in the program with the result that `opa test` has, and faults are told by file
//! and line.
use std::{collections::BTreeSet, fs, path::Path, process::Stdio};

use serde_json::Value;
use tokio::process::Command;

use super::{folder, opa};

/// The program's status and its lines.
async fn gatepost(arguments: &[&str]) -> (i32, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_gatepost"))
        .arg("policy")
        .args(arguments)
        .env_clear()
        .current_dir(std::env::temp_dir())
        .stdin(Stdio::null())
        .output()
        .await
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let faults = String::from_utf8_lossy(&output.stderr);
    (
        output.status.code().unwrap_or(-1),
        format!("{text}{faults}"),
    )
}

/// The tests that `opa test` runs in these folders, and those of them that fail.
async fn opa_test(folders: &[&Path]) -> (usize, BTreeSet<String>) {
    let output = Command::new(opa::program())
        .args(["test", "--format", "json"])
        .args(folders)
        .output()
        .await
        .unwrap();
    let results: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
    let failed = results
        .iter()
        .filter(|test| test["fail"] == true || !test["error"].is_null());
    let name = |test: &Value| {
        let text = |key: &str| test[key].as_str().unwrap().to_owned();
        format!("{}.{}", text("package"), text("name"))
    };
    (results.len(), failed.map(name).collect())
}

fn write(root: &Path, path: &str, text: &str) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

const RULES: &str = r#"package gatepost.custom

deny contains {"code": "closed", "message": "Closed."} if input.action.name == "project:delete"
"#;

const TESTS: &str = r#"package gatepost.custom_test

import data.gatepost.custom

test_passes if custom.deny with input as {"action": {"name": "project:delete"}}

test_fails if count(custom.deny) == 1 with input as {"action": {"name": "project:read"}}

test_is_undefined if data.nothing.here

test_calls_what_fails if to_number("x") == 1

todo_test_later if false
"#;

#[tokio::test]
async fn rego_tests_have_the_result_that_opa_gives_them() {
    let own = tempfile::tempdir().unwrap();
    write(own.path(), "policies/custom/rules.rego", RULES);
    write(own.path(), "policies/custom/rules_test.rego", TESTS);
    let examples = folder().join("../examples/custom-policies");
    let program = [
        folder().join("data"),
        folder().join("policies/gatepost/authz/authz.rego"),
    ];
    let program: Vec<&Path> = program.iter().map(AsRef::as_ref).collect();
    for dir in [own.path(), &examples.join("todo"), &examples.join("guards")] {
        let policies = dir.join("policies");
        let (count, failed) = opa_test(&[&program[..], &[&policies]].concat()).await;
        let (status, told) = gatepost(&["test", dir.to_str().unwrap()]).await;
        assert_eq!(status, i32::from(!failed.is_empty()), "{told}");
        let ours = told
            .lines()
            .filter(|line| line.contains(": FAIL") || line.contains(": ERROR"));
        let ours: BTreeSet<String> = ours
            .map(|line| line.split(": ").nth(1).unwrap().to_owned())
            .collect();
        assert_eq!(ours, failed, "{told}");
        assert!(
            told.trim_end().ends_with(&format!("/{count}")),
            "{count}: {told}"
        );
    }
    let whole = folder();
    let (count, failed) = opa_test(&[&whole.join("policies"), &whole.join("data")]).await;
    let (status, told) = gatepost(&["test", whole.to_str().unwrap()]).await;
    assert!(failed.is_empty() && status == 0, "{told}");
    assert_eq!(told.trim_end(), format!("PASS: {count}/{count}"));
}

#[tokio::test]
async fn check_tells_every_fault_with_its_file_and_line() {
    let own = tempfile::tempdir().unwrap();
    let dir = own.path().to_str().unwrap();
    write(own.path(), "policies/custom/rules.rego", RULES);
    let (status, told) = gatepost(&["check", dir]).await;
    assert_eq!(status, 0, "{told}");
    assert!(
        told.starts_with("fine: 2 files of rules, 0 of tests, digest "),
        "{told}"
    );

    write(own.path(), "policies/custom/a.rego", "package a\n\nx := \n");
    write(
        own.path(),
        "policies/custom/b.rego",
        "package b\n\nimport data.y\n\nx := http.send({})\n",
    );
    let (status, told) = gatepost(&["check", dir]).await;
    assert_eq!(status, 1, "{told}");
    let places: Vec<_> = told
        .lines()
        .map(|line| line.split(": ").next().unwrap())
        .collect();
    assert_eq!(
        places,
        [
            "policies/custom/a.rego:4",
            "policies/custom/b.rego:3",
            "policies/custom/b.rego:5"
        ],
        "{told}"
    );
    for (path, text, expected) in [
        ("policies/custom/a.rego", RULES, "policies/custom/b.rego:3"),
        ("policies/custom/b.rego", RULES, "fine: 4 files"),
        (
            "policies/custom/all_test.rego",
            "package all_test\n\ntest_x if false\n",
            "policies/custom/all_test.rego:3: the test data.all_test.test_x fails",
        ),
        ("data/x/data.json", "[", "data/x/data.json: "),
    ] {
        write(own.path(), path, text);
        let (_, told) = gatepost(&["check", dir]).await;
        assert!(told.starts_with(expected), "{told}");
    }
    let (status, told) = gatepost(&["check", "/nonexistent"]).await;
    assert!(status == 1 && told.contains("/nonexistent"), "{told}");
}

#[tokio::test]
async fn show_names_engine_digest_and_own_rules() {
    let (status, told) = gatepost(&["show"]).await;
    assert_eq!(status, 0, "{told}");
    for expected in [
        "engine    embedded",
        "the copy in the program",
        "digest    ",
        "custom    none",
    ] {
        assert!(told.contains(expected), "{told}");
    }
}
