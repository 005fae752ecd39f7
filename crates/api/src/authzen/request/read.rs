//! JSON text of bounded depth, read with the member that is wrong.

use serde::Deserialize;

use crate::problem::{Code, FieldError, Problem};

/// Levels of arrays and objects.
pub(super) const DEPTH: usize = 32;

pub(super) fn malformed(detail: impl std::fmt::Display) -> Problem {
    Problem::new(Code::MalformedBody, detail)
}

/// Refuses what nests too deep, and NUL characters, wherever they stand.
///
/// Looks at bytes, not at JSON: what is no JSON is refused in any case when it is parsed.
pub(super) fn scan(bytes: &[u8]) -> Result<(), Problem> {
    let (mut depth, mut in_text) = (0_usize, false);
    let mut rest = bytes.iter().enumerate();
    while let Some((index, byte)) = rest.next() {
        match (in_text, byte) {
            (_, b'"') => in_text = !in_text,
            (true, b'\\') => {
                if bytes[index + 1..].starts_with(b"u0000") {
                    let message = "holds a NUL character";
                    return Err(Problem::invalid("", "invalid_character", message));
                }
                rest.next();
            }
            (false, b'{' | b'[') => {
                depth += 1;
                if depth > DEPTH {
                    return Err(malformed(format!(
                        "The body nests deeper than {DEPTH} levels."
                    )));
                }
            }
            (false, b'}' | b']') => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    Ok(())
}

/// Reads an object; serde would take arrays for structs, too.
pub(super) fn parse<'a, T: Deserialize<'a>>(at: &str, text: &'a str) -> Result<T, FieldError> {
    if !text.trim_start().starts_with('{') {
        return Err(fault(at, "invalid_type", "must be an object"));
    }
    serde_json::from_str(text).map_err(|_| {
        // Once more, to learn where: paths cost too much to note them for every request.
        let reader = &mut serde_json::Deserializer::from_str(text);
        match serde_path_to_error::deserialize::<_, T>(reader) {
            Ok(_) => fault(at, "invalid_value", "cannot be read"),
            Err(error) => {
                let path = error.path().to_string();
                let message = error.inner().to_string();
                // The position is one within this object, which only misleads.
                let message = message.split(" at line ").next().unwrap_or_default();
                let code = if message.starts_with("invalid type") {
                    "invalid_type"
                } else {
                    "invalid_value"
                };
                fault(&join(at, &path), code, message)
            }
        }
    })
}

pub(super) fn join(at: &str, name: &str) -> String {
    match (at, name) {
        (at, ".") => at.to_owned(),
        ("", name) => name.to_owned(),
        (at, name) => format!("{at}.{name}"),
    }
}

pub(super) fn fault(field: &str, code: &'static str, message: impl Into<String>) -> FieldError {
    FieldError {
        field: field.to_owned(),
        code,
        message: message.into(),
    }
}
