//! What `metadata` has to be: `USER_METADATA_SCHEMA` holds for every way of writing it.

use serde_json::Value;

use crate::{
    config::MetadataFault,
    problem::{FieldError, Problem},
    state::AppState,
};

/// In which ways `metadata` does not fit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("metadata does not fit USER_METADATA_SCHEMA")]
pub struct Unfit(pub Vec<MetadataFault>);

/// Says whether `metadata`, an object, may be stored for a user.
///
/// # Errors
///
/// [`Unfit`] with at least one fault.
pub fn check(state: &AppState, metadata: &Value) -> Result<(), Unfit> {
    let Some(schema) = &state.config.accounts.metadata_schema else {
        return Ok(());
    };
    let faults = schema.faults(metadata);
    if faults.is_empty() {
        Ok(())
    } else {
        Err(Unfit(faults))
    }
}

impl From<Unfit> for Problem {
    fn from(unfit: Unfit) -> Self {
        let errors = unfit.0.into_iter().map(|fault| FieldError {
            field: match fault.path.as_str() {
                "" => "metadata".to_owned(),
                path => format!("metadata.{path}"),
            },
            code: "schema_mismatch",
            message: fault.message,
        });
        Self::invalid_fields(errors.collect())
    }
}
