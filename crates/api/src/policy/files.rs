//! The files that a policy is read from: those in the program, or those in a folder.
use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use rust_embed::RustEmbed;

use super::bundle::BundleFault;

/// More folders than this inside each other are a loop of links.
const MAX_DEPTH: usize = 16;
/// What a folder may hold in all, in bytes: it is read once a second.
const MAX_BYTES: usize = 16 * 1024 * 1024;
/// Gatepost's own rules, which a folder that lacks them gets from the program.
const OWN_RULES: &str = "policies/gatepost/";
/// Roles and permissions, which a folder that lacks them gets from the program.
const OWN_DATA: &str = "data/gatepost/catalog/data.json";

#[derive(RustEmbed)]
#[folder = "../../opa"]
struct Delivered;

/// Texts by their path below the policy's folder.
pub(super) type Files = BTreeMap<String, String>;

/// The files in the folder `dir` and what it leaves to the program, or else those in the program.
///
/// # Errors
///
/// [`BundleFault::Unreadable`], or [`BundleFault::Empty`] if the folder has no Rego file.
pub(super) fn load(dir: Option<&Path>) -> Result<Files, BundleFault> {
    let delivered = delivered()?;
    let Some(dir) = dir else {
        return Ok(delivered);
    };
    let mut files = from_folder(dir)?;
    if !files.keys().any(|path| is_rule(path)) {
        return Err(BundleFault::Empty);
    }
    for part in [OWN_RULES, OWN_DATA] {
        if files.keys().any(|path| path.starts_with(part)) {
            continue;
        }
        // Our tests are about our rules alone: an operator's may rightly change their answers.
        let missing = delivered
            .iter()
            .filter(|(path, _)| path.starts_with(part) && !is_test(path));
        files.extend(missing.map(|(path, text)| (path.clone(), text.clone())));
    }
    Ok(files)
}

/// The file of the program that lists what both engines know, as OPA writes it.
pub(super) fn capabilities() -> Option<String> {
    let file = Delivered::get("capabilities.json")?;
    String::from_utf8(file.data.into_owned()).ok()
}

/// Whether a file is a Rego file, tests among them.
pub(super) fn is_rule(path: &str) -> bool {
    path.strip_prefix("policies/")
        .is_some_and(|name| name.strip_suffix(".rego").is_some())
}

/// Whether a Rego file holds tests, which do not decide anything.
pub(super) fn is_test(path: &str) -> bool {
    is_rule(path) && path.ends_with("_test.rego")
}

/// Where a data file's content stands in the data document: the folders it lies in.
pub(super) fn data_place(path: &str) -> Option<&str> {
    path.strip_prefix("data/")?
        .strip_suffix("data.json")?
        .strip_suffix('/')
        .or_else(|| (path == "data/data.json").then_some(""))
}

/// Whether a file belongs to a policy.
pub(super) fn is_wanted(path: &str) -> bool {
    is_rule(path) || data_place(path).is_some()
}

pub(super) fn delivered() -> Result<Files, BundleFault> {
    let mut files = Files::new();
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

fn from_folder(root: &Path) -> Result<Files, BundleFault> {
    let mut files = Files::new();
    collect(root, &root.join("policies"), MAX_DEPTH, &mut files)?;
    let data = root.join("data");
    // Roles and permissions may be left to the program, and custom rules need no data.
    if data.exists() {
        collect(root, &data, MAX_DEPTH, &mut files)?;
    }
    Ok(files)
}

fn collect(root: &Path, folder: &Path, depth: usize, files: &mut Files) -> Result<(), BundleFault> {
    let unreadable = |path: &Path, source| BundleFault::Unreadable {
        path: path.to_owned(),
        source,
    };
    if depth == 0 {
        let source = io::Error::other("too many folders inside each other");
        return Err(unreadable(folder, source));
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
            let size = files.values().map(String::len).sum::<usize>() + content.len();
            if size > MAX_BYTES {
                let source = io::Error::other(format!(
                    "the policy's files have more than {MAX_BYTES} bytes in all"
                ));
                return Err(unreadable(&path, source));
            }
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

/// Where the copy of a path would stand; for messages.
pub(super) fn shown(dir: Option<&Path>) -> PathBuf {
    dir.map_or_else(|| PathBuf::from("the copy in the program"), Path::to_owned)
}
