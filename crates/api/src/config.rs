//! The environment, read once; all faults are told in one report.
//!
//! [`registry`] lists every variable; [`read_environment`] makes a [`Config`] of them. A value may
//! refer to others by `${NAME}`; a secret may come from the file that `<NAME>_FILE` names. In
//! development a file `.env` in the working directory fills in what the environment does not say.

pub mod command;
mod database;
mod metadata_schema;
mod parse;
mod reader;
pub mod registry;
mod report;
mod secret_key;
mod sections;
mod settings;
mod smtp;
pub(crate) mod spelling;
pub mod template;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, IsTerminal as _};
use std::ops::RangeInclusive;
use std::path::Path;

use chrono::TimeDelta;
use unicode_normalization::UnicodeNormalization as _;

pub use metadata_schema::{MetadataFault, MetadataSchema};
pub use report::{Fault, Report, Source, Value, Warning};
pub use secret_key::{KeyFault, SecretKey, secrets_for_development};
pub use settings::*;

/// The exit status for a configuration that cannot be used: `EX_CONFIG` of sysexits.h.
pub const EXIT_STATUS: u8 = 78;

/// The file that is read in development.
const DOT_ENV: &str = ".env";

/// A usable configuration and what is to be said about it.
#[derive(Clone, Debug)]
pub struct Reading {
    /// What the program is set to.
    pub config: Config,
    /// What is probably not meant, or not wise.
    pub warnings: Vec<Warning>,
    /// Each value in effect and where it came from, in the order of the registry.
    pub values: Vec<Value>,
}

/// Makes a configuration of the variables that `lookup` finds. An empty one counts as not set.
///
/// `names` are all variables there are, known or not, for the warning about misspelt ones.
/// `is_terminal` tells whether somebody watches the log.
///
/// # Errors
///
/// Every fault that was found.
pub fn read(
    lookup: &dyn Fn(&str) -> Option<String>,
    names: &[String],
    is_terminal: bool,
) -> Result<Reading, Report> {
    let mut env = reader::Reader::new(lookup);
    let environment = sections::environment(&mut env);
    let http = sections::http(&mut env);
    let public_url = sections::public_url(&mut env, environment, http.port);
    let secrets = sections::secrets(&mut env, environment);
    let database = database::read(&mut env, environment);
    let password = sections::password(&mut env, environment);
    let config = Config {
        environment,
        http,
        database,
        secrets,
        admin: sections::admin(&mut env, password.min_length),
        registration: sections::registration(&mut env),
        mfa_required: sections::mfa_required(&mut env, environment),
        password,
        sessions: sections::sessions(&mut env),
        tokens: sections::tokens(&mut env),
        throttle: sections::throttle(&mut env),
        mail: sections::mail(&mut env, environment, &public_url),
        policy: sections::policy(&mut env),
        accounts: sections::accounts(&mut env),
        decision_log: sections::decision_log(&mut env),
        activity_retention_days: sections::activity_retention_days(&mut env),
        log: sections::log(&mut env, is_terminal),
        public_url,
    };
    env.warn_of_unknown(names);
    let (values, warnings) = env.finish()?;
    Ok(Reading {
        config,
        warnings,
        values,
    })
}

/// Reads the environment of this process, and in development the file `.env` of the working
/// directory for what the environment does not say.
///
/// # Errors
///
/// Every fault that was found, also in `.env`.
pub fn read_environment() -> Result<Reading, Report> {
    read_environment_with(&[])
}

/// The same for commands that do not serve: `stand_ins` take the place of variables that only a
/// server needs, where nobody set them.
///
/// # Errors
///
/// Every fault that was found, also in `.env`.
pub fn read_environment_with(stand_ins: &[(&str, &str)]) -> Result<Reading, Report> {
    let (mut variables, unreadable) = process_variables();
    for (name, value) in stand_ins {
        let is_set = |name: &str| {
            variables
                .get(name)
                .is_some_and(|text| !text.trim().is_empty())
        };
        if !is_set(name) && !is_set(&registry::file_twin(name)) {
            variables.insert((*name).to_owned(), (*value).to_owned());
        }
    }
    read_from(
        variables,
        &unreadable,
        Path::new(DOT_ENV),
        io::stdout().is_terminal(),
    )
}

/// Only how the database is reached: for commands that look at it while other settings may still be
/// missing.
///
/// # Errors
///
/// Every fault of these settings.
pub fn read_database() -> Result<DatabaseConfig, Report> {
    let (variables, unreadable) = process_variables();
    let merged = with_dot_env(variables, &unreadable, Path::new(DOT_ENV));
    if !merged.faults.is_empty() {
        return Err(Report {
            faults: merged.faults,
            warnings: Vec::new(),
        });
    }
    let lookup = |name: &str| merged.variables.get(name).cloned();
    let mut env = reader::Reader::new(&lookup);
    let environment = sections::environment(&mut env);
    let database = database::read(&mut env, environment);
    env.finish()?;
    Ok(database)
}

fn process_variables() -> (BTreeMap<String, String>, Vec<String>) {
    let mut variables = BTreeMap::new();
    let mut unreadable = Vec::new();
    for (name, value) in std::env::vars_os() {
        let Ok(name) = name.into_string() else {
            continue;
        };
        match value.into_string() {
            Ok(value) => drop(variables.insert(name, value)),
            Err(_) => unreadable.push(name),
        }
    }
    (variables, unreadable)
}

/// The environment with what a file adds to it.
struct Merged {
    variables: BTreeMap<String, String>,
    from_file: BTreeSet<String>,
    faults: Vec<Fault>,
}

fn with_dot_env(
    mut variables: BTreeMap<String, String>,
    unreadable: &[String],
    dot_env: &Path,
) -> Merged {
    let mut faults: Vec<Fault> = unreadable
        .iter()
        .filter(|name| is_read(name))
        .map(|name| fault(name, "is not UTF-8 text"))
        .collect();
    let mut from_file = BTreeSet::new();
    let is_production = variables
        .get("ENVIRONMENT")
        .is_some_and(|text| text.eq_ignore_ascii_case("production"));
    if !is_production {
        match dot_env_variables(dot_env) {
            Ok(found) => {
                for (name, value) in found {
                    // As in docker-compose, the environment wins, unless it says nothing.
                    if variables
                        .get(&name)
                        .is_none_or(|text| text.trim().is_empty())
                    {
                        from_file.insert(name.clone());
                        variables.insert(name, value);
                    }
                }
            }
            Err(fault) => faults.push(fault),
        }
        let says_production = variables
            .get("ENVIRONMENT")
            .is_some_and(|text| text.trim().eq_ignore_ascii_case("production"));
        if says_production && from_file.contains("ENVIRONMENT") {
            faults.push(fault(
                "ENVIRONMENT",
                "cannot be production in .env, which is read in development only",
            ));
        }
    }
    Merged {
        variables,
        from_file,
        faults,
    }
}

fn read_from(
    variables: BTreeMap<String, String>,
    unreadable: &[String],
    dot_env: &Path,
    is_terminal: bool,
) -> Result<Reading, Report> {
    let Merged {
        variables,
        from_file,
        faults,
    } = with_dot_env(variables, unreadable, dot_env);
    let names: Vec<String> = variables.keys().cloned().collect();
    let reading = read(&|name| variables.get(name).cloned(), &names, is_terminal);
    let mut reading = match reading {
        Ok(reading) if faults.is_empty() => reading,
        Ok(reading) => {
            return Err(Report {
                faults,
                warnings: reading.warnings,
            });
        }
        Err(mut report) => {
            report.faults.splice(0..0, faults);
            return Err(report);
        }
    };
    for value in &mut reading.values {
        if let Source::Variable(name) = &value.source
            && from_file.contains(name)
        {
            value.source = Source::DotEnv(name.clone());
        }
    }
    Ok(reading)
}

fn is_read(name: &str) -> bool {
    let name = name.strip_suffix("_FILE").unwrap_or(name);
    registry::variables()
        .any(|variable| variable.name.strip_suffix("_FILE").unwrap_or(variable.name) == name)
}

fn fault(name: &str, problem: &str) -> Fault {
    Fault {
        variable: name.to_owned(),
        problem: problem.to_owned(),
        example: String::new(),
    }
}

fn dot_env_variables(path: &Path) -> Result<Vec<(String, String)>, Fault> {
    if !path.exists() {
        return Ok(Vec::new());
    }
    let lines = dotenvy::from_path_iter(path).map_err(|_| fault(DOT_ENV, "cannot be read"))?;
    // dotenvy's own message would show the whole line, which may hold a secret.
    lines.collect::<Result<_, _>>().map_err(|_| {
        fault(
            DOT_ENV,
            "has a line that is not NAME=value, or that is not quoted as it should be",
        )
    })
}

/// Reads a time as the settings have it, such as `90s`, `1h` or `30d`, within `seconds`.
///
/// # Errors
///
/// What it has to be.
pub fn time(text: &str, seconds: RangeInclusive<u64>) -> Result<TimeDelta, String> {
    let time = parse::duration(seconds)(text)?;
    TimeDelta::from_std(time).map_err(|_| "is too long".to_owned())
}

/// Reads the name of a schema as `DATABASE_SCHEMA` has it.
///
/// # Errors
///
/// What it has to be.
pub fn schema(text: &str) -> Result<String, String> {
    parse::identifier(text)
}

/// `DATABASE_SCHEMA`, for a command that runs before there are settings.
///
/// # Errors
///
/// What it has to be.
pub fn schema_of_environment() -> Result<String, String> {
    let (variables, _) = process_variables();
    match variables.get("DATABASE_SCHEMA").map(|text| text.trim()) {
        Some(text) if !text.is_empty() => schema(text),
        _ => Ok("public".to_owned()),
    }
}

/// A password as blocklists are compared: NFKC, then lower case.
pub fn normalized_password(text: &str) -> String {
    text.nfkc().flat_map(char::to_lowercase).collect()
}
