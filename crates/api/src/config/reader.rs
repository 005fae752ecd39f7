//! Reads variables, collects what is wrong with them, and remembers where each came from.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use super::registry::{self, Preset};
use super::report::{Fault, Report, Source, Value, Warning};
use super::spelling::closest;

/// A secret, or a value with what it refers to, is not longer than this.
const MAX_LENGTH: usize = 64 * 1024;

/// Reads variables through `lookup`.
pub(super) struct Reader<'a> {
    lookup: &'a dyn Fn(&str) -> Option<String>,
    faults: Vec<Fault>,
    warnings: Vec<Warning>,
    values: Vec<Value>,
    referenced: BTreeSet<String>,
}

/// A text and where it was found.
pub(super) struct Found {
    pub(super) text: String,
    pub(super) source: Source,
}

impl<'a> Reader<'a> {
    pub(super) fn new(lookup: &'a dyn Fn(&str) -> Option<String>) -> Self {
        Self {
            lookup,
            faults: Vec::new(),
            warnings: Vec::new(),
            values: Vec::new(),
            referenced: BTreeSet::new(),
        }
    }

    /// A variable with a default: what `parse` makes of it, or of the default after a fault.
    pub(super) fn get<T>(
        &mut self,
        name: &'static str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> T {
        if let Some(value) = self.optional(name, &parse) {
            return value;
        }
        let Some(Preset::Text(default)) = registry::find(name).map(|variable| variable.default)
        else {
            unreachable!("{name} has no default to fall back to");
        };
        self.show(name, default, Source::Default);
        parse(default).unwrap_or_else(|problem| unreachable!("the default of {name} {problem}"))
    }

    /// A variable without a default. `parse` tells what is wrong as the rest of a sentence.
    pub(super) fn optional<T>(
        &mut self,
        name: &'static str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Option<T> {
        let found = self.find(name)?;
        match parse(&found.text) {
            Ok(value) => {
                let shown = if is_secret(name) {
                    "[secret]"
                } else {
                    &found.text
                };
                self.show(name, shown, found.source);
                Some(value)
            }
            Err(problem) => {
                self.fault(name, &problem);
                None
            }
        }
    }

    /// The text of a variable or of the file that its twin names. An empty one counts as not set.
    pub(super) fn find(&mut self, name: &str) -> Option<Found> {
        let variable = self.set(name);
        let twin = registry::file_twin(name);
        let file = if is_secret(name) {
            self.set(&twin)
        } else {
            None
        };
        match (variable, file) {
            (Some(_), Some(_)) => {
                self.fault(name, &format!("and {twin} are both set; one has to go"));
                None
            }
            (Some(text), None) => match self.expand(&text, &mut vec![name.to_owned()]) {
                Ok(text) => {
                    let text = if is_secret(name) {
                        text
                    } else {
                        text.trim().to_owned()
                    };
                    Some(Found {
                        text,
                        source: Source::Variable(name.to_owned()),
                    })
                }
                Err(problem) => {
                    self.fault(name, &problem);
                    None
                }
            },
            (None, Some(path)) => match read_secret_file(&path) {
                Ok(text) => Some(Found {
                    text,
                    source: Source::File(path.into()),
                }),
                Err(problem) => {
                    self.fault_without_example(&twin, &problem);
                    None
                }
            },
            (None, None) => None,
        }
    }

    /// Whether a variable or its twin has a value, good or bad.
    pub(super) fn is_set(&self, name: &str) -> bool {
        self.set(name).is_some()
            || (is_secret(name) && self.set(&registry::file_twin(name)).is_some())
    }

    /// Whether another value took this variable in by `${…}`.
    pub(super) fn is_referenced(&self, name: &str) -> bool {
        self.referenced.contains(name)
    }

    fn set(&self, name: &str) -> Option<String> {
        (self.lookup)(name).filter(|text| !text.trim().is_empty())
    }

    /// Replaces each `${NAME}`; `$${` stands for `${`, and any other `$` for itself.
    fn expand(&mut self, text: &str, inside: &mut Vec<String>) -> Result<String, String> {
        let mut expanded = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("${") {
            if let Some(before) = before.strip_suffix('$') {
                expanded.push_str(before);
                expanded.push_str("${");
                rest = after;
                continue;
            }
            expanded.push_str(before);
            let (name, after) = after.split_once('}').ok_or("has a `${` without its `}`")?;
            expanded.push_str(&self.referred(name, inside)?);
            if expanded.len() > MAX_LENGTH {
                return Err("grows too long by what it refers to".into());
            }
            rest = after;
        }
        expanded.push_str(rest);
        Ok(expanded)
    }

    fn referred(&mut self, name: &str, inside: &mut Vec<String>) -> Result<String, String> {
        let is_name = !name.is_empty()
            && name
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        if !is_name {
            // Not told which: it may be the middle of a password.
            return Err(
                "has a `${…}` that is not the name of a variable; write `$${` for a plain `${`"
                    .into(),
            );
        }
        if inside.iter().any(|outer| outer == name) {
            return Err(format!(
                "refers to itself: {} -> {name}",
                inside.join(" -> ")
            ));
        }
        self.referenced.insert(name.to_owned());
        if let Some(text) = self.set(name) {
            inside.push(name.to_owned());
            let expanded = self.expand(&text, inside);
            inside.pop();
            return expanded;
        }
        let twin = registry::file_twin(name);
        match self.set(&twin) {
            Some(path) => {
                let text = read_secret_file(&path)
                    .map_err(|problem| format!("refers to {twin}, which {problem}"))?;
                self.referenced.insert(twin);
                Ok(text)
            }
            None => Err(format!("refers to ${{{name}}}, which is not set")),
        }
    }

    /// Notes a fault, with the variable's own example.
    pub(super) fn fault(&mut self, name: &str, problem: &str) {
        let example = registry::find(name).map_or("", |variable| variable.example);
        self.faults.push(Fault {
            variable: name.to_owned(),
            problem: problem.to_owned(),
            example: example.to_owned(),
        });
    }

    /// Notes a fault where an example would tell nothing.
    pub(super) fn fault_without_example(&mut self, name: &str, problem: &str) {
        self.faults.push(Fault {
            variable: name.to_owned(),
            problem: problem.to_owned(),
            example: String::new(),
        });
    }

    /// Notes a warning.
    pub(super) fn warn(&mut self, name: &str, message: impl Into<String>) {
        self.warnings.push(Warning {
            variable: name.to_owned(),
            message: message.into(),
        });
    }

    /// Notes a value in effect, in place of an earlier one.
    pub(super) fn show(&mut self, name: &'static str, shown: impl Into<String>, source: Source) {
        self.values.retain(|value| value.name != name);
        self.values.push(Value {
            name,
            shown: shown.into(),
            source,
        });
    }

    /// Warns of names that nobody reads and that look as if somebody should.
    pub(super) fn warn_of_unknown(&mut self, names: &[String]) {
        let known: BTreeSet<String> = registry::variables()
            .flat_map(|variable| {
                let twin = variable.secret.then(|| registry::file_twin(variable.name));
                [Some(variable.name.to_owned()), twin]
            })
            .flatten()
            .collect();
        for name in names {
            if known.contains(name) || self.referenced.contains(name) || is_service_link(name) {
                continue;
            }
            if name == "ADMIN_PASSWORD" {
                self.warn(
                    name,
                    "is not read; put the password in a file and name it in ADMIN_PASSWORD_FILE",
                );
            } else if let Some(meant) = closest(name, known.iter().map(String::as_str)) {
                self.warn(name, format!("is not read; did you mean {meant}?"));
            } else if name.starts_with("GATEPOST_") {
                self.warn(name, "is not read: there is no setting of this name");
            }
        }
    }

    /// The values in the order of the registry, and the warnings; or every fault.
    pub(super) fn finish(mut self) -> Result<(Vec<Value>, Vec<Warning>), Report> {
        if !self.faults.is_empty() {
            return Err(Report {
                faults: self.faults,
                warnings: self.warnings,
            });
        }
        let place = |name| registry::variables().position(|variable| variable.name == name);
        self.values.sort_by_key(|value| place(value.name));
        Ok((self.values, self.warnings))
    }
}

fn is_secret(name: &str) -> bool {
    registry::find(name).is_some_and(|variable| variable.secret)
}

/// Kubernetes sets such variables for every service, for example one called `gatepost`.
fn is_service_link(name: &str) -> bool {
    name.contains("_SERVICE_") || name.contains("_PORT_") || name == "GATEPOST_PORT"
}

/// What a secret file holds, without the line break that editors leave at its end.
pub(super) fn read_secret_file(path: &str) -> Result<String, String> {
    let path = PathBuf::from(path.trim());
    let shown = path.display();
    let length = fs::metadata(&path)
        .map_err(|error| format!("names {shown}, which cannot be read: {error}"))?
        .len();
    if length > MAX_LENGTH as u64 {
        return Err(format!(
            "names {shown}, which is longer than {MAX_LENGTH} bytes"
        ));
    }
    let bytes =
        fs::read(&path).map_err(|error| format!("names {shown}, which cannot be read: {error}"))?;
    let text =
        String::from_utf8(bytes).map_err(|_| format!("names {shown}, which is not UTF-8 text"))?;
    let text = text.trim_end_matches(['\r', '\n']).to_owned();
    if text.is_empty() {
        Err(format!("names {shown}, which is empty"))
    } else {
        Ok(text)
    }
}
