//! CSV as RFC 4180 has it, and safe to open in a spreadsheet.

/// One line of these fields.
///
/// A field that a spreadsheet would take for a formula gets an apostrophe before it: names and
/// reasons are what somebody typed, and who opens the file is somebody else.
pub(super) fn line(fields: &[String]) -> String {
    let fields: Vec<String> = fields.iter().map(|field| self::field(field)).collect();
    fields.join(",") + "\r\n"
}

fn field(text: &str) -> String {
    let is_formula =
        text.starts_with(['=', '+', '-', '@', '\t', '\r', '\n', '＝', '＋', '－', '＠']);
    let text = if is_formula {
        format!("'{text}")
    } else {
        text.to_owned()
    };
    if text.contains(['"', ',', '\r', '\n', '\'']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_be_a_formula_or_break_a_line_does_not() {
        for (text, expected) in [
            ("plain", "plain"),
            ("", ""),
            ("a,b", "\"a,b\""),
            ("say \"x\"", "\"say \"\"x\"\"\""),
            ("two\nlines", "\"two\nlines\""),
            ("=1+1", "\"'=1+1\""),
            ("@SUM(A1)", "\"'@SUM(A1)\""),
            ("-2", "\"'-2\""),
            ("+49", "\"'+49\""),
            ("\t=1", "\"'\t=1\""),
            ("＝1", "\"'＝1\""),
        ] {
            assert_eq!(field(text), expected, "{text}");
        }
        assert_eq!(line(&["a".to_owned(), "b".to_owned()]), "a,b\r\n");
    }
}
