//! `USER_METADATA_SCHEMA`: what the `metadata` of users has to fit (JSON Schema, draft 2020-12).

use std::{fmt, fs, sync::Arc};

use jsonschema::{Draft, PatternOptions, ValidationError, Validator, error::ValidationErrorKind};
use serde_json::Value;

use super::parse;

/// So many faults are told at once.
const MOST_FAULTS: usize = 20;

/// A schema that was compiled at the start. Clones share it.
#[derive(Clone)]
pub struct MetadataSchema(Arc<Validator>);

/// One way in which an object does not fit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetadataFault {
    /// Where, below the object: names and indexes with dots between; empty for the object itself.
    pub path: String,
    /// What, for people.
    pub message: String,
}

impl MetadataSchema {
    /// Reads the file at `path`. Nothing that it refers to is fetched.
    ///
    /// # Errors
    ///
    /// What is wrong with it, for the report of the settings.
    pub(super) fn read(path: &str) -> Result<Self, String> {
        parse::file(path)?;
        let text = fs::read_to_string(path)
            .map_err(|error| format!("is {path}, which cannot be read as UTF-8 text: {error}"))?;
        let schema: Value = serde_json::from_str(&text)
            .map_err(|error| format!("is {path}, which is not JSON: {error}"))?;
        Self::compile(&schema).map_err(|problem| format!("is {path}, which {problem}"))
    }

    fn compile(schema: &Value) -> Result<Self, String> {
        jsonschema::options()
            .with_draft(Draft::Draft202012)
            .should_validate_formats(true)
            // Linear in the length of the text: what a user sends cannot keep a pattern busy.
            .with_pattern_options(PatternOptions::regex())
            .build(schema)
            .map(|validator| Self(Arc::new(validator)))
            .map_err(|error| {
                let place = error.instance_path().as_str();
                format!("is no schema of draft 2020-12: {place} {error}")
            })
    }

    /// Says in which ways `metadata` does not fit; none: it fits.
    pub fn faults(&self, metadata: &Value) -> Vec<MetadataFault> {
        let errors = self.0.iter_errors(metadata);
        errors
            .take(MOST_FAULTS)
            .map(|error| fault(&error))
            .collect()
    }
}

/// A member that is missing or too many is named by its own path, not by that of its object.
fn fault(error: &ValidationError<'_>) -> MetadataFault {
    let pointer = error.instance_path().as_str();
    let mut path: Vec<String> = pointer
        .split('/')
        .skip(1)
        .map(|part| part.replace("~1", "/").replace("~0", "~"))
        .collect();
    match error.kind() {
        ValidationErrorKind::Required { property } => {
            path.extend(property.as_str().map(ToOwned::to_owned));
        }
        ValidationErrorKind::AdditionalProperties { unexpected }
        | ValidationErrorKind::UnevaluatedProperties { unexpected } => {
            path.extend(unexpected.first().cloned());
        }
        _ => {}
    }
    MetadataFault {
        path: path.join("."),
        message: error.to_string(),
    }
}

impl fmt::Debug for MetadataSchema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MetadataSchema")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_fault_is_named_by_its_path() {
        let schema = json!({
            "type": "object",
            "properties": {
                "team": {"type": "string", "maxLength": 5},
                "a/b": {"type": "array", "items": {"type": "integer"}},
                "mail": {"format": "email"},
            },
            "required": ["team"],
            "additionalProperties": false,
        });
        let schema = MetadataSchema::compile(&schema).unwrap();
        assert_eq!(schema.faults(&json!({"team": "red", "a/b": [1]})), []);
        for (metadata, path) in [
            (json!({}), "team"),
            (json!({"team": 1}), "team"),
            (json!({"team": "much too long"}), "team"),
            (json!({"team": "red", "more": 1}), "more"),
            (json!({"team": "red", "a/b": [1, "2"]}), "a/b.1"),
            (json!({"team": "red", "mail": "x"}), "mail"),
        ] {
            let faults = schema.faults(&metadata);
            assert_eq!(faults.len(), 1, "{metadata}");
            assert_eq!(faults[0].path, path, "{metadata}");
        }
    }

    #[test]
    fn what_is_no_schema_is_refused() {
        for bad in [
            json!({"type": "text"}),
            json!([]),
            json!({"properties": {"a": {"pattern": "("}}}),
            json!({"$ref": "https://example.com/other.json"}),
        ] {
            assert!(MetadataSchema::compile(&bad).is_err(), "{bad}");
        }
    }
}
