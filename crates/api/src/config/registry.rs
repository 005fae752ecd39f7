//! Every variable there is. Reading, the template, the documentation and their tests start here.

mod table;

pub use table::GROUPS;

/// One environment variable.
#[derive(Clone, Copy, Debug)]
pub struct Variable {
    /// Its name.
    pub name: &'static str,
    /// What holds when it is not set.
    pub default: Preset,
    /// Whether its value is hidden, and may come from the file that `<name>_FILE` names.
    pub secret: bool,
    /// What it does, in one sentence.
    pub meaning: &'static str,
    /// A value that it takes.
    pub example: &'static str,
}

/// What holds when a variable is not set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preset {
    /// This text, as if it had been set.
    Text(&'static str),
    /// Something that depends on others; the text tells what.
    Derived(&'static str),
    /// Nothing.
    Nothing,
}

/// Variables that belong together.
#[derive(Clone, Copy, Debug)]
pub struct Group {
    /// A heading.
    pub title: &'static str,
    /// The variables, in the order in which they are documented.
    pub variables: &'static [Variable],
}

/// Read by `gatepost-migrate` only; documented with the others.
pub const MIGRATION_ONLY: &str = "DATABASE_API_ROLE";

/// All variables, in the order of the table.
pub fn variables() -> impl Iterator<Item = &'static Variable> {
    GROUPS.iter().flat_map(|group| group.variables)
}

/// The variable with this name.
pub fn find(name: &str) -> Option<&'static Variable> {
    variables().find(|variable| variable.name == name)
}

/// The name of the variable that names a file instead.
pub fn file_twin(name: &str) -> String {
    format!("{name}_FILE")
}
