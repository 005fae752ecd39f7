//! Bodies of `PATCH`: a member that is left out leaves things as they are.

use serde::{Deserialize, Deserializer};

/// Reads a member that may be left out, but is not `null`: nobody can tell
/// whether `null` is meant to clear something or to leave it alone.
pub fn stated<'de, T, D>(deserializer: D) -> Result<Option<T>, D::Error>
where
    T: Deserialize<'de>,
    D: Deserializer<'de>,
{
    T::deserialize(deserializer).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize)]
    struct Change {
        #[serde(default, deserialize_with = "stated")]
        name: Option<String>,
    }

    #[test]
    fn left_out_is_not_null() {
        let parse = |text| serde_json::from_str::<Change>(text).map(|change| change.name);
        assert_eq!(parse("{}").unwrap(), None);
        assert_eq!(parse(r#"{"name":"a"}"#).unwrap(), Some("a".to_owned()));
        assert!(parse(r#"{"name":null}"#).is_err());
    }
}
