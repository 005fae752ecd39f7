//! What the statements of a step do to tables that are there: which locks they take, what they read
//! under them, and what they throw away. Read from their text, because to find out by running them
//! would take the locks; a test compares with what the server really takes.

use std::collections::BTreeSet;

/// The locks of a table (PostgreSQL manual, "Table-Level Locks"), the weakest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mode {
    /// Rows are written.
    RowExclusive,
    /// Others may read and write.
    ShareUpdateExclusive,
    /// Others may read.
    Share,
    /// Others may read.
    ShareRowExclusive,
    /// Others wait.
    AccessExclusive,
}

impl Mode {
    /// The name in the manual.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::RowExclusive => "ROW EXCLUSIVE",
            Self::ShareUpdateExclusive => "SHARE UPDATE EXCLUSIVE",
            Self::Share => "SHARE",
            Self::ShareRowExclusive => "SHARE ROW EXCLUSIVE",
            Self::AccessExclusive => "ACCESS EXCLUSIVE",
        }
    }

    /// Whom it keeps waiting.
    pub fn keeps_waiting(self) -> &'static str {
        match self {
            Self::RowExclusive | Self::ShareUpdateExclusive => "nobody",
            Self::Share | Self::ShareRowExclusive => "writers",
            Self::AccessExclusive => "everybody",
        }
    }
}

/// One lock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Taken {
    pub(crate) table: Table,
    pub(crate) mode: Mode,
    /// What takes time in proportion to the table while the lock is held.
    pub(crate) work: Option<&'static str>,
}

/// A table, by its name or by that of an index on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Table {
    Named(String),
    OfIndex(String),
}

/// What a way back throws away, if it is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Drop {
    Table(String),
    Column(String, String),
    /// Rows, by the text after the table's name.
    Rows(String, String),
}

/// The statements of a text, without comments.
pub(crate) fn split(sql: &str) -> Vec<String> {
    let mut statements = vec![String::new()];
    let mut rest = sql;
    while let Some(first) = rest.chars().next() {
        let length = if rest.starts_with("--") {
            rest = &rest[rest.find('\n').unwrap_or(rest.len())..];
            continue;
        } else if let Some(body) = rest.strip_prefix("$$") {
            body.find("$$").map_or(rest.len(), |end| end + 4)
        } else if let Some(text) = rest.strip_prefix('\'') {
            text.find('\'').map_or(rest.len(), |end| end + 2)
        } else if first == ';' {
            statements.push(String::new());
            rest = &rest[1..];
            continue;
        } else {
            first.len_utf8()
        };
        if let Some(statement) = statements.last_mut() {
            statement.push_str(&rest[..length]);
        }
        rest = &rest[length..];
    }
    statements.retain_mut(|statement| {
        *statement = statement.trim().to_owned();
        !statement.is_empty()
    });
    statements
}

/// The words of a statement: upper case, but for names behind them, with brackets and commas apart.
fn words(statement: &str) -> Vec<String> {
    let mut spaced = String::new();
    for character in statement.chars() {
        if "(),".contains(character) {
            spaced.extend([' ', character, ' ']);
        } else {
            spaced.push(character);
        }
    }
    spaced.split_whitespace().map(str::to_owned).collect()
}

fn is(word: Option<&String>, expected: &str) -> bool {
    word.is_some_and(|word| word.eq_ignore_ascii_case(expected))
}

/// The word after the first `marker`.
fn after(words: &[String], marker: &str) -> Option<String> {
    let at = words.iter().position(|word| word == marker)?;
    words[at + 1..]
        .iter()
        .find(|word| !["ONLY", "IF", "EXISTS", "NOT"].contains(&word.as_str()))
        .cloned()
}

/// Locks on tables that were there before, given the names of those that the steps have made so far.
pub(crate) fn locks(statement: &str, fresh: &mut BTreeSet<String>) -> Vec<Taken> {
    let words = words(statement);
    let kind: Vec<&str> = words.iter().take(3).map(String::as_str).collect();
    let mut taken = match kind.as_slice() {
        ["CREATE", "TABLE", ..] => {
            fresh.extend(after(&words, "TABLE"));
            let parent = words.windows(2).any(|pair| pair == ["PARTITION", "OF"]);
            let parent = parent.then(|| after(&words, "OF")).flatten();
            parent
                .map(|parent| named(parent, Mode::AccessExclusive, None))
                .into_iter()
                .collect()
        }
        ["CREATE", "INDEX", ..] | ["CREATE", "UNIQUE", "INDEX"] => {
            let mode = if words.iter().any(|word| word == "CONCURRENTLY") {
                Mode::ShareUpdateExclusive
            } else {
                Mode::Share
            };
            on(&words, mode, Some("reads all rows for an index"))
        }
        ["CREATE", "TRIGGER", ..] | ["CREATE", "CONSTRAINT", "TRIGGER"] => {
            on(&words, Mode::ShareRowExclusive, None)
        }
        ["CREATE", "POLICY", ..] | ["DROP", "TRIGGER" | "POLICY", ..] => {
            on(&words, Mode::AccessExclusive, None)
        }
        ["DROP", "INDEX", ..] => after(&words, "INDEX")
            .map(|index| Taken {
                table: Table::OfIndex(index),
                mode: Mode::AccessExclusive,
                work: None,
            })
            .into_iter()
            .collect(),
        ["DROP", "TABLE", ..] => after(&words, "TABLE")
            .map(|table| named(table, Mode::AccessExclusive, None))
            .into_iter()
            .collect(),
        ["ALTER", "TABLE", ..] => alter(&words),
        ["COMMENT", "ON", "TABLE"] => after(&words, "TABLE")
            .map(|table| named(table, Mode::ShareUpdateExclusive, None))
            .into_iter()
            .collect(),
        ["INSERT", "INTO", ..] => written(after(&words, "INTO")),
        ["UPDATE", ..] => written(after(&words, "UPDATE")),
        ["DELETE", "FROM", ..] => written(after(&words, "FROM")),
        _ => Vec::new(),
    };
    if matches!(kind.as_slice(), ["CREATE" | "ALTER", "TABLE", ..]) {
        let references = words.windows(2).filter(|pair| pair[0] == "REFERENCES");
        taken.extend(references.map(|pair| named(pair[1].clone(), Mode::ShareRowExclusive, None)));
    }
    taken.retain(|lock| match &lock.table {
        Table::Named(table) => !fresh.contains(table),
        Table::OfIndex(_) => true,
    });
    taken
}

fn named(table: String, mode: Mode, work: Option<&'static str>) -> Taken {
    Taken {
        table: Table::Named(table),
        mode,
        work,
    }
}

fn on(words: &[String], mode: Mode, work: Option<&'static str>) -> Vec<Taken> {
    after(words, "ON")
        .map(|table| named(table, mode, work))
        .into_iter()
        .collect()
}

fn written(table: Option<String>) -> Vec<Taken> {
    table
        .map(|table| named(table, Mode::RowExclusive, Some("writes rows")))
        .into_iter()
        .collect()
}

fn alter(words: &[String]) -> Vec<Taken> {
    let Some(table) = after(words, "TABLE") else {
        return Vec::new();
    };
    let has = |sequence: &[&str]| {
        words.windows(sequence.len()).any(|window| {
            window
                .iter()
                .zip(sequence)
                .all(|(word, other)| word == other)
        })
    };
    let validates = !has(&["NOT", "VALID"]);
    let work = if has(&["TYPE"]) {
        Some("writes all rows anew")
    } else if has(&["SET", "NOT", "NULL"]) {
        Some("reads all rows for NOT NULL")
    } else if has(&["UNIQUE"]) || has(&["PRIMARY", "KEY"]) {
        Some("reads all rows for an index")
    } else if validates && (has(&["CHECK"]) || has(&["REFERENCES"]) || has(&["VALIDATE"])) {
        Some("reads all rows for a constraint")
    } else {
        None
    };
    let actions = words.iter().filter(|word| {
        [
            "ADD", "DROP", "ALTER", "RENAME", "ENABLE", "DISABLE", "FORCE", "VALIDATE", "SET",
        ]
        .contains(&word.as_str())
    });
    // The first ALTER is that of the statement.
    let only_one = actions.count() == 2;
    let mode = if only_one && has(&["VALIDATE", "CONSTRAINT"]) {
        Mode::ShareUpdateExclusive
    } else if only_one && has(&["FOREIGN", "KEY"]) && has(&["ADD"]) {
        Mode::ShareRowExclusive
    } else {
        Mode::AccessExclusive
    };
    vec![named(table, mode, work)]
}

/// What a statement of a way back throws away.
pub(crate) fn drops(statement: &str) -> Vec<Drop> {
    let words = words(statement);
    let kind: Vec<&str> = words.iter().take(2).map(String::as_str).collect();
    match kind.as_slice() {
        ["DROP", "TABLE"] => after(&words, "TABLE")
            .map(Drop::Table)
            .into_iter()
            .collect(),
        ["ALTER", "TABLE"] => {
            let Some(table) = after(&words, "TABLE") else {
                return Vec::new();
            };
            let places = words.windows(2).enumerate();
            places
                .filter(|(_, pair)| *pair == ["DROP", "COLUMN"])
                .filter_map(|(at, _)| {
                    let column = words[at + 2..]
                        .iter()
                        .find(|word| !is(Some(word), "IF") && !is(Some(word), "EXISTS"))?;
                    Some(Drop::Column(table.clone(), column.clone()))
                })
                .collect()
        }
        ["DELETE", "FROM"] => {
            let Some(table) = after(&words, "FROM") else {
                return Vec::new();
            };
            let rest = statement
                .split_once(&table)
                .map_or("", |(_, rest)| rest)
                .trim();
            vec![Drop::Rows(table, rest.to_owned())]
        }
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(statement: &str) -> Vec<(String, Mode, bool)> {
        let mut fresh = BTreeSet::from(["new".to_owned()]);
        let taken = locks(statement, &mut fresh).into_iter();
        taken
            .map(|lock| {
                let table = match lock.table {
                    Table::Named(name) => name,
                    Table::OfIndex(name) => format!("index {name}"),
                };
                (table, lock.mode, lock.work.is_some())
            })
            .collect()
    }

    #[test]
    fn statements_end_where_no_text_goes_on() {
        let sql = "A 'x;''y'; -- c;\nB $$ a; b $$ c;\n\n";
        assert_eq!(split(sql), ["A 'x;''y'", "B $$ a; b $$ c"]);
    }

    #[test]
    fn each_statement_takes_its_lock() {
        use Mode::{AccessExclusive, RowExclusive, Share, ShareRowExclusive, ShareUpdateExclusive};
        for (statement, table, mode, works) in [
            (
                "CREATE TABLE a (b uuid REFERENCES t (id))",
                "t",
                ShareRowExclusive,
                false,
            ),
            ("CREATE INDEX i ON t (a)", "t", Share, true),
            (
                "CREATE UNIQUE INDEX CONCURRENTLY i ON t (a)",
                "t",
                ShareUpdateExclusive,
                true,
            ),
            (
                "CREATE TRIGGER x AFTER UPDATE OF a ON t FOR EACH ROW",
                "t",
                ShareRowExclusive,
                false,
            ),
            (
                "CREATE POLICY p ON t USING (true)",
                "t",
                AccessExclusive,
                false,
            ),
            (
                "ALTER TABLE t ADD COLUMN a text",
                "t",
                AccessExclusive,
                false,
            ),
            (
                "ALTER TABLE t ALTER COLUMN a SET NOT NULL",
                "t",
                AccessExclusive,
                true,
            ),
            (
                "ALTER TABLE t ALTER COLUMN a TYPE text",
                "t",
                AccessExclusive,
                true,
            ),
            (
                "ALTER TABLE t ADD CONSTRAINT c CHECK (a > 0) NOT VALID",
                "t",
                AccessExclusive,
                false,
            ),
            (
                "ALTER TABLE t VALIDATE CONSTRAINT c",
                "t",
                ShareUpdateExclusive,
                true,
            ),
            ("UPDATE t SET a = 1", "t", RowExclusive, true),
            ("DROP INDEX i", "index i", AccessExclusive, false),
        ] {
            assert_eq!(
                of(statement),
                [(table.to_owned(), mode, works)],
                "{statement}"
            );
        }
        for statement in [
            "CREATE INDEX i ON new (a)",
            "CREATE FUNCTION f() AS $$ x $$",
            "SET a = b",
        ] {
            assert_eq!(of(statement), [], "{statement}");
        }
    }

    #[test]
    fn what_goes_is_found() {
        let table = |name: &str| name.to_owned();
        assert_eq!(drops("DROP TABLE a"), [Drop::Table(table("a"))]);
        assert_eq!(
            drops("ALTER TABLE a DROP COLUMN b, DROP CONSTRAINT c, DROP COLUMN IF EXISTS d"),
            [
                Drop::Column(table("a"), table("b")),
                Drop::Column(table("a"), table("d"))
            ]
        );
        assert_eq!(
            drops("DELETE FROM a WHERE kind = 'x'"),
            [Drop::Rows(table("a"), "WHERE kind = 'x'".to_owned())]
        );
        assert_eq!(drops("DROP INDEX a"), []);
    }
}
