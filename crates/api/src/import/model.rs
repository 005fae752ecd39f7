//! What a line says.

use std::fmt;

use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    config::MetadataSchema,
    crypto::password::{Format, FormatFault},
    http::{
        body::field_with_nul,
        text::{DisplayName, Email, Locale, Username, normalized},
    },
    users::model::Metadata,
};

/// The states that a user can be brought in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ImportedStatus {
    /// May log in.
    #[default]
    Active,
    /// Waits for an administrator.
    PendingApproval,
    /// Is closed.
    Disabled,
}

impl ImportedStatus {
    /// Its name in the database.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::PendingApproval => "pending_approval",
            Self::Disabled => "disabled",
        }
    }
}

/// A line as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    email: Email,
    username: Option<Username>,
    display_name: Option<DisplayName>,
    locale: Option<Locale>,
    password_hash: Option<String>,
    keycloak: Option<Value>,
    #[serde(default)]
    password_must_change: bool,
    #[serde(default)]
    email_verified: bool,
    #[serde(default)]
    status: ImportedStatus,
    metadata: Option<Metadata>,
    attributes: Option<Metadata>,
    created_at: Option<DateTime<Utc>>,
}

/// A user as a line describes them.
#[derive(Clone, Debug)]
pub struct Imported {
    /// As written.
    pub email: String,
    /// What uniqueness is judged by.
    pub email_normalized: String,
    /// As written.
    pub username: Option<String>,
    /// What they are called on the screen.
    pub display_name: Option<String>,
    /// The language of their mails.
    pub locale: Option<String>,
    /// The hash, of a form that is known and within its bounds.
    pub password: Option<Format>,
    /// Whether they must choose another one at the first login.
    pub password_must_change: bool,
    /// Whether the address is proven to be theirs.
    pub email_verified: bool,
    /// Whether they may log in.
    pub status: ImportedStatus,
    /// What they edit.
    pub metadata: Value,
    /// What administrators edit.
    pub attributes: Value,
    /// Since when they are users, if that is known.
    pub created_at: Option<DateTime<Utc>>,
}

/// Why a line is not acceptable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Counted from 1, as editors do.
    pub line: u64,
    /// A name to search a long report for.
    pub code: &'static str,
    /// What is wrong and what to do.
    pub message: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}: {}", self.line, self.code, self.message)
    }
}

/// What is wrong with a line, without its number.
pub type Fault = (&'static str, String);

impl Imported {
    /// Reads what a line says.
    ///
    /// # Errors
    ///
    /// The first field that is not acceptable.
    pub fn parse(
        value: Value,
        now: DateTime<Utc>,
        schema: Option<&MetadataSchema>,
    ) -> Result<Self, Fault> {
        if let Some(field) = field_with_nul(&value) {
            let text = format!("{field}: holds a NUL character: take it out");
            return Err(("invalid_field", text));
        }
        let line: Line = serde_path_to_error::deserialize(value).map_err(|error| {
            let path = error.path().to_string();
            let inner = error.into_inner();
            ("invalid_field", format!("{path}: {inner}"))
        })?;
        let password = match (line.password_hash, line.keycloak) {
            (None, None) => None,
            (Some(text), None) => Some(Format::identify(&text).map_err(|fault| refused(&fault))?),
            (None, Some(credential)) => {
                Some(Format::of_keycloak(&credential).map_err(|fault| refused(&fault))?)
            }
            (Some(_), Some(_)) => {
                let text = "password_hash and keycloak exclude each other: leave one out";
                return Err(("two_passwords", text.to_owned()));
            }
        };
        if line.created_at.is_some_and(|at| at > now) {
            let text = "created_at is in the future: give it in UTC, or leave it out";
            return Err(("invalid_field", text.to_owned()));
        }
        let metadata = line.metadata.map_or_else(|| json!({}), |object| object.0);
        if let Some(fault) = schema.and_then(|schema| schema.faults(&metadata).into_iter().next()) {
            let text = format!(
                "metadata.{}: {} (USER_METADATA_SCHEMA)",
                fault.path, fault.message
            );
            return Err(("metadata_unfit", text));
        }
        Ok(Self {
            email_normalized: normalized(&line.email),
            email: line.email.into(),
            username: line.username.map(Into::into),
            display_name: line.display_name.map(Into::into),
            locale: line.locale.map(Into::into),
            password,
            password_must_change: line.password_must_change,
            email_verified: line.email_verified,
            status: line.status,
            metadata,
            attributes: line.attributes.map_or_else(|| json!({}), |object| object.0),
            created_at: line.created_at,
        })
    }

    /// What uniqueness of the username is judged by.
    #[must_use]
    pub fn username_normalized(&self) -> Option<String> {
        self.username.as_deref().map(normalized)
    }
}

fn refused(fault: &FormatFault) -> Fault {
    (fault.code(), format!("password: {fault}"))
}

/// What an import did, or would do.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Lines with a user.
    pub read: u64,
    /// Users that are new.
    pub new: u64,
    /// Users that were there already, and stay as they are.
    pub skipped: u64,
    /// Of the new ones: how many have which kind of hash.
    pub passwords: std::collections::BTreeMap<&'static str, u64>,
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            read, new, skipped, ..
        } = self;
        write!(f, "{read} read, {new} new, {skipped} already there")?;
        let with: u64 = self.passwords.values().sum();
        write!(f, "; new ones without a password: {}", new - with)?;
        for (name, count) in &self.passwords {
            write!(f, ", with {name}: {count}")?;
        }
        Ok(())
    }
}
