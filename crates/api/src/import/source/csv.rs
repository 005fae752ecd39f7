//! Comma-separated values with the names of the columns in the first line (RFC 4180).

use std::path::Path;

use serde_json::{Map, Value};

use super::{
    Column, MAX_LINE, Raw, SourceError,
    lines::{Line, Lines},
    open, unreadable,
};
use crate::import::report::{Fault, Place};

/// The names in the first line.
pub(super) fn columns(path: &Path) -> Result<Vec<Column>, SourceError> {
    let mut lines = Lines::new(open(path)?);
    let names = names(path, &mut lines)?;
    let column = |name| Column {
        name,
        is_number: false,
    };
    Ok(names.into_iter().map(column).collect())
}

fn names(path: &Path, lines: &mut Lines) -> Result<Vec<String>, SourceError> {
    let mut bytes = Vec::new();
    let first = lines.next(&mut bytes, true);
    let unfit = |why: &str| SourceError::Unfit(format!("{}: {why}", path.display()));
    match first.map_err(|error| unreadable(path, error))? {
        Line::End => Err(unfit("is empty: its first line has to name the columns")),
        Line::TooLong => Err(unfit("its first line is too long")),
        Line::Whole => {
            let names = fields(&bytes).map_err(|(_, why)| unfit(&format!("first line: {why}")))?;
            if names.len() == 1 && names[0].contains([';', '\t']) {
                return Err(unfit("has to have commas between the fields"));
            }
            match names.iter().find(|name| {
                name.is_empty() || names.iter().filter(|other| other == name).count() > 1
            }) {
                Some(name) => Err(unfit(&format!(
                    "the first line has to name each column once; {name:?} is empty or there twice"
                ))),
                None => Ok(names),
            }
        }
    }
}

/// An empty field is one that is not there.
pub(super) fn read(path: &Path, each: &mut dyn FnMut(Raw) -> bool) -> Result<(), SourceError> {
    let mut lines = Lines::new(open(path)?);
    let names = names(path, &mut lines)?;
    let mut bytes = Vec::new();
    loop {
        let number = lines.ends + 1;
        let found = lines.next(&mut bytes, true);
        let row = match found.map_err(|error| unreadable(path, error))? {
            Line::End => break,
            Line::TooLong => Err((
                "line_too_long",
                format!("a record has at most {MAX_LINE} bytes: is a quote missing?"),
            )),
            Line::Whole if bytes.iter().all(u8::is_ascii_whitespace) => continue,
            Line::Whole => fields(&bytes).and_then(|fields| object(&names, fields)),
        };
        let raw = Raw {
            place: Place::line(number),
            row,
            position: lines.bytes,
            is_open_end: !bytes.ends_with(b"\n"),
        };
        if !each(raw) {
            break;
        }
    }
    Ok(())
}

/// The fields of one record.
fn fields(bytes: &[u8]) -> Result<Vec<String>, Fault> {
    let text = std::str::from_utf8(bytes)
        .map_err(|_| ("invalid_utf8", "the line is not UTF-8 text".to_owned()))?;
    let text = text.strip_suffix('\n').unwrap_or(text);
    let text = text.strip_suffix('\r').unwrap_or(text);
    let mut fields = Vec::new();
    let mut rest = text;
    loop {
        let Some(quoted) = rest.strip_prefix('"') else {
            let end = rest.find(',').unwrap_or(rest.len());
            fields.push(rest[..end].to_owned());
            match rest.get(end + 1..) {
                Some(more) => rest = more,
                None => return Ok(fields),
            }
            continue;
        };
        let (field, more) = unquoted(quoted)?;
        fields.push(field);
        match more.strip_prefix(',') {
            Some(more) => rest = more,
            None if more.is_empty() => return Ok(fields),
            None => {
                let text = "a quote ends before the field does: write a quote inside as two";
                return Err(("invalid_csv", text.to_owned()));
            }
        }
    }
}

/// What stands before the quote that ends a field, and what behind it.
fn unquoted(mut rest: &str) -> Result<(String, &str), Fault> {
    let mut field = String::new();
    loop {
        let Some((before, behind)) = rest.split_once('"') else {
            let text = "the file ends inside of quotes: was it cut off?";
            return Err(("cut_off", text.to_owned()));
        };
        field.push_str(before);
        match behind.strip_prefix('"') {
            Some(more) => {
                field.push('"');
                rest = more;
            }
            None => return Ok((field, behind)),
        }
    }
}

fn object(names: &[String], fields: Vec<String>) -> Result<Map<String, Value>, Fault> {
    if names.len() != fields.len() {
        let text = format!(
            "has {} fields, and the first line names {}",
            fields.len(),
            names.len()
        );
        return Err(("invalid_csv", text));
    }
    let fields = names.iter().cloned().zip(fields);
    Ok(fields
        .filter(|(_, text)| !text.is_empty())
        .map(|(name, text)| (name, Value::from(text)))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(text: &str) -> Vec<String> {
        fields(text.as_bytes()).unwrap()
    }

    #[test]
    fn quotes_hold_commas_line_ends_and_quotes() {
        assert_eq!(split("a,b\r\n"), ["a", "b"]);
        assert_eq!(split("a,,\n"), ["a", "", ""]);
        assert_eq!(split("\"a,\"\"b\"\"\r\nc\",d\n"), ["a,\"b\"\r\nc", "d"]);
        assert_eq!(split("\"\",5\" pipe"), ["", "5\" pipe"]);
        for (text, code) in [("\"a", "cut_off"), ("\"a\"b,c", "invalid_csv")] {
            assert_eq!(fields(text.as_bytes()).unwrap_err().0, code, "{text}");
        }
        assert_eq!(fields(b"a,\xff").unwrap_err().0, "invalid_utf8");
    }
}
