use std::fs;

use super::*;

fn read_with(variables: &[(&str, &str)], dot_env: &str) -> Result<Reading, Report> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(".env");
    fs::write(&path, dot_env).unwrap();
    let variables = variables
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    read_from(variables, &[], &path, false)
}

#[test]
fn it_fills_in_what_the_environment_does_not_say() {
    let file = "# a comment\nAPP_PORT=1\nMETRICS_PORT=2\nMAIL_FROM='a@example.com'\n";
    let reading = read_with(&[("APP_PORT", "3"), ("METRICS_PORT", "")], file).unwrap();
    assert_eq!(
        (reading.config.http.port, reading.config.http.metrics_port),
        (3, 2)
    );
    assert_eq!(
        source_of(&reading, "APP_PORT"),
        Source::Variable("APP_PORT".into())
    );
    assert_eq!(
        source_of(&reading, "METRICS_PORT"),
        Source::DotEnv("METRICS_PORT".into())
    );
    assert_eq!(reading.config.mail.from, "a@example.com");
}

#[test]
fn production_does_not_read_it() {
    let reading = read_with(&PRODUCTION, "APP_PORT=1\nnot a line at all").unwrap();
    assert_eq!(reading.config.http.port, 8004);
}

#[test]
fn it_cannot_make_a_production() {
    assert_eq!(
        faulty(read_with(&[], "ENVIRONMENT=production"))[0],
        "ENVIRONMENT"
    );
}

#[test]
fn a_bad_line_is_told_without_its_text() {
    let report = read_with(&[], "SECRET_KEY=hunter2 hunter2 'hunter2\n").unwrap_err();
    assert_eq!(report.faults[0].variable, ".env");
    assert!(!format!("{report:?}").contains("hunter2"));
}

#[test]
fn a_variable_that_is_no_text_is_a_fault_if_it_is_ours() {
    let unreadable = ["OTHER".to_owned(), "SECRET_KEY_FILE".to_owned()];
    let result = read_from(
        BTreeMap::new(),
        &unreadable,
        Path::new("/nonexistent/.env"),
        false,
    );
    assert_eq!(faulty(result), ["SECRET_KEY_FILE"]);
}
