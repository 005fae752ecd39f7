//! The policy's files: those in the program, or those in `POLICY_DIR`.
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    io,
    path::{Path, PathBuf},
};

use aws_lc_rs::digest;
use serde_json::{Map, Value};

use super::{
    catalog::{BuiltinRole, Catalog, CatalogFault},
    files::{self, Files, data_place, is_test},
    lint::{Fault, Faults},
};

/// A policy and its data, read but not yet compiled.
#[derive(Clone, Debug)]
pub struct Bundle {
    files: Files,
    modules: BTreeMap<String, String>,
    tests: BTreeMap<String, String>,
    data: Value,
    catalog: Catalog,
    digest: String,
    fingerprint: String,
}

/// Why a policy's files cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BundleFault {
    /// A file or folder cannot be read.
    #[error("{} cannot be read: {source}", path.display())]
    Unreadable {
        /// Which one.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// There are no Rego files where they should be.
    #[error("there is no policy: it needs `policies/**/*.rego`, as in the folder `opa`")]
    Empty,
    /// A data file is not a JSON object, or two of them say different things.
    #[error("{path}: {reason}")]
    Data {
        /// The file, below the policy's folder.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The roles and permissions are missing or of the wrong shape.
    #[error("data/gatepost/catalog/data.json: {0}")]
    Shape(serde_json::Error),
    /// The roles and permissions contradict themselves.
    #[error("data/gatepost/catalog/data.json: {0}")]
    Catalog(#[from] CatalogFault),
    /// A path that no file of a policy has.
    #[error("{0}: a policy has `policies/**/*.rego` and `data/**/data.json` only")]
    Stray(String),
    /// The policy does not compile.
    #[error("{0}")]
    Faults(Faults),
    /// The policy does not give known answers, or fails its own tests.
    #[error("the policy is refused: {0}")]
    Refused(String),
}

impl Bundle {
    /// The policy in the folder `dir`, which looks like `opa/`, or else the one in the program.
    ///
    /// A folder without `policies/gatepost` or `data/gatepost/catalog` gets these from the
    /// program, so that an operator's own rules are all that it needs to hold. All other files
    /// than `*.rego` below `policies` and `data.json` below `data` are ignored.
    ///
    /// # Errors
    ///
    /// Every fault but [`BundleFault::Refused`] and [`BundleFault::Faults`], which only an engine
    /// finds.
    pub fn load(dir: Option<&Path>) -> Result<Self, BundleFault> {
        Self::read(files::load(dir)?)
    }

    /// The same policy with these files besides, or in the place of those of the same path.
    ///
    /// # Errors
    ///
    /// As [`Self::load`]; [`BundleFault::Stray`] for a path that no policy has.
    pub fn with(
        &self,
        more: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, BundleFault> {
        let mut all = self.files.clone();
        for (path, text) in more {
            if !files::is_wanted(&path)
                || path.split('/').any(|part| part.is_empty() || part == "..")
            {
                return Err(BundleFault::Stray(path));
            }
            all.insert(path, text);
        }
        Self::read(all)
    }

    fn read(files: Files) -> Result<Self, BundleFault> {
        let fingerprint = digest(files.iter());
        let digest = digest(files.iter().filter(|(path, _)| !is_test(path)));
        let (mut modules, mut tests) = (BTreeMap::new(), BTreeMap::new());
        let mut data = Value::Object(Map::new());
        for (path, content) in &files {
            if let Some(place) = data_place(path) {
                let fault = |reason: String| BundleFault::Data {
                    path: path.clone(),
                    reason,
                };
                let value =
                    serde_json::from_str(content).map_err(|error| fault(error.to_string()))?;
                merge(&mut data, nest(place, value)).map_err(|reason| fault(reason.to_owned()))?;
            } else if is_test(path) {
                tests.insert(path.clone(), content.clone());
            } else {
                modules.insert(path.clone(), content.clone());
            }
        }
        if modules.is_empty() {
            return Err(BundleFault::Empty);
        }
        let listed = data.pointer("/gatepost/catalog").unwrap_or(&Value::Null);
        let catalog: Catalog =
            serde_json::from_value(listed.clone()).map_err(BundleFault::Shape)?;
        catalog.check()?;
        Ok(Self {
            files,
            modules,
            tests,
            data,
            catalog,
            digest,
            fingerprint,
        })
    }

    /// The roles that come with the policy.
    pub fn builtin_roles(&self) -> &[BuiltinRole] {
        &self.catalog.roles
    }

    /// The roles and permissions that the policy knows.
    pub fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    /// SHA-256 over the names and contents of the files, in hexadecimal.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// Whether our own files are as they were delivered, and no other one can allow anything:
    /// none speaks of `allow`, nor of our own packages.
    pub(super) fn grants_alone(&self) -> bool {
        let Ok(ours) = files::delivered() else {
            return false;
        };
        let code = |text: &str, word: &str| {
            let mut lines = text.lines().map(str::trim_start);
            lines.any(|line| !line.starts_with('#') && line.contains(word))
        };
        self.modules
            .iter()
            .all(|(path, text)| match ours.get(path) {
                Some(delivered) => delivered == text,
                None => !code(text, "allow") && !code(text, "authz"),
            })
    }

    /// Whether the rules that decide are the delivered ones, and there are no others.
    pub(super) fn has_delivered_rules(&self) -> bool {
        let Ok(ours) = files::delivered() else {
            return false;
        };
        self.modules
            .iter()
            .all(|(path, text)| ours.get(path) == Some(text))
    }

    /// SHA-256 over the tests, too: changes whenever any file does.
    pub(super) fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// Path and text of each Rego file that decides.
    pub fn modules(&self) -> &BTreeMap<String, String> {
        &self.modules
    }

    /// Path and text of each Rego file with tests.
    pub fn tests(&self) -> &BTreeMap<String, String> {
        &self.tests
    }

    /// The data document.
    pub fn data(&self) -> &Value {
        &self.data
    }

    /// The paths of all files, tests among them.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        self.files.keys().map(String::as_str)
    }

    /// The paths of an operator's own rules, without their tests.
    pub fn custom(&self) -> impl Iterator<Item = &str> {
        let own = |path: &&String| !path.starts_with("policies/gatepost/");
        self.modules.keys().filter(own).map(String::as_str)
    }

    /// The first words of the paths below `data` that this policy defines: what an OPA server
    /// that loads it may not get from anywhere else.
    pub fn roots(&self) -> BTreeSet<String> {
        let packages = self.modules.values().filter_map(|text| package(text));
        let first = |package: &str| package.split('.').next().unwrap_or_default().to_owned();
        let mut roots: BTreeSet<String> = packages.map(first).collect();
        roots.extend(
            self.data
                .as_object()
                .into_iter()
                .flat_map(Map::keys)
                .cloned(),
        );
        roots
    }
}

/// The package of a Rego file that compiles.
pub(super) fn package(text: &str) -> Option<&str> {
    text.lines().find_map(|line| {
        let name = line.trim().strip_prefix("package ")?;
        name.split(|c: char| c.is_whitespace() || c == '#')
            .find(|word| !word.is_empty())
    })
}

/// One fault as all that there are.
impl From<Fault> for BundleFault {
    fn from(fault: Fault) -> Self {
        Self::Faults(Faults(vec![fault]))
    }
}

fn digest<'a>(files: impl Iterator<Item = (&'a String, &'a String)>) -> String {
    let mut hash = digest::Context::new(&digest::SHA256);
    for text in files.flat_map(|(path, content)| [path, content]) {
        // The length keeps what is in one file from counting as the next one's name.
        hash.update(&(text.len() as u64).to_be_bytes());
        hash.update(text.as_bytes());
    }
    hash.finish()
        .as_ref()
        .iter()
        .fold(String::new(), |mut hex, byte| {
            let _ = write!(hex, "{byte:02x}");
            hex
        })
}

fn nest(place: &str, value: Value) -> Value {
    let folders = place.split('/').filter(|folder| !folder.is_empty());
    folders.rev().fold(value, |inner, folder| {
        Value::Object(Map::from_iter([(folder.to_owned(), inner)]))
    })
}

fn merge(into: &mut Value, from: Value) -> Result<(), &'static str> {
    let Value::Object(from) = from else {
        return Err("it must be a JSON object");
    };
    let Value::Object(into) = into else {
        return Err("another data file has a value where this one has an object");
    };
    for (key, value) in from {
        match into.get_mut(&key) {
            None => {
                into.insert(key, value);
            }
            Some(there) if *there == value => {}
            Some(there) if value.is_object() => merge(there, value)?,
            Some(_) => return Err("another data file says something else"),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn files(changes: &[(&str, &str)]) -> BTreeMap<String, String> {
        let mut files = files::load(None).unwrap();
        for (path, content) in changes {
            files.insert((*path).to_owned(), (*content).to_owned());
        }
        files
    }

    fn opa() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../opa")
    }

    #[test]
    fn the_program_carries_the_policy_without_its_tests() {
        let bundle = Bundle::load(None).unwrap();
        let paths: Vec<_> = bundle.modules().keys().collect();
        assert_eq!(paths, ["policies/gatepost/authz/authz.rego"]);
        assert!(
            bundle
                .data()
                .pointer("/gatepost/catalog/roles/0/id")
                .is_some()
        );
        assert_eq!(bundle.builtin_roles().len(), 11);
    }

    #[test]
    fn a_folder_with_the_same_files_is_the_same_policy() {
        let (ours, theirs) = (
            Bundle::load(None).unwrap(),
            Bundle::load(Some(&opa())).unwrap(),
        );
        assert_eq!(ours.digest(), theirs.digest());
        assert_eq!(ours.digest().len(), 64);
    }

    #[test]
    fn any_change_of_a_file_changes_the_digest() {
        let before = Bundle::read(files(&[])).unwrap();
        let more = Bundle::read(files(&[("policies/custom/a.rego", "package a")])).unwrap();
        assert_ne!(before.digest(), more.digest());
        let tested = files(&[("policies/custom/a_test.rego", "package a_test")]);
        let tested = Bundle::read(tested).unwrap();
        assert_eq!(before.digest(), tested.digest(), "tests decide nothing");
        assert_ne!(before.fingerprint(), tested.fingerprint());
        let swapped =
            |one: &str, two: &str| digest([(&one.to_owned(), &two.to_owned())].into_iter());
        assert_ne!(swapped("ab", "c"), swapped("a", "bc"));
    }

    #[test]
    fn data_of_several_files_is_merged_by_their_folders() {
        let more = files(&[
            ("data/data.json", r#"{"top": 1}"#),
            ("data/custom/limits/data.json", r#"{"max": 3}"#),
            (
                "data/custom/data.json",
                r#"{"on": true, "limits": {"max": 3}}"#,
            ),
        ]);
        let bundle = Bundle::read(more).unwrap();
        assert_eq!(bundle.data()["top"], 1);
        assert_eq!(
            bundle.data()["custom"],
            json!({"on": true, "limits": {"max": 3}})
        );
    }

    #[test]
    fn contradicting_or_broken_data_is_refused_by_name() {
        for (path, content) in [
            ("data/gatepost/data.json", r#"{"catalog": {"roles": []}}"#),
            ("data/gatepost/catalog/roles/data.json", "{}"),
            ("data/data.json", "[]"),
            ("data/custom/data.json", "{"),
        ] {
            let fault = Bundle::read(files(&[(path, content)])).unwrap_err();
            let BundleFault::Data { path: named, .. } = fault else {
                panic!("{fault}");
            };
            assert!(named.starts_with("data/"), "{named}");
        }
    }

    #[test]
    fn a_module_that_can_allow_something_is_noticed() {
        let alone = |path: &str, text: &str| {
            let bundle = Bundle::read(files(&[(path, text)])).unwrap();
            bundle.grants_alone()
        };
        assert!(Bundle::load(None).unwrap().grants_alone());
        let custom = "policies/custom/rules.rego";
        assert!(alone(
            custom,
            "package gatepost.custom\n# allow\ndeny contains 1 if false"
        ));
        for text in [
            "package gatepost.custom\nallow contains 1 if true",
            "package gatepost\ncustom.allow contains 1 if true",
            "package gatepost.authz\n_matched_grants contains 1",
        ] {
            assert!(!alone(custom, text), "{text}");
        }
        assert!(!alone(
            "policies/gatepost/authz/authz.rego",
            "package gatepost.authz"
        ));
    }

    #[test]
    fn a_catalog_is_needed() {
        let empty = files(&[("data/gatepost/catalog/data.json", "{}")]);
        assert!(matches!(Bundle::read(empty), Err(BundleFault::Shape(_))));
    }

    #[test]
    fn a_folder_without_a_policy_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let load = || Bundle::load(Some(folder.path()));
        assert!(matches!(load(), Err(BundleFault::Unreadable { .. })));
        std::fs::create_dir(folder.path().join("policies")).unwrap();
        assert!(matches!(load(), Err(BundleFault::Empty)));
    }

    #[test]
    fn a_folder_of_custom_rules_gets_the_rest_from_the_program() {
        let folder = tempfile::tempdir().unwrap();
        let custom = folder.path().join("policies/custom");
        std::fs::create_dir_all(&custom).unwrap();
        std::fs::write(custom.join("a.rego"), "package gatepost.custom\n").unwrap();
        let bundle = Bundle::load(Some(folder.path())).unwrap();
        let custom: Vec<_> = bundle.custom().collect();
        assert_eq!(custom, ["policies/custom/a.rego"]);
        assert_eq!(bundle.modules().len(), 2);
        assert_eq!(bundle.catalog(), Bundle::load(None).unwrap().catalog());
        assert_eq!(bundle.roots().into_iter().collect::<Vec<_>>(), ["gatepost"]);
        let added = ("policies/custom/b.rego".to_owned(), "package b".to_owned());
        let more = bundle.with([added]).unwrap();
        assert_eq!(more.custom().count(), 2);
        for path in [
            "policies/../x.rego",
            "x.rego",
            "policies/a.txt",
            "data//data.json",
        ] {
            let stray = bundle.with([(path.to_owned(), String::new())]);
            assert!(matches!(stray, Err(BundleFault::Stray(_))), "{path}");
        }
    }
}
