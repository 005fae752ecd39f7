mod database;
mod dot_env;
mod in_step;
mod values;

use super::*;

const KEY: &str = "4f1d6bb2c93a0e57d8810f6c2ae95b7463c1f08e9d2b4a7056e3fc1829ab7d40";
const OTHER_KEY: &str = "a07c5e31f94bd2867e10c8a5b3f2694d8cd73e05ba916f284c37e8d1029fb65a";

/// The least that production needs.
const PRODUCTION: [(&str, &str); 5] = [
    ("ENVIRONMENT", "production"),
    ("PUBLIC_URL", "https://auth.example.com"),
    (
        "DATABASE_URL",
        "postgres://app:hunter2@db.example.com/gatepost",
    ),
    ("SECRET_KEY", KEY),
    ("CSRF_SECRET_KEY", OTHER_KEY),
];

/// Reads exactly these variables; a later one replaces an earlier one.
fn read_all(variables: &[(&str, &str)]) -> Result<Reading, Report> {
    let variables: BTreeMap<String, String> = variables
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    let names: Vec<String> = variables.keys().cloned().collect();
    read(&|name| variables.get(name).cloned(), &names, false)
}

fn usable(variables: &[(&str, &str)]) -> Reading {
    read_all(variables).unwrap_or_else(|report| panic!("{report}"))
}

fn production_with(more: &[(&str, &str)]) -> Result<Reading, Report> {
    read_all(&[&PRODUCTION, more].concat())
}

/// The variables that have faults.
fn faulty(result: Result<Reading, Report>) -> Vec<String> {
    let report = result.expect_err("a fault");
    report
        .faults
        .into_iter()
        .map(|fault| fault.variable)
        .collect()
}

/// The variables that are warned about.
fn warned(reading: &Reading) -> Vec<&str> {
    reading
        .warnings
        .iter()
        .map(|warning| warning.variable.as_str())
        .collect()
}

fn source_of(reading: &Reading, name: &str) -> Source {
    let value = reading.values.iter().find(|value| value.name == name);
    value
        .unwrap_or_else(|| panic!("{name} is not shown"))
        .source
        .clone()
}

fn shown<'a>(reading: &'a Reading, name: &str) -> &'a str {
    let value = reading.values.iter().find(|value| value.name == name);
    &value.unwrap_or_else(|| panic!("{name} is not shown")).shown
}
