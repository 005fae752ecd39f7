//! An object in each line.

use std::path::Path;

use serde_json::{Map, Value};

use super::{
    MAX_LINE, Raw, SourceError,
    lines::{Line, Lines},
    open, unreadable,
};
use crate::import::report::{Fault, Place};

/// Empty lines do not count.
pub(super) fn read(path: &Path, each: &mut dyn FnMut(Raw) -> bool) -> Result<(), SourceError> {
    let mut lines = Lines::new(open(path)?);
    let mut bytes = Vec::new();
    for number in 1.. {
        let found = lines.next(&mut bytes, false);
        let row = match found.map_err(|error| unreadable(path, error))? {
            Line::End => break,
            Line::TooLong => Err((
                "line_too_long",
                format!("a line has at most {MAX_LINE} bytes"),
            )),
            Line::Whole if bytes.iter().all(u8::is_ascii_whitespace) => continue,
            Line::Whole => object(&bytes),
        };
        let raw = Raw {
            place: Place::line(number),
            row,
            position: lines.bytes,
            is_open_end: false,
        };
        if !each(raw) {
            break;
        }
    }
    Ok(())
}

fn object(bytes: &[u8]) -> Result<Map<String, Value>, Fault> {
    if std::str::from_utf8(bytes).is_err() {
        return Err(("invalid_utf8", "the line is not UTF-8 text".to_owned()));
    }
    serde_json::from_slice(bytes).map_err(|error| {
        if error.is_eof() && !bytes.ends_with(b"\n") {
            let text = "the file ends in the middle of this line: was it cut off?";
            return ("cut_off", text.to_owned());
        }
        let text = format!("{error}: each line has to be one JSON object");
        ("invalid_json", text)
    })
}
