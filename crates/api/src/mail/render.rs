//! From a template to the parts of a mail.
//!
//! A template is one text for both forms of a mail. Its first line is the subject; the blocks
//! after it are separated by empty lines. A block is a paragraph, a list (each line begins with
//! `- `), a code to be typed (four spaces), or a link, `[what it does]({{link}})`.

use std::borrow::Cow;

use chrono::{DateTime, Datelike as _, Timelike as _, Utc};

use crate::http::{html::escaped, language::Language};

/// What takes the place of `{{name}}`.
pub(super) type Values<'a> = Vec<(&'static str, Cow<'a, str>)>;

/// A mail's three parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rendered {
    pub(super) subject: String,
    pub(super) text: String,
    pub(super) html: String,
}

const MONTHS: [[&str; 12]; 3] = [
    [
        "January",
        "February",
        "March",
        "April",
        "May",
        "June",
        "July",
        "August",
        "September",
        "October",
        "November",
        "December",
    ],
    [
        "Januar",
        "Februar",
        "März",
        "April",
        "Mai",
        "Juni",
        "Juli",
        "August",
        "September",
        "Oktober",
        "November",
        "Dezember",
    ],
    [
        "janvier",
        "février",
        "mars",
        "avril",
        "mai",
        "juin",
        "juillet",
        "août",
        "septembre",
        "octobre",
        "novembre",
        "décembre",
    ],
];

/// A time as people write it: to the minute, in UTC.
pub(super) fn date<'a>(language: Language, time: DateTime<Utc>) -> Cow<'a, str> {
    let (day, year) = (time.day(), time.year());
    let month = MONTHS[language as usize][time.month0() as usize];
    let clock = format!("{:02}:{:02} UTC", time.hour(), time.minute());
    match language {
        Language::English => format!("{day} {month} {year}, {clock}"),
        Language::German => format!("{day}. {month} {year}, {clock}"),
        Language::French if day == 1 => format!("1er {month} {year} à {clock}"),
        Language::French => format!("{day} {month} {year} à {clock}"),
    }
    .into()
}

enum Block<'a> {
    Paragraph(&'a str),
    List(&'a str),
    Code(&'a str),
    Link { label: &'a str, target: &'a str },
}

fn blocks(body: &str) -> impl Iterator<Item = Block<'_>> {
    body.trim_end().split("\n\n").map(|block| {
        let link = block
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(')'))
            .and_then(|rest| rest.split_once("]("));
        match link {
            Some((label, target)) => Block::Link { label, target },
            None if block.starts_with("- ") => Block::List(block),
            None if block.starts_with("    ") => Block::Code(block.trim()),
            None => Block::Paragraph(block),
        }
    })
}

/// Fills a template.
pub(super) fn render(template: &str, language: Language, values: &Values<'_>) -> Rendered {
    let (subject, body) = template.split_once("\n\n").unwrap_or((template, ""));
    let subject = subject.trim_start_matches("Subject: ");
    let (mut text, mut html) = (Vec::new(), String::new());
    for block in blocks(body) {
        let (plain, marked) = write(&block, values);
        text.push(plain);
        html.push_str(&marked);
        html.push('\n');
    }
    Rendered {
        subject: fill(subject, values),
        text: text.join("\n\n") + "\n",
        html: format!(
            "<!doctype html>\n<html lang=\"{}\">\n<meta charset=\"utf-8\">\n\
             <body style=\"font-family: sans-serif; line-height: 1.5; max-width: 36em\">\n\
             {html}</body>\n</html>\n",
            language.tag()
        ),
    }
}

/// A block as text and as HTML.
fn write(block: &Block<'_>, values: &Values<'_>) -> (String, String) {
    match block {
        Block::Paragraph(source) => {
            let text = fill(source, values);
            let html = format!("<p>{}</p>", escaped(&text));
            (text, html)
        }
        Block::List(source) => {
            let items = source.lines().map(|line| {
                let item = fill(line.trim_start_matches("- "), values);
                format!("<li>{}</li>", escaped(&item))
            });
            let html = format!("<ul>{}</ul>", items.collect::<Vec<_>>().concat());
            (fill(source, values), html)
        }
        Block::Code(source) => {
            let code = fill(source, values);
            let html = format!(
                "<p style=\"font-family: monospace; font-size: 1.5em; letter-spacing: .1em\">{}</p>",
                escaped(&code)
            );
            (format!("    {code}"), html)
        }
        Block::Link { label, target } => {
            let (label, target) = (fill(label, values), fill(target, values));
            let html = format!(
                "<p><a href=\"{}\">{}</a></p>",
                escaped(&target),
                escaped(&label)
            );
            (format!("{label}:\n{target}"), html)
        }
    }
}

/// Replaces each `{{name}}` once; what a value holds is not looked at again.
fn fill(template: &str, values: &Values<'_>) -> String {
    let mut filled = String::with_capacity(template.len() * 2);
    let mut rest = template;
    while let Some((before, name, after)) = placeholder(rest) {
        filled.push_str(before);
        match values.iter().find(|(known, _)| *known == name) {
            Some((_, value)) => plain(value, &mut filled),
            // Left standing, where the test of all templates finds it.
            None => filled.push_str(&rest[before.len()..rest.len() - after.len()]),
        }
        rest = after;
    }
    filled.push_str(rest);
    filled
}

fn placeholder(text: &str) -> Option<(&str, &str, &str)> {
    let (before, rest) = text.split_once("{{")?;
    let (name, after) = rest.split_once("}}")?;
    Some((before, name, after))
}

/// On one line: a name with a line break could write a paragraph, or end the subject.
fn plain(value: &str, out: &mut String) {
    out.extend(value.chars().map(|char| {
        let breaks = char.is_control() || matches!(char, '\u{2028}' | '\u{2029}');
        if breaks { ' ' } else { char }
    }));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_people_write_them() {
        let time = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        let first = time - chrono::TimeDelta::days(14);
        for (language, day, first_day) in [
            (
                Language::English,
                "15 January 2027, 08:00 UTC",
                "1 January 2027, 08:00 UTC",
            ),
            (
                Language::German,
                "15. Januar 2027, 08:00 UTC",
                "1. Januar 2027, 08:00 UTC",
            ),
            (
                Language::French,
                "15 janvier 2027 à 08:00 UTC",
                "1er janvier 2027 à 08:00 UTC",
            ),
        ] {
            assert_eq!(date(language, time), day);
            assert_eq!(date(language, first), first_day);
        }
    }

    #[test]
    fn each_kind_of_block_is_written_in_both_forms() {
        let template =
            "Subject: S {{n}}\n\nHello\nyou,\n\n- a: {{n}}\n- b\n\n    {{n}}\n\n[Do it]({{n}})\n";
        let values = vec![("n", Cow::Borrowed("<1>"))];
        let rendered = render(template, Language::French, &values);
        assert_eq!(rendered.subject, "S <1>");
        assert_eq!(
            rendered.text,
            "Hello\nyou,\n\n- a: <1>\n- b\n\n    <1>\n\nDo it:\n<1>\n"
        );
        for expected in [
            "<html lang=\"fr\">",
            "<p>Hello\nyou,</p>\n",
            "<ul><li>a: &lt;1&gt;</li><li>b</li></ul>\n",
            ">&lt;1&gt;</p>\n",
            "<p><a href=\"&lt;1&gt;\">Do it</a></p>\n",
        ] {
            assert!(rendered.html.contains(expected), "{}", rendered.html);
        }
    }
}
