//! What the policy looks like from outside.

use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    access::permit::{Action, Target},
    policy::opa_bundle::PackFault,
    problem::Problem,
};

/// Seeing the policy, its files and its history of decisions.
pub struct ReadPolicy;
impl Action for ReadPolicy {
    const NAME: &'static str = "policy:read";
    const TARGET: Target = Target::System;
}

/// The policy of this instance.
#[derive(Debug, Serialize, ToSchema)]
pub struct PolicyView {
    /// `embedded`, or `opa` if an OPA server decides.
    pub engine: &'static str,
    /// What decides: the digest of the policy, or the revision that the OPA server named with its
    /// last answer, if it named one.
    pub revision: Option<String>,
    /// SHA-256 of the files of this instance, tests left out, in hexadecimal.
    pub digest: String,
    /// Since when these files are in force here.
    pub loaded_at: DateTime<Utc>,
    /// When files were last found changed and tried.
    pub tried_at: DateTime<Utc>,
    /// Why what `POLICY_DIR` holds now is not in force; one fault in each line, with file and line.
    pub fault: Option<String>,
    /// The policy's files, below its folder.
    pub files: Vec<String>,
    /// Those of them that are an operator's own rules.
    pub custom: Vec<String>,
    /// What bundles are signed with.
    pub bundle_key: BundleKeyView,
}

/// The public half of the key that signs bundles, as an OPA server's configuration takes it.
#[derive(Debug, Serialize, ToSchema)]
pub struct BundleKeyView {
    /// Its id, which is also the key's name in OPA's `keys`.
    pub kid: String,
    /// `ES256`.
    pub algorithm: &'static str,
    /// PEM.
    pub key: String,
}

/// Why there was no bundle.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// It could not be made.
    #[error(transparent)]
    Pack(#[from] PackFault),
}

impl From<BundleError> for Problem {
    fn from(error: BundleError) -> Self {
        Self::internal(error)
    }
}
