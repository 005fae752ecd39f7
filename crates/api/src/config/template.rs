//! The registry as text: `.env.production.template` and the table of `docs/configuration.md`.

use std::fmt::Write as _;

use super::registry::{self, GROUPS, Preset, Variable};

const WIDTH: usize = 98;

const HEADER: &str = "\
# Settings of Gatepost in production. Copy this file to .env.production, or let `gatepost init`
# write one with fresh secrets. docs/configuration.md tells more.
#
# Every secret may come from a file instead: NAME_FILE=/run/secrets/name.
# A value may take in another variable or its file: ${NAME}. An empty value counts as not set.
";

/// Variables that the template sets; the others stand there as comments.
const SET: [&str; 5] = [
    "ENVIRONMENT",
    "PUBLIC_URL",
    "SECRET_KEY",
    "CSRF_SECRET_KEY",
    "DATABASE_URL",
];

/// The content of `.env.production.template`; `value` fills in the variables that have to be set.
pub fn template(value: impl Fn(&Variable) -> String) -> String {
    let mut text = HEADER.to_owned();
    for group in GROUPS {
        let _ = write!(text, "\n## {}\n", group.title);
        for variable in group.variables {
            text.push('\n');
            push_comment(&mut text, &comment(variable));
            if SET.contains(&variable.name) {
                let _ = writeln!(text, "{}={}", variable.name, value(variable));
            } else {
                let _ = writeln!(text, "# {}={}", variable.name, example(variable));
            }
        }
    }
    text
}

/// The template without secrets, as it is in the repository.
pub fn blank(variable: &Variable) -> String {
    match variable.name {
        "ENVIRONMENT" => "production".to_owned(),
        _ => String::new(),
    }
}

fn example(variable: &Variable) -> &'static str {
    // Descriptions in parentheses would be taken as values by whoever only removes the `#`.
    if variable.example.starts_with('(') {
        ""
    } else {
        variable.example
    }
}

fn comment(variable: &Variable) -> String {
    let meaning = variable.meaning;
    match variable.default {
        Preset::Text(default) | Preset::Derived(default) => {
            format!("{meaning} Default: {default}.")
        }
        Preset::Nothing => meaning.to_owned(),
    }
}

fn push_comment(text: &mut String, comment: &str) {
    let mut line = String::from("#");
    for word in comment.split(' ') {
        if line.len() + 1 + word.len() > WIDTH {
            text.push_str(&line);
            text.push('\n');
            line = String::from("#");
        }
        line.push(' ');
        line.push_str(word);
    }
    text.push_str(&line);
    text.push('\n');
}

/// The tables of `docs/configuration.md`, one for each group.
pub fn tables() -> String {
    let mut text = String::new();
    for group in GROUPS {
        let _ = write!(
            text,
            "## {}\n\n| variable | default | meaning |\n|---|---|---|\n",
            group.title
        );
        for variable in group.variables {
            let default = match variable.default {
                Preset::Text(default) => format!("`{default}`"),
                Preset::Derived(default) => default.to_owned(),
                Preset::Nothing => "none".to_owned(),
            };
            let twin = if variable.secret {
                format!("<br>`{}`", registry::file_twin(variable.name))
            } else {
                String::new()
            };
            let _ = writeln!(
                text,
                "| `{}`{twin} | {default} | {} |",
                variable.name, variable.meaning
            );
        }
        text.push('\n');
    }
    text.truncate(text.trim_end().len());
    text.push('\n');
    text
}
