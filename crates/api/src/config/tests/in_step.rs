//! The registry, what is read, the template and the documentation say the same.

use std::cell::RefCell;
use std::fs;
use std::path::PathBuf;

use super::*;
use crate::config::registry::{MIGRATION_ONLY, Preset, file_twin, variables};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Compares a file with what it should hold; `UPDATE_EXPECT=1` writes it instead.
fn assert_holds(path: &str, expected: &str) {
    let path = root().join(path);
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        fs::write(&path, expected).unwrap();
    }
    let found = fs::read_to_string(&path).unwrap();
    let differs = found
        .lines()
        .zip(expected.lines())
        .find(|(found, expected)| found != expected);
    assert!(
        found == expected,
        "{} is out of step with the registry ({differs:?}); \
         run `UPDATE_EXPECT=1 cargo test -p gatepost --lib in_step`",
        path.display()
    );
}

#[test]
fn the_template_lists_every_variable() {
    assert_holds(
        ".env.production.template",
        &template::template(template::blank),
    );
}

#[test]
fn the_documentation_lists_every_variable() {
    const BEGIN: &str = "<!-- The tables are made from crates/api/src/config/registry. -->\n\n";
    const END: &str = "\n<!-- End of the tables. -->\n";
    let path = "docs/configuration.md";
    let text = fs::read_to_string(root().join(path)).unwrap();
    let (before, rest) = text.split_once(BEGIN).expect("the mark before the tables");
    let (_, after) = rest.split_once(END).expect("the mark after the tables");
    assert_holds(
        path,
        &format!("{before}{BEGIN}{}{END}{after}", template::tables()),
    );
}

#[test]
fn a_name_stands_in_the_registry_once() {
    let mut names: Vec<_> = variables().map(|variable| variable.name).collect();
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), count);
}

/// All names that are looked up, whichever way the database is given.
fn names_read() -> BTreeSet<String> {
    let asked = RefCell::new(BTreeSet::new());
    let settings: [&[(&str, &str)]; 3] = [
        &[],
        &[
            ("POSTGRES_HOST", "db"),
            ("POSTGRES_USER", "u"),
            ("POSTGRES_POOL_SIZE", "1"),
        ],
        &[("DB_HOST", "db"), ("DB_USER", "u")],
    ];
    for variables in settings {
        let lookup = |name: &str| {
            asked.borrow_mut().insert(name.to_owned());
            variables
                .iter()
                .find(|(known, _)| *known == name)
                .map(|(_, value)| (*value).to_owned())
        };
        read(&lookup, &[], false).unwrap();
    }
    asked.into_inner()
}

#[test]
fn what_is_read_is_in_the_registry_and_the_other_way_round() {
    let drivers_own = ["PGOPTIONS", "PGSSLCERT", "PGSSLKEY"].map(ToOwned::to_owned);
    let mut read = names_read();
    for name in &drivers_own {
        assert!(read.remove(name), "{name}");
    }
    let registered: BTreeSet<String> = variables()
        .filter(|variable| variable.name != MIGRATION_ONLY)
        .flat_map(|variable| {
            [
                Some(variable.name.to_owned()),
                variable.secret.then(|| file_twin(variable.name)),
            ]
        })
        .flatten()
        .collect();
    assert_eq!(read, registered);
}

#[test]
fn every_default_is_in_effect_when_nothing_is_set() {
    let reading = usable(&[]);
    for variable in variables() {
        let Preset::Text(default) = variable.default else {
            continue;
        };
        if matches!(variable.name, "POSTGRES_PORT" | "DB_PORT") {
            continue;
        }
        assert_eq!(shown(&reading, variable.name), default, "{}", variable.name);
        assert_eq!(source_of(&reading, variable.name), Source::Default);
    }
}

#[test]
fn every_example_is_taken() {
    let needed = [
        ("DB_PASSWORD", "pw"),
        ("OWNER_PASSWORD", "pw"),
        ("SMTP_PASSWORD", "pw"),
        ("DB_HOST", "db"),
        ("DB_USER", "u"),
        ("POSTGRES_USER", "u"),
        ("POSTGRES_HOST", "db"),
    ];
    for variable in variables() {
        let names_file =
            variable.example.starts_with("/etc/") || variable.example.starts_with("/run/");
        if names_file || variable.example.starts_with('(') || variable.name == "ENVIRONMENT" {
            continue;
        }
        usable(&[needed.as_slice(), &[(variable.name, variable.example)]].concat());
    }
}

#[test]
fn a_fresh_production_file_lacks_only_what_nobody_can_guess() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(".env.production");
    command::init(&path, false).unwrap();
    let lines: Vec<(String, String)> = dotenvy::from_path_iter(&path)
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap();
    let lines: Vec<(&str, &str)> = lines
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    assert_eq!(faulty(read_all(&lines)), ["PUBLIC_URL", "DATABASE_URL"]);
    let added = [
        ("PUBLIC_URL", "https://a.example.com"),
        ("DATABASE_URL", "postgres://u@db/d"),
    ];
    let reading = usable(&[lines.as_slice(), &added].concat());
    assert_eq!(reading.config.environment, Environment::Production);
}

#[test]
fn a_production_file_is_private_and_not_replaced_by_accident() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(".env.production");
    command::init(&path, false).unwrap();
    let first = fs::read_to_string(&path).unwrap();
    let error = command::init(&path, false).unwrap_err();
    assert!(error.to_string().contains("--force"), "{error}");
    assert_eq!(fs::read_to_string(&path).unwrap(), first);
    command::init(&path, true).unwrap();
    assert_ne!(fs::read_to_string(&path).unwrap(), first);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    #[cfg(unix)]
    {
        let mode =
            std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&path).unwrap().permissions());
        assert_eq!(mode & 0o777, 0o600);
    }
    assert!(command::init(&dir.path().join("no/such/folder"), false).is_err());
}

#[test]
fn check_and_show_tell_what_there_is() {
    let printed = |reading: &Result<Reading, Report>| {
        let mut out = Vec::new();
        command::check(reading, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    };
    assert_eq!(printed(&read_all(&[])), "The configuration is usable.\n");
    assert!(printed(&read_all(&[("APP_PORT", "x")])).contains("APP_PORT is `x`"));
    let mut out = Vec::new();
    command::show(&usable(&[("SECRET_KEY", KEY)]), &mut out).unwrap();
    let out = String::from_utf8(out).unwrap();
    let line = |name: &str| {
        out.lines()
            .find(|line| line.split_once(' ').unwrap().0 == name)
            .unwrap()
    };
    assert!(line("SECRET_KEY").ends_with("= [secret]  (variable SECRET_KEY)"));
    assert!(line("APP_PORT").ends_with("= 8004  (default)"));
}
