//! What a row says of a person.

use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{
    ids::{self, SourceId},
    report::{Fault, Kind},
};
use crate::{
    config::MetadataSchema,
    crypto::password::{Format, FormatFault},
    http::{
        body::field_with_nul,
        text::{DisplayName, Email, Locale, PictureUrl, Username, normalized},
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

/// A number or a text that names something in the source.
#[derive(Deserialize)]
#[serde(untagged)]
pub enum Key {
    /// Such as 17.
    Number(i64),
    /// Such as a UUID.
    Text(String),
}

impl Key {
    /// The id here.
    pub fn id(&self, source: &str, kind: Kind) -> SourceId {
        match self {
            Self::Number(number) => ids::of(source, kind, &number.to_string()),
            Self::Text(text) => ids::of(source, kind, text),
        }
    }
}

/// A row as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    id: Option<Key>,
    email: Email,
    username: Option<Username>,
    display_name: Option<DisplayName>,
    profile_picture_url: Option<PictureUrl>,
    locale: Option<Locale>,
    password_hash: Option<String>,
    keycloak: Option<Value>,
    #[serde(default)]
    password_must_change: bool,
    #[serde(default)]
    email_verified: bool,
    status: Option<ImportedStatus>,
    active: Option<bool>,
    approved: Option<bool>,
    #[serde(default)]
    administrator: bool,
    metadata: Option<Metadata>,
    attributes: Option<Metadata>,
    created_at: Option<DateTime<Utc>>,
    last_login_at: Option<DateTime<Utc>>,
}

/// A user as a row describes them.
#[derive(Clone, Debug)]
pub struct Person {
    /// The id, if the source has one.
    pub id: Option<SourceId>,
    /// As written.
    pub email: String,
    /// What uniqueness is judged by.
    pub email_normalized: String,
    /// As written.
    pub username: Option<String>,
    /// What they are called on the screen.
    pub display_name: Option<String>,
    /// A picture of them.
    pub profile_picture_url: Option<String>,
    /// The language of their mails.
    pub locale: Option<String>,
    /// The hash, of a form that is known and within its bounds.
    pub password: Option<Format>,
    /// The form of the hash that the row has; `None` if it has none.
    pub hash: Option<String>,
    /// Whether they must choose another one at the first login.
    pub password_must_change: bool,
    /// Whether the address is proven to be theirs.
    pub email_verified: bool,
    /// Whether they may log in.
    pub status: ImportedStatus,
    /// Whether the source calls them an administrator of everything.
    pub administrator: bool,
    /// What they edit.
    pub metadata: Value,
    /// What administrators edit.
    pub attributes: Value,
    /// Since when they are users, if that is known.
    pub created_at: Option<DateTime<Utc>>,
    /// When they last logged in, if that is known.
    pub last_login_at: Option<DateTime<Utc>>,
    /// What was left out because it does not fit.
    pub dropped: Vec<Fault>,
}

/// How rows are judged.
#[derive(Clone, Debug)]
pub struct Rules {
    /// The name of the source, which ids follow from.
    pub source: String,
    /// No time lies after this one.
    pub now: DateTime<Utc>,
    /// What `metadata` has to be.
    pub schema: Option<MetadataSchema>,
    /// Fields that are left out if they do not fit.
    pub droppable: Vec<&'static str>,
    /// Whether a hash that cannot be verified is left out, too.
    pub drop_hashes: bool,
}

/// A row that is not acceptable, and the form of its hash if that is why.
pub struct Refused {
    /// Why.
    pub fault: Fault,
    /// The form of the hash, as far as it is known.
    pub hash: Option<String>,
}

impl From<Fault> for Refused {
    fn from(fault: Fault) -> Self {
        Self { fault, hash: None }
    }
}

impl Person {
    /// Reads what a row says.
    ///
    /// # Errors
    ///
    /// The first field that is not acceptable.
    pub fn parse(row: Map<String, Value>, rules: &Rules) -> Result<Self, Refused> {
        let (line, mut dropped) = read(row, rules)?;
        let hash = match (line.password_hash, line.keycloak) {
            (None, None) => None,
            (Some(text), None) => Some(Format::identify(&text)),
            (None, Some(credential)) => Some(Format::of_keycloak(&credential)),
            (Some(_), Some(_)) => {
                let text = "password_hash and keycloak exclude each other: leave one out";
                return Err(("two_passwords", text.to_owned()).into());
            }
        };
        let name = hash.as_ref().map(form);
        let password = match hash {
            Some(Err(fault)) if rules.drop_hashes => {
                dropped.push((fault.code(), format!("left out: password: {fault}")));
                None
            }
            Some(Err(fault)) => {
                return Err(Refused {
                    fault: (fault.code(), format!("password: {fault}")),
                    hash: name,
                });
            }
            Some(Ok(format)) => Some(format),
            None => None,
        };
        let created_at = past("created_at", line.created_at, rules.now)?;
        let last_login_at = past("last_login_at", line.last_login_at, rules.now)?;
        let metadata = line.metadata.map_or_else(|| json!({}), |object| object.0);
        fits(rules.schema.as_ref(), &metadata)?;
        Ok(Self {
            id: line.id.map(|key| key.id(&rules.source, Kind::Users)),
            email_normalized: normalized(&line.email),
            email: line.email.into(),
            username: line.username.map(Into::into),
            display_name: line.display_name.map(Into::into),
            profile_picture_url: line.profile_picture_url.map(Into::into),
            locale: line.locale.map(Into::into),
            password,
            hash: name,
            password_must_change: line.password_must_change,
            email_verified: line.email_verified,
            status: status(line.status, line.active, line.approved)?,
            administrator: line.administrator,
            metadata,
            attributes: line.attributes.map_or_else(|| json!({}), |object| object.0),
            created_at,
            last_login_at,
            dropped,
        })
    }

    /// What uniqueness of the username is judged by.
    #[must_use]
    pub fn username_normalized(&self) -> Option<String> {
        self.username.as_deref().map(normalized)
    }
}

/// The fields of a row, and those that were left out because they do not fit.
fn read(mut row: Map<String, Value>, rules: &Rules) -> Result<(Line, Vec<Fault>), Fault> {
    let mut dropped = Vec::new();
    loop {
        let attempt = if rules.droppable.is_empty() {
            std::mem::take(&mut row)
        } else {
            row.clone()
        };
        match line(Value::Object(attempt)) {
            Ok(line) => return Ok((line, dropped)),
            Err((path, message)) => {
                let field = rules.droppable.iter().find(|field| ***field == *path);
                let text = format!("{path}: {message}");
                match field.and_then(|field| row.remove(*field)) {
                    Some(_) => dropped.push(("left_out", format!("left out: {text}"))),
                    None => return Err(("invalid_field", text)),
                }
            }
        }
    }
}

fn line(value: Value) -> Result<Line, (String, String)> {
    if let Some(field) = field_with_nul(&value) {
        return Err((field, "holds a NUL character: take it out".to_owned()));
    }
    serde_path_to_error::deserialize(value).map_err(|error| {
        let path = error.path().to_string();
        (path, error.into_inner().to_string())
    })
}

/// What a hash, or what is in its place, is called in the report.
fn form(hash: &Result<Format, FormatFault>) -> String {
    match hash {
        Ok(format) => format.name().to_owned(),
        Err(FormatFault::Unsupported { name, .. }) if name.contains("no known hash") => {
            "unknown".to_owned()
        }
        Err(
            FormatFault::Unsupported { name, .. }
            | FormatFault::Malformed { name, .. }
            | FormatFault::TooCostly { name, .. },
        ) => format!("{name} (not verifiable)"),
    }
}

fn past(
    field: &str,
    at: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
) -> Result<Option<DateTime<Utc>>, Fault> {
    if at.is_some_and(|at| at > now) {
        let text = format!("{field} is in the future: give it in UTC, or leave it out");
        return Err(("invalid_field", text));
    }
    Ok(at)
}

fn fits(schema: Option<&MetadataSchema>, metadata: &Value) -> Result<(), Fault> {
    match schema.and_then(|schema| schema.faults(metadata).into_iter().next()) {
        None => Ok(()),
        Some(fault) => {
            let text = format!(
                "metadata.{}: {} (USER_METADATA_SCHEMA)",
                fault.path, fault.message
            );
            Err(("metadata_unfit", text))
        }
    }
}

fn status(
    status: Option<ImportedStatus>,
    active: Option<bool>,
    approved: Option<bool>,
) -> Result<ImportedStatus, Fault> {
    match (status, active, approved) {
        (Some(status), None, None) => Ok(status),
        (Some(_), ..) => {
            let text = "status excludes active and approved: leave them out";
            Err(("invalid_field", text.to_owned()))
        }
        (None, Some(false), _) => Ok(ImportedStatus::Disabled),
        (None, _, Some(false)) => Ok(ImportedStatus::PendingApproval),
        (None, ..) => Ok(ImportedStatus::Active),
    }
}
