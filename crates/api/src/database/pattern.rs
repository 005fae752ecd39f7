//! Patterns of `LIKE`.

use sea_orm::sea_query::LikeExpr;

/// Matches what begins with `text`, whatever characters that has.
pub fn prefix(text: &str) -> LikeExpr {
    let mut pattern = String::with_capacity(text.len() + 1);
    for c in text.chars() {
        if matches!(c, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern.push('%');
    LikeExpr::new(pattern).escape('\\')
}
