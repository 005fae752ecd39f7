//! The policy's files: those in the program, or those in `POLICY_DIR`.
use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs, io,
    path::{Path, PathBuf},
};

use aws_lc_rs::digest;
use rust_embed::RustEmbed;
use serde_json::{Map, Value};

use super::catalog::{BuiltinRole, Catalog, CatalogFault};

/// More folders than this inside each other are a loop of links.
const MAX_DEPTH: usize = 16;

#[derive(RustEmbed)]
#[folder = "../../opa"]
struct Delivered;

/// A policy and its data, read but not yet compiled.
#[derive(Clone, Debug)]
pub struct Bundle {
    modules: BTreeMap<String, String>,
    data: Value,
    catalog: Catalog,
    digest: String,
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
    /// The policy does not compile, or does not give known answers.
    #[error("the policy is refused: {0}")]
    Refused(String),
}

impl Bundle {
    /// The policy in the folder `dir`, which looks like `opa/`, or else the one in the program.
    ///
    /// Tests (`*_test.rego`) are left out; all other files than `*.rego` below `policies`
    /// and `data.json` below `data` are ignored.
    ///
    /// # Errors
    ///
    /// Every fault but [`BundleFault::Refused`], which only an engine finds.
    pub fn load(dir: Option<&Path>) -> Result<Self, BundleFault> {
        let files = match dir {
            Some(dir) => from_folder(dir)?,
            None => delivered()?,
        };
        Self::read(files)
    }

    fn read(files: BTreeMap<String, String>) -> Result<Self, BundleFault> {
        let digest = digest(&files);
        let mut modules = BTreeMap::new();
        let mut data = Value::Object(Map::new());
        for (path, content) in files {
            if let Some(place) = data_place(&path) {
                let fault = |reason: String| BundleFault::Data {
                    path: path.clone(),
                    reason,
                };
                let value =
                    serde_json::from_str(&content).map_err(|error| fault(error.to_string()))?;
                merge(&mut data, nest(place, value)).map_err(|reason| fault(reason.to_owned()))?;
            } else {
                modules.insert(path, content);
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
            modules,
            data,
            catalog,
            digest,
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
        let Ok(ours) = delivered() else {
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

    /// Path and text of each Rego file.
    pub(super) fn modules(&self) -> &BTreeMap<String, String> {
        &self.modules
    }

    /// The data document.
    pub(super) fn data(&self) -> &Value {
        &self.data
    }
}

/// Whether a file decides anything.
fn is_wanted(path: &str) -> bool {
    let rule = path
        .strip_prefix("policies/")
        .and_then(|name| name.strip_suffix(".rego"));
    rule.is_some_and(|name| !name.ends_with("_test")) || data_place(path).is_some()
}

/// Where a data file's content stands in the data document: the folders it lies in.
fn data_place(path: &str) -> Option<&str> {
    path.strip_prefix("data/")?
        .strip_suffix("data.json")?
        .strip_suffix('/')
        .or_else(|| (path == "data/data.json").then_some(""))
}

fn delivered() -> Result<BTreeMap<String, String>, BundleFault> {
    let mut files = BTreeMap::new();
    for path in Delivered::iter().filter(|path| is_wanted(path)) {
        let Some(file) = Delivered::get(&path) else {
            continue;
        };
        files.insert(
            path.to_string(),
            utf8(Path::new(&*path), file.data.into_owned())?,
        );
    }
    Ok(files)
}

fn from_folder(root: &Path) -> Result<BTreeMap<String, String>, BundleFault> {
    let mut files = BTreeMap::new();
    for part in ["policies", "data"] {
        collect(root, &root.join(part), MAX_DEPTH, &mut files)?;
    }
    Ok(files)
}

fn collect(
    root: &Path,
    folder: &Path,
    depth: usize,
    files: &mut BTreeMap<String, String>,
) -> Result<(), BundleFault> {
    let unreadable = |path: &Path, source| BundleFault::Unreadable {
        path: path.to_owned(),
        source,
    };
    if depth == 0 {
        return Err(unreadable(
            folder,
            io::Error::other("too many folders inside each other"),
        ));
    }
    for entry in fs::read_dir(folder).map_err(|error| unreadable(folder, error))? {
        let path = entry.map_err(|error| unreadable(folder, error))?.path();
        // Follows links: a mounted ConfigMap is full of them, each file twice.
        let kind = fs::metadata(&path).map_err(|error| unreadable(&path, error))?;
        let is_hidden = path
            .file_name()
            .is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        if is_hidden {
            continue;
        }
        if kind.is_dir() {
            collect(root, &path, depth - 1, files)?;
            continue;
        }
        let below = path.strip_prefix(root).unwrap_or(&path);
        let name = below
            .components()
            .map(|part| part.as_os_str().to_string_lossy());
        let name = name.collect::<Vec<_>>().join("/");
        if is_wanted(&name) {
            let content = fs::read(&path).map_err(|error| unreadable(&path, error))?;
            files.insert(name, utf8(&path, content)?);
        }
    }
    Ok(())
}

fn utf8(path: &Path, content: Vec<u8>) -> Result<String, BundleFault> {
    String::from_utf8(content).map_err(|_| BundleFault::Unreadable {
        path: path.to_owned(),
        source: io::Error::new(io::ErrorKind::InvalidData, "it is not UTF-8"),
    })
}

fn digest(files: &BTreeMap<String, String>) -> String {
    let mut hash = digest::Context::new(&digest::SHA256);
    for text in files.iter().flat_map(|(path, content)| [path, content]) {
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
        let mut files = delivered().unwrap();
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
        let before = digest(&files(&[]));
        assert_ne!(
            before,
            digest(&files(&[("policies/custom/a.rego", "package a")]))
        );
        let swapped = |one: &str, two: &str| BTreeMap::from([(one.to_owned(), two.to_owned())]);
        assert_ne!(digest(&swapped("ab", "c")), digest(&swapped("a", "bc")));
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
        for part in ["policies", "data"] {
            fs::create_dir(folder.path().join(part)).unwrap();
        }
        assert!(matches!(load(), Err(BundleFault::Empty)));
    }
}
