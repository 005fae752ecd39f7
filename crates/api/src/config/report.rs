//! What is told about the settings: faults, warnings, and where each value came from.

use std::fmt;
use std::path::PathBuf;

/// A setting with which the program does not start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The variable to change.
    pub variable: String,
    /// What is wrong with it; never a secret.
    pub problem: String,
    /// How it could read.
    pub example: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.variable, self.problem)?;
        if self.example.is_empty() {
            return Ok(());
        }
        write!(f, "; for example {}={}", self.variable, self.example)
    }
}

/// A setting that is probably not meant, or not wise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// The variable it is about.
    pub variable: String,
    /// What is to be known; never a secret.
    pub message: String,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.variable, self.message)
    }
}

/// Every fault that was found, with the warnings that may explain one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Report {
    /// At least one.
    pub faults: Vec<Fault>,
    /// For example a misspelt name beside the one that is missing.
    pub warnings: Vec<Warning>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.faults.len();
        let things = if count == 1 {
            "setting has"
        } else {
            "settings have"
        };
        writeln!(f, "{count} {things} to be changed:")?;
        for fault in &self.faults {
            writeln!(f, "  {fault}")?;
        }
        for warning in &self.warnings {
            writeln!(f, "warning: {warning}")?;
        }
        Ok(())
    }
}

/// A value in effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Value {
    /// The variable.
    pub name: &'static str,
    /// The value as it may be shown: a secret is `[secret]`, a URL has `***` for its password.
    pub shown: String,
    /// Where it came from.
    pub source: Source,
}

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// Nobody set it.
    Default,
    /// The environment variable of this name.
    Variable(String),
    /// A line of the file `.env`.
    DotEnv(String),
    /// The file that a `_FILE` variable names.
    File(PathBuf),
    /// A parameter of the database URL.
    Url,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::Variable(name) => write!(f, "variable {name}"),
            Self::DotEnv(name) => write!(f, ".env {name}"),
            Self::File(path) => write!(f, "file {}", path.display()),
            Self::Url => f.write_str("database URL"),
        }
    }
}
