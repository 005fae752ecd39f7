//! Runs the Rego tests that stand beside a policy's rules.
use std::collections::BTreeSet;

use regorus::Value;

use super::{
    bundle::{Bundle, BundleFault, package},
    embedded, lint,
};

/// What became of one test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is true.
    Passed,
    /// It is false or undefined.
    Failed,
    /// It could not be evaluated.
    Broken(String),
    /// Its name begins with `todo_`.
    Skipped,
}

/// One test: its rule, and what became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TestResult {
    /// The file, below the policy's folder.
    pub path: String,
    /// The line of its first definition, from 1.
    pub line: usize,
    /// `data.<package>.<rule>`.
    pub name: String,
    /// What became of it.
    pub outcome: Outcome,
}

impl TestResult {
    /// Whether it speaks against the policy.
    pub fn is_fault(&self) -> bool {
        matches!(self.outcome, Outcome::Failed | Outcome::Broken(_))
    }
}

/// Runs all tests of a policy: the rules named `test_…`, as `opa test` does.
///
/// Tests with cases (`test_x[note]`), which newer releases of OPA know, are beyond the language
/// that both engines have, and count as broken.
///
/// # Errors
///
/// [`BundleFault::Faults`] if the policy with its tests does not compile.
pub fn run(bundle: &Bundle) -> Result<Vec<TestResult>, BundleFault> {
    let tests = bundle.tests().iter();
    let tests = tests.map(|(path, text)| (path.clone(), lint::spelled_out(text)));
    let mut engine = embedded::compile(bundle, &tests.collect())?;
    // As `opa test` has it.
    engine.set_strict_builtin_errors(false);
    engine.set_input(Value::new_object());
    let mut results = Vec::new();
    for (path, text) in bundle.modules().iter().chain(bundle.tests()) {
        let Some(package) = package(text) else {
            continue;
        };
        for (line, rule) in rules(text) {
            let name = format!("data.{package}.{rule}");
            let outcome = if rule.starts_with("todo_") {
                Outcome::Skipped
            } else {
                // A copy has none of what earlier tests left behind in the engine.
                match engine.clone().eval_rule(name.clone()) {
                    Ok(Value::Bool(true)) => Outcome::Passed,
                    Ok(Value::Bool(false) | Value::Undefined) => Outcome::Failed,
                    Ok(_) => Outcome::Broken("it is neither true nor false".to_owned()),
                    Err(error) => Outcome::Broken(lint::fault(&error).to_string()),
                }
            };
            results.push(TestResult {
                path: path.clone(),
                line,
                name,
                outcome,
            });
        }
    }
    Ok(results)
}

/// The tests of a file, each once, with the line that it begins at.
fn rules(text: &str) -> Vec<(usize, String)> {
    let mut seen = BTreeSet::new();
    text.lines()
        .enumerate()
        .filter_map(|(line, text)| {
            let is_word = |c: &char| c.is_alphanumeric() || *c == '_';
            let name: String = text.chars().take_while(is_word).collect();
            let is_test = name.starts_with("test_") || name.starts_with("todo_test_");
            (is_test && seen.insert(name.clone())).then_some((line + 1, name))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_delivered_tests_pass() {
        let results = run(&Bundle::load(None).unwrap()).unwrap();
        assert!(results.len() >= 20, "{}", results.len());
        let wrong: Vec<_> = results.iter().filter(|test| test.is_fault()).collect();
        assert!(wrong.is_empty(), "{wrong:#?}");
    }

    #[test]
    fn a_test_passes_only_if_it_is_true() {
        let tests = "package a_test\n\ntest_yes if 1 == 1\n\ntest_no if 1 == 2\n\n\
                     test_odd := 7\n\ntest_fails if to_number(\"x\") == 1\n\n\
                     todo_test_later if false\n\ntest_yes if false\n";
        let path = "policies/custom/a_test.rego".to_owned();
        let bundle = Bundle::load(None).unwrap();
        let results = run(&bundle.with([(path, tests.to_owned())]).unwrap()).unwrap();
        let of = |name: &str| {
            let name = format!("data.a_test.{name}");
            let found = results.iter().find(|test| test.name == name);
            found.unwrap_or_else(|| panic!("{name}")).clone()
        };
        assert_eq!(
            (of("test_yes").outcome, of("test_yes").line),
            (Outcome::Passed, 3)
        );
        assert_eq!(of("test_no").outcome, Outcome::Failed);
        assert_eq!(of("todo_test_later").outcome, Outcome::Skipped);
        // What fails is undefined, as it is for `opa test`.
        assert_eq!(of("test_fails").outcome, Outcome::Failed);
        assert!(matches!(of("test_odd").outcome, Outcome::Broken(_)));
    }
}
