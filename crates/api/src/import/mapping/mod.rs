//! Which column becomes which field: a small TOML or JSON file, or one of those that come along.

pub mod convert;
mod plan;
mod ready;

use std::{collections::BTreeMap, fs, path::Path};

use serde::Deserialize;
use serde_json::Value;

pub use plan::Plan;
pub use ready::Ready;

use self::convert::Type;
use super::report::Kind;

/// What becomes what.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mapping {
    /// What the source is called; ids that are made from numbers follow from it.
    pub name: String,
    /// Whether fields are just called by their names.
    #[serde(skip)]
    is_names: bool,
    #[serde(default)]
    users: Option<Section>,
    #[serde(default)]
    organizations: Option<Section>,
    #[serde(default)]
    accounts: Option<Section>,
    #[serde(default)]
    projects: Option<Section>,
    #[serde(default)]
    assignments: Option<Section>,
}

/// What becomes of one table.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Section {
    /// Its name; that of the section if left out.
    #[serde(default)]
    table: Option<String>,
    /// What the owner edits.
    #[serde(default)]
    metadata: Option<Members>,
    /// What administrators edit.
    #[serde(default)]
    attributes: Option<Members>,
    /// The other fields.
    #[serde(flatten)]
    fields: BTreeMap<String, Spec>,
}

/// Where the members of an object come from.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Members {
    /// A column that holds an object: all of its members.
    #[serde(default)]
    object: Names,
    /// Whether every column of numbers that nothing else takes becomes a member.
    #[serde(default)]
    numbers: bool,
    /// Members, and the columns they come from.
    #[serde(default)]
    columns: BTreeMap<String, Names>,
}

/// One column, or several of which the first that is there counts. A `?` behind a name: it may be
/// missing.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
enum Names {
    One(String),
    Several(Vec<String>),
}

impl Default for Names {
    fn default() -> Self {
        Self::Several(Vec::new())
    }
}

impl Names {
    /// The names without marks.
    fn names(&self) -> Vec<String> {
        let all = match self {
            Self::One(name) => std::slice::from_ref(name),
            Self::Several(names) => names,
        };
        let bare = all.iter().map(|name| name.trim_end_matches('?').to_owned());
        bare.collect()
    }

    /// Whether none of them has to be there.
    fn may_be_missing(&self) -> bool {
        match self {
            Self::One(name) => name.ends_with('?'),
            Self::Several(names) => names.iter().all(|name| name.ends_with('?')),
        }
    }
}

/// Where a field comes from.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
enum Spec {
    /// A column as it is.
    Column(Names),
    /// A column, and what is done to it.
    Rule(Rule),
}

/// What is done to a column.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rule {
    /// The column.
    #[serde(default)]
    column: Option<Names>,
    /// No column, but always this.
    #[serde(default)]
    constant: Option<Value>,
    /// What stands there, and what it is here.
    #[serde(default)]
    values: BTreeMap<String, Value>,
    /// What it is if `values` does not have it, or if nothing stands there.
    #[serde(default)]
    otherwise: Option<Value>,
    /// Whether anything stands there.
    #[serde(default)]
    present: bool,
    /// What happens to a value that does not fit.
    #[serde(default)]
    unfit: Unfit,
}

/// What happens to a value that does not fit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Unfit {
    /// The row is not acceptable.
    #[default]
    Refuse,
    /// The field is left out, and the report says so.
    Drop,
}

/// Why a mapping cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum MappingError {
    /// The file cannot be read.
    #[error("the mapping {path} cannot be read")]
    File {
        /// The file.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// It is no TOML or JSON, or says something unknown.
    #[error("the mapping {path}: {why}")]
    Syntax {
        /// The file.
        path: String,
        /// What is wrong where.
        why: String,
    },
    /// It does not fit the source.
    #[error("the mapping does not fit: {0}")]
    Unfit(String),
}

impl Mapping {
    /// Reads a file: JSON if its name says so, else TOML.
    ///
    /// # Errors
    ///
    /// [`MappingError`].
    pub fn read(path: &Path) -> Result<Self, MappingError> {
        let name = path.display().to_string();
        let text = fs::read_to_string(path).map_err(|source| MappingError::File {
            path: name.clone(),
            source,
        })?;
        let is_json = path
            .extension()
            .is_some_and(|end| end.eq_ignore_ascii_case("json"));
        Self::parse(&name, &text, is_json)
    }

    fn parse(path: &str, text: &str, is_json: bool) -> Result<Self, MappingError> {
        let syntax = |why| MappingError::Syntax {
            path: path.to_owned(),
            why,
        };
        let mapping: Self = if is_json {
            serde_json::from_str(text).map_err(|error| syntax(error.to_string()))?
        } else {
            toml::from_str(text).map_err(|error| syntax(error.to_string()))?
        };
        mapping.check().map_err(syntax)?;
        Ok(mapping)
    }

    /// Each column is a field of the same name: what a file without a mapping means.
    #[must_use]
    pub fn of_names() -> Self {
        let fields = fields(Kind::Users).iter().map(|(field, _)| {
            let name = Names::One(format!("{field}?"));
            ((*field).to_owned(), Spec::Column(name))
        });
        let object = |name: &str| {
            Some(Members {
                object: Names::One(name.to_owned()),
                ..Members::default()
            })
        };
        Self {
            name: "file".to_owned(),
            is_names: true,
            users: Some(Section {
                table: None,
                metadata: object("metadata?"),
                attributes: object("attributes?"),
                fields: fields.collect(),
            }),
            organizations: None,
            accounts: None,
            projects: None,
            assignments: None,
        }
    }

    /// The kinds that it has.
    pub fn kinds(&self) -> impl Iterator<Item = Kind> {
        Kind::ALL
            .into_iter()
            .filter(|kind| self.section(*kind).is_some())
    }

    /// Names the table of users.
    pub fn set_table(&mut self, table: String) {
        self.users.get_or_insert_default().table = Some(table);
    }

    const fn section(&self, kind: Kind) -> Option<&Section> {
        match kind {
            Kind::Users => self.users.as_ref(),
            Kind::Organizations => self.organizations.as_ref(),
            Kind::Accounts => self.accounts.as_ref(),
            Kind::Projects => self.projects.as_ref(),
            Kind::Assignments => self.assignments.as_ref(),
        }
    }

    /// Whether every field is one of ours.
    fn check(&self) -> Result<(), String> {
        if self.kinds().next().is_none() {
            return Err("names no table: it needs a section such as [users]".to_owned());
        }
        for kind in self.kinds() {
            let section = self.section(kind).into_iter();
            for (name, spec) in section.clone().flat_map(|section| &section.fields) {
                let section = kind.as_str();
                if !fields(kind).iter().any(|(field, _)| field == name) {
                    let all: Vec<_> = fields(kind).iter().map(|(field, _)| *field).collect();
                    return Err(format!(
                        "[{section}] has no field {name:?}; it has: {}",
                        all.join(", ")
                    ));
                }
                if let Spec::Rule(rule) = spec
                    && rule.column.is_some() == rule.constant.is_some()
                {
                    return Err(format!(
                        "[{section}] {name}: give either column or constant"
                    ));
                }
            }
            let has_objects =
                |section: &Section| section.metadata.is_some() || section.attributes.is_some();
            if kind != Kind::Users && section.clone().any(has_objects) {
                return Err(format!(
                    "[{}]: only users have metadata and attributes",
                    kind.as_str()
                ));
            }
        }
        Ok(())
    }
}

/// The fields that a kind of row has here, without the two objects of users.
fn fields(kind: Kind) -> &'static [(&'static str, Type)] {
    match kind {
        Kind::Users => &[
            ("id", Type::Key),
            ("email", Type::Text),
            ("username", Type::Text),
            ("display_name", Type::Text),
            ("profile_picture_url", Type::Text),
            ("locale", Type::Text),
            ("password_hash", Type::Exact),
            ("keycloak", Type::Json),
            ("password_must_change", Type::Bool),
            ("email_verified", Type::Bool),
            ("status", Type::Word),
            ("active", Type::Bool),
            ("approved", Type::Bool),
            ("administrator", Type::Bool),
            ("created_at", Type::Time),
            ("last_login_at", Type::Time),
        ],
        Kind::Organizations => &[
            ("id", Type::Key),
            ("name", Type::Text),
            ("slug", Type::Text),
            ("created_at", Type::Time),
        ],
        Kind::Accounts => &[
            ("id", Type::Key),
            ("organization_id", Type::Key),
            ("name", Type::Text),
            ("created_at", Type::Time),
        ],
        Kind::Projects => &[
            ("id", Type::Key),
            ("account_id", Type::Key),
            ("owner_id", Type::Key),
            ("name", Type::Text),
            ("created_at", Type::Time),
        ],
        Kind::Assignments => &[
            ("id", Type::Key),
            ("user_id", Type::Key),
            ("role", Type::Word),
            ("resource_type", Type::Word),
            ("resource_id", Type::Key),
            ("expires_at", Type::Time),
            ("reason", Type::Text),
            ("created_at", Type::Time),
        ],
    }
}

#[cfg(test)]
mod tests;
