//! What is wrong with a policy, each fault with its file and line.
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use regorus::Engine;
use serde::Deserialize;

use super::{bundle::Bundle, files};

/// Words of the language that a bracket may follow: they call nothing. `set()` is a value.
const WORDS: [&str; 9] = [
    "as", "else", "every", "if", "in", "not", "set", "some", "with",
];

/// One fault in one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The file, below the policy's folder; empty if it is not known.
    pub path: String,
    /// Counted from 1; 0 if it is not known.
    pub line: usize,
    /// What is wrong.
    pub message: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.path.as_str(), self.line) {
            ("", _) => f.write_str(&self.message),
            (path, 0) => write!(f, "{path}: {}", self.message),
            (path, line) => write!(f, "{path}:{line}: {}", self.message),
        }
    }
}

/// All faults that were found, at least one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Faults(pub Vec<Fault>);

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, fault) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { "\n" };
            write!(f, "{separator}{fault}")?;
        }
        Ok(())
    }
}

/// Reads the engine's account of a fault: `--> path:line:column`, the line, `error: …`.
pub(super) fn fault(error: &impl fmt::Display) -> Fault {
    let text = error.to_string();
    let place = text.lines().find_map(|line| {
        let mut parts = line.trim().strip_prefix("--> ")?.rsplitn(3, ':');
        let (_column, line) = (parts.next()?, parts.next()?);
        Some((parts.next()?.to_owned(), line.parse().ok()?))
    });
    let message = text
        .lines()
        .find_map(|line| line.trim().strip_prefix("error: "));
    let Some((path, line)) = place else {
        return Fault {
            path: String::new(),
            line: 0,
            message: text.trim().replace('\n', " "),
        };
    };
    Fault {
        path,
        line,
        message: message.unwrap_or("it cannot be read").to_owned(),
    }
}

/// Every fault that can be found without a question: files that are no Rego, functions that one
/// of the engines lacks, imports and names that nothing uses.
pub fn check(bundle: &Bundle) -> Vec<Fault> {
    let mut faults = Vec::new();
    let known = builtins();
    let all: BTreeMap<&String, &String> = bundle.modules().iter().chain(bundle.tests()).collect();
    let own = all.values().flat_map(|text| heads(text)).collect();
    for (path, text) in all {
        let mut engine = Engine::new();
        if let Err(error) = engine.add_policy(path.clone(), text.clone()) {
            faults.push(fault(&error));
            continue;
        }
        faults.extend(look(path, text, &known, &own));
    }
    faults.sort_by(|one, other| (&one.path, one.line).cmp(&(&other.path, other.line)));
    faults
}

/// The functions that both engines have.
fn builtins() -> BTreeSet<String> {
    #[derive(Deserialize)]
    struct Capabilities {
        builtins: Vec<Builtin>,
    }
    #[derive(Deserialize)]
    struct Builtin {
        name: String,
    }
    let read = |text: String| serde_json::from_str::<Capabilities>(&text).ok();
    let listed = files::capabilities().and_then(read);
    let builtins = listed.into_iter().flat_map(|listed| listed.builtins);
    builtins.map(|builtin| builtin.name).collect()
}

/// The names at the beginning of lines: rules and functions.
fn heads(text: &str) -> impl Iterator<Item = String> {
    let plain = blank(text);
    let lines: Vec<String> = plain.lines().map(ToOwned::to_owned).collect();
    lines.into_iter().filter_map(|line| {
        let line = line.strip_prefix("default ").unwrap_or(&line);
        let name: String = line.chars().take_while(|c| is_word(*c)).collect();
        (!name.is_empty()).then_some(name)
    })
}

/// Calls of functions that are not there, and imports that nothing uses.
fn look(path: &str, text: &str, known: &BTreeSet<String>, own: &BTreeSet<String>) -> Vec<Fault> {
    let plain = blank(text);
    let imports: Vec<(usize, String)> = plain
        .lines()
        .enumerate()
        .filter_map(|(line, text)| Some((line + 1, imported(text)?.0)))
        .collect();
    let fault = |line: usize, message: String| Fault {
        path: path.to_owned(),
        line,
        message,
    };
    let mut faults = Vec::new();
    for (line, name) in calls(&plain) {
        let first = name.split('.').next().unwrap_or_default();
        let is_own = own.contains(first)
            || first == "data"
            || imports.iter().any(|(_, alias)| alias == first);
        if !is_own && !known.contains(&name) {
            let message = format!("`{name}` is no function that both engines have");
            faults.push(fault(line, message));
        }
    }
    let used = |alias: &str| words(&plain).filter(|word| *word == alias).count() > 1;
    for (index, (line, alias)) in imports.iter().enumerate() {
        if imports[..index].iter().any(|(_, before)| before == alias) {
            faults.push(fault(*line, format!("`{alias}` is imported twice")));
        } else if !used(alias) {
            faults.push(fault(*line, format!("the import `{alias}` is not used")));
        }
    }
    faults
}

/// The name that an import brings, and the path that it stands for; those of the language itself
/// bring none.
fn imported(line: &str) -> Option<(String, String)> {
    let what = line.strip_prefix("import ")?.trim();
    let (path, alias) = match what.split_once(" as ") {
        Some((path, alias)) => (path.trim(), alias.trim()),
        None => (what, what.rsplit('.').next().unwrap_or(what)),
    };
    let is_language = path.starts_with("rego.") || path.starts_with("future.");
    (!is_language).then(|| (alias.to_owned(), path.to_owned()))
}

/// The same file with the whole path in the place of each name that an import brought; lines stay
/// where they are.
///
/// The embedded engine evaluates all of a package that is named by an import, and with it what the
/// test does not ask about.
pub(super) fn spelled_out(text: &str) -> String {
    let plain = blank(text);
    let imports: BTreeMap<String, String> = plain.lines().filter_map(imported).collect();
    let mut spelled = String::with_capacity(text.len() * 2);
    // Both have the same characters, but for what is blank in one of them.
    let mut code = text.chars().zip(plain.chars()).peekable();
    let (mut before, mut is_import) = ('\n', false);
    while let Some(&(c, seen)) = code.peek() {
        if !is_word(seen) {
            code.next();
            spelled.push(c);
            is_import &= c != '\n';
            before = seen;
            continue;
        }
        let mut word = String::new();
        while let Some((c, _)) = code.next_if(|(_, seen)| is_word(*seen)) {
            word.push(c);
        }
        is_import |= word == "import" && before == '\n';
        let is_whole = before != '.' && code.peek().is_some_and(|(_, next)| *next == '.');
        match imports.get(&word) {
            Some(path) if is_whole && !is_import => spelled.push_str(path),
            _ => spelled.push_str(&word),
        }
        before = 'w';
    }
    spelled
}

/// Each `name(` with its line, where the bracket follows at once.
fn calls(plain: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (line, text) in plain.lines().enumerate() {
        for (at, _) in text.match_indices('(') {
            let before = &text[..at];
            let begin = before
                .char_indices()
                .rev()
                .take_while(|(_, c)| is_word(*c) || *c == '.')
                .last();
            if let Some((begin, _)) = begin {
                let name = &before[begin..];
                let follows_bracket = before[..begin].ends_with([']', ')']);
                let is_name = name.starts_with(|c: char| c.is_alphabetic() || c == '_');
                if is_name && !follows_bracket && !WORDS.contains(&name) {
                    found.push((line + 1, name.to_owned()));
                }
            }
        }
    }
    found
}

fn words(plain: &str) -> impl Iterator<Item = &str> {
    plain.split(|c| !is_word(c)).filter(|word| !word.is_empty())
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// The text with comments and the insides of strings blanked out; lines stay where they are.
fn blank(text: &str) -> String {
    #[derive(Clone, Copy, PartialEq)]
    enum In {
        Code,
        Comment,
        Quotes,
        Raw,
    }
    let mut place = In::Code;
    let mut escaped = false;
    let keep = |c: char| if c == '\n' { '\n' } else { ' ' };
    text.chars()
        .map(|c| match (place, c) {
            (In::Code, '#') => {
                place = In::Comment;
                ' '
            }
            (In::Code, '"') => {
                place = In::Quotes;
                ' '
            }
            (In::Code, '`') => {
                place = In::Raw;
                ' '
            }
            (In::Code, c) => c,
            (In::Comment | In::Quotes, '\n') => {
                (place, escaped) = (In::Code, false);
                '\n'
            }
            (In::Quotes, '"') if !escaped => {
                place = In::Code;
                ' '
            }
            (In::Quotes, c) => {
                escaped = c == '\\' && !escaped;
                ' '
            }
            (In::Raw, '`') => {
                place = In::Code;
                ' '
            }
            (In::Comment | In::Raw, c) => keep(c),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(rules: &str) -> Vec<String> {
        let path = "policies/custom/a.rego".to_owned();
        let bundle = Bundle::load(None).unwrap();
        let bundle = bundle.with([(path, rules.to_owned())]).unwrap();
        check(&bundle).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn the_delivered_policy_and_its_tests_have_no_fault() {
        let none: [String; 0] = [];
        assert_eq!(faults("package gatepost.custom\n"), none);
    }

    #[test]
    fn what_only_looks_like_a_fault_is_none() {
        let rules = r#"package gatepost.custom

import data.gatepost.authz as ours
import rego.v1

# http.send(x) is not called here
deny contains {"code": "a", "message": "no_such(1) \" http.send("} if {
	count(ours.decision.reasons) == 0
	_is(`net.lookup_ip_addr(`, "b")
	count(set()) == 0
	data.gatepost.custom._is("a", "b")
}

_is(a, b) if startswith(a, b)
"#;
        let none: [String; 0] = [];
        assert_eq!(faults(rules), none);
    }

    #[test]
    fn names_of_imports_are_spelled_out_where_they_are_code() {
        let text = "package a\n\nimport data.x.y\nimport data.z as w\n\n# y.b\n\
                    p if y.b(w.c, \"y.b\", q.y.b, yy.b) with input as y\n";
        let expected = "package a\n\nimport data.x.y\nimport data.z as w\n\n# y.b\n\
                        p if data.x.y.b(data.z.c, \"y.b\", q.y.b, yy.b) with input as y\n";
        assert_eq!(spelled_out(text), expected);
    }

    #[test]
    fn every_fault_is_told_with_its_line() {
        let rules = "package gatepost.custom\n\nimport data.x.y\n\n\
                     allow contains {\"code\": no_such(1), \"message\": http.send({})}\n";
        assert_eq!(
            faults(rules),
            [
                "policies/custom/a.rego:3: the import `y` is not used",
                "policies/custom/a.rego:5: `no_such` is no function that both engines have",
                "policies/custom/a.rego:5: `http.send` is no function that both engines have",
            ]
        );
        let broken = faults("package gatepost.custom\n\nallow := \n\nx if {\n");
        assert!(
            broken[0].starts_with("policies/custom/a.rego:"),
            "{broken:?}"
        );
        assert_eq!(broken.len(), 1);
    }
}
