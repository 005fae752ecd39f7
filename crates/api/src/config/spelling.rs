//! What a misspelt name was probably meant to be.

/// The one of `known` that differs from `name` by one or two letters, the nearest first.
///
/// Names of up to eight letters may differ by one only: two would make unrelated ones look alike.
pub(crate) fn closest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let allowed = if name.chars().count() <= 8 { 1 } else { 2 };
    known
        .into_iter()
        .map(|candidate| (distance(name, candidate), candidate))
        .filter(|(distance, _)| (1..=allowed).contains(distance))
        .min()
        .map(|(_, candidate)| candidate)
}

/// Optimal string alignment: insertions, deletions, replacements and swapped neighbours.
fn distance(left: &str, right: &str) -> usize {
    let (left, right): (Vec<char>, Vec<char>) = (left.chars().collect(), right.chars().collect());
    let mut rows = vec![(0..=right.len()).collect::<Vec<_>>()];
    for (i, a) in left.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, b) in right.iter().enumerate() {
            let replaced = rows[i][j] + usize::from(a != b);
            let mut best = replaced.min(rows[i][j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && *a == right[j - 1] && left[i - 1] == *b {
                best = best.min(rows[i - 1][j - 1] + 1);
            }
            row.push(best);
        }
        rows.push(row);
    }
    rows[left.len()][right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_finger_is_recognised() {
        let known = ["SECRET_KEY", "APP_PORT", "OPA_URL"];
        assert_eq!(closest("SECERT_KEY", known), Some("SECRET_KEY"));
        assert_eq!(closest("SECRET_KEYS", known), Some("SECRET_KEY"));
        assert_eq!(closest("APP_POT", known), Some("APP_PORT"));
    }

    #[test]
    fn other_names_are_left_alone() {
        let known = ["SECRET_KEY", "APP_PORT", "OPA_URL"];
        assert_eq!(closest("OPA_PORT", ["APP_PORT"]), None);
        assert_eq!(closest("APP_URL", known), None);
        assert_eq!(closest("HOME", known), None);
        assert_eq!(closest("SECRET_KEY", known), None);
    }
}
