//! Files that nobody else may read, written whole or not at all.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
};

/// Writes a new file that only its owner can read.
///
/// # Errors
///
/// The system's; also where a file exists.
pub fn write_private(path: &Path, content: &[u8]) -> io::Result<()> {
    create(path, 0o600)?.write_synced(content)
}

/// Makes a new file that only its owner can read, for more than fits into memory.
///
/// # Errors
///
/// The system's; also where a file exists.
pub fn create_private(path: &Path) -> io::Result<File> {
    create(path, 0o600)
}

/// Writes a file that only its owner can read, in the place of one that may be there: after a crash
/// or on a full disk it holds what it held before. Its owner stays its owner.
///
/// # Errors
///
/// The system's.
pub fn replace_private(path: &Path, content: &[u8]) -> io::Result<()> {
    replace(path, content, 0o600)
}

/// The same for what everyone may read, such as a certificate.
///
/// # Errors
///
/// The system's.
pub fn replace_public(path: &Path, content: &[u8]) -> io::Result<()> {
    replace(path, content, 0o644)
}

/// Makes a folder that only its owner can enter, with those above it. One that is there stays as it is.
///
/// # Errors
///
/// The system's.
pub fn private_folder(path: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

/// A name beside `path` that nobody else uses.
pub fn draft(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.{}", uuid::Uuid::now_v7().simple()))
}

/// Makes the names in the folder of `path` last through a crash.
///
/// # Errors
///
/// The system's.
pub fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    File::open(folder)?.sync_all()
}

fn replace(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    let draft = draft(path);
    let written = create(&draft, mode)
        .and_then(|file| file.write_synced(content))
        .and_then(|()| keep_owner(path, &draft))
        .and_then(|()| fs::rename(&draft, path));
    if written.is_err() {
        // The first error is the one to tell.
        let _ = fs::remove_file(&draft);
    }
    written.and_then(|()| sync_folder(path))
}

/// A server's key belongs to the server's user, whoever renews it.
#[cfg(unix)]
fn keep_owner(path: &Path, draft: &Path) -> io::Result<()> {
    use std::os::unix::fs::{MetadataExt, chown};
    let (Ok(before), now) = (fs::metadata(path), fs::metadata(draft)?) else {
        return Ok(());
    };
    if (before.uid(), before.gid()) == (now.uid(), now.gid()) {
        return Ok(());
    }
    chown(draft, Some(before.uid()), Some(before.gid()))
}

#[cfg(not(unix))]
fn keep_owner(_: &Path, _: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg_attr(not(unix), expect(unused_variables))]
fn create(path: &Path, mode: u32) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, mode);
    options.open(path)
}

trait WriteSynced {
    fn write_synced(self, content: &[u8]) -> io::Result<()>;
}

impl WriteSynced for File {
    fn write_synced(mut self, content: &[u8]) -> io::Result<()> {
        self.write_all(content)?;
        self.sync_all()
    }
}
