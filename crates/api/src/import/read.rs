//! The file: JSON lines or CSV, one line after the other, with a bound on their length.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read},
    path::Path,
};

use serde_json::{Map, Value};

use super::model::Fault;

/// Bytes that a line may have.
const MAX_LINE: usize = 256 * 1024;

/// How the file is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Syntax {
    /// An object in each line.
    Jsonl,
    /// A line with the names of the fields, then a line for each user (RFC 4180).
    Csv,
}

impl Syntax {
    /// By the end of the file's name; JSON lines if that says nothing.
    #[must_use]
    pub fn of(path: &Path) -> Self {
        match path.extension() {
            Some(end) if end.eq_ignore_ascii_case("csv") => Self::Csv,
            _ => Self::Jsonl,
        }
    }
}

/// What stands in a line, and its number.
pub type Numbered = (u64, Result<Value, Fault>);

/// The lines of a file. Empty ones do not count.
///
/// # Errors
///
/// It cannot be opened.
pub fn lines(
    path: &Path,
    syntax: Syntax,
) -> io::Result<Box<dyn Iterator<Item = io::Result<Numbered>>>> {
    let file = File::open(path)?;
    Ok(match syntax {
        Syntax::Jsonl => Box::new(JsonLines {
            reader: BufReader::new(file),
            line: 0,
        }),
        Syntax::Csv => Box::new(csv_lines(file)),
    })
}

struct JsonLines {
    reader: BufReader<File>,
    line: u64,
}

impl Iterator for JsonLines {
    type Item = io::Result<Numbered>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let mut bytes = Vec::new();
            let mut bounded = self.reader.by_ref().take(MAX_LINE as u64 + 1);
            match bounded.read_until(b'\n', &mut bytes) {
                Err(error) => return Some(Err(error)),
                Ok(0) => return None,
                Ok(_) => self.line += 1,
            }
            if bytes.len() > MAX_LINE {
                let rest = self.skip_line();
                let text = format!("a line has at most {MAX_LINE} bytes");
                return Some(rest.map(|()| (self.line, Err(("line_too_long", text)))));
            }
            if bytes.iter().all(u8::is_ascii_whitespace) {
                continue;
            }
            let value = serde_json::from_slice(&bytes).map_err(|error| {
                let text = format!("{error}: each line has to be one JSON object");
                ("invalid_json", text)
            });
            return Some(Ok((self.line, value)));
        }
    }
}

impl JsonLines {
    fn skip_line(&mut self) -> io::Result<()> {
        loop {
            let buffer = self.reader.fill_buf()?;
            if buffer.is_empty() {
                return Ok(());
            }
            let end = buffer.iter().position(|byte| *byte == b'\n');
            let length = end.map_or(buffer.len(), |end| end + 1);
            self.reader.consume(length);
            if end.is_some() {
                return Ok(());
            }
        }
    }
}

fn csv_lines(file: File) -> impl Iterator<Item = io::Result<Numbered>> {
    let mut reader = csv::Reader::from_reader(file);
    let names = reader.headers().cloned();
    reader.into_records().map(move |record| {
        let record = match record {
            Ok(record) => record,
            Err(error) => {
                let line = error.position().map_or(0, csv::Position::line);
                return match error.into_kind() {
                    csv::ErrorKind::Io(error) => Err(error),
                    other => Ok((line, Err(("invalid_csv", format!("{other:?}"))))),
                };
            }
        };
        let line = record.position().map_or(0, csv::Position::line);
        let names = names
            .as_ref()
            .map_err(|error| io::Error::other(error.to_string()))?;
        Ok((line, object(names, &record)))
    })
}

/// An empty field is one that is not there; some hold JSON.
fn object(names: &csv::StringRecord, record: &csv::StringRecord) -> Result<Value, Fault> {
    if record.as_slice().len() > MAX_LINE {
        return Err((
            "line_too_long",
            format!("a line has at most {MAX_LINE} bytes"),
        ));
    }
    let fields = names
        .iter()
        .zip(record)
        .filter(|(_, text)| !text.is_empty());
    let object: Result<Map<String, Value>, Fault> = fields
        .map(|(name, text)| {
            let value = match name {
                "email_verified"
                | "password_must_change"
                | "metadata"
                | "attributes"
                | "keycloak" => serde_json::from_str(text).map_err(|error| {
                    (
                        "invalid_field",
                        format!("{name}: {error}: the field holds JSON"),
                    )
                })?,
                _ => Value::from(text),
            };
            Ok((name.to_owned(), value))
        })
        .collect();
    object.map(Value::Object)
}
