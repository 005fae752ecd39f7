//! Text of a server on its way to a terminal.

/// Longer texts of a server are cut.
const LONGEST: usize = 2000;

/// `text` with control characters, and what turns the direction of writing, escaped, so that a
/// hostile server writes nothing on the terminal but this text. At most 2000 characters.
pub fn printable(text: &str) -> String {
    let mut printable = String::with_capacity(text.len().min(LONGEST));
    for character in text.chars().take(LONGEST) {
        let is_direction = matches!(character, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        if character.is_control() || is_direction {
            printable.extend(character.escape_default());
        } else {
            printable.push(character);
        }
    }
    printable
}

/// An identifier as SQL takes it.
pub fn identifier(name: &str) -> String {
    let is_plain = name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
        && name
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    if is_plain {
        name.to_owned()
    } else {
        format!("\"{}\"", printable(name).replace('"', "\"\""))
    }
}

/// A text as SQL takes it.
pub fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_moves_a_cursor_gets_through() {
        assert_eq!(
            printable("a\u{1b}[2Jb\r\n\u{9b}c\u{202e}ü"),
            "a\\u{1b}[2Jb\\r\\n\\u{9b}c\\u{202e}ü"
        );
    }

    #[test]
    fn identifiers_are_quoted_where_they_have_to_be() {
        assert_eq!(identifier("app_1"), "app_1");
        assert_eq!(identifier("App"), "\"App\"");
        assert_eq!(identifier("a\"b"), "\"a\"\"b\"");
    }
}
