//! Where the private PostgreSQL lives on disk.
//!
//! ```text
//! <data folder>/postgres.lock     held while a gatepost uses the database
//! <data folder>/postgres/         the home; ours
//!     data/                       PostgreSQL's data; exists only when complete
//!     unfinished/                 the same while it is being made
//!     sockets/  server.log  passwords
//! ```
//!
//! Root's data folder is often out of reach for the user that PostgreSQL runs as (a checkout in
//! root's own folder, mode 0700). The home is then in [`ELSEWHERE`], and `<data folder>/postgres`
//! is a symbolic link to it.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError},
    io,
    os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    time::Duration,
};

use aws_lc_rs::digest;
use uuid::Uuid;

use super::{
    account::{Account, run},
    error::{BundledError, Storing},
    server,
};

/// Homes of data folders that PostgreSQL's user cannot reach, each under a hash of the folder's path.
const ELSEWHERE: &str = "/var/lib/gatepost";
/// What the names of homes that are forgotten begin with.
const EPHEMERAL: &str = "ephemeral-";
/// A socket's address holds 103 bytes on macOS and 107 on Linux; `/.s.PGSQL.65535` takes 15.
const LONGEST_SOCKET_FOLDER: usize = 85;
/// How long a lock may linger: a program that another thread is just
/// starting holds a copy of it for an instant.
const LOCK_PATIENCE: Duration = Duration::from_millis(500);

/// A locked place for one cluster.
#[derive(Debug)]
pub(super) struct Home {
    root: PathBuf,
    /// The path under the data folder: `root` itself, or a link to it.
    door: PathBuf,
    lock_path: PathBuf,
    _lock: File,
    ephemeral: bool,
}

impl Home {
    /// The data of a kept cluster of `folder`, whether it exists or not.
    pub(super) fn kept_data(folder: &Path) -> PathBuf {
        folder.join("postgres/data")
    }

    /// Makes and locks the home of a cluster in `folder`, a canonical path.
    pub(super) async fn open(
        folder: &Path,
        ephemeral: bool,
        account: &Account,
    ) -> Result<Self, BundledError> {
        let name = if ephemeral {
            sweep(folder).await;
            format!("{EPHEMERAL}{}", Uuid::now_v7().simple())
        } else {
            "postgres".to_owned()
        };
        let lock_path = folder.join(format!("{name}.lock"));
        let lock = lock(&lock_path, folder).await?;
        let door = folder.join(&name);
        let root = place(&door, folder, account).await?;
        let home = Self {
            root,
            door,
            lock_path,
            _lock: lock,
            ephemeral,
        };
        home.refuse_other_owner(account)?;
        Ok(home)
    }

    fn refuse_other_owner(&self, account: &Account) -> Result<(), BundledError> {
        match fs::metadata(self.data()) {
            Ok(found) if found.uid() != account.uid() => Err(BundledError::OtherOwner {
                path: self.data(),
                owner: found.uid(),
            }),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                let owner = fs::metadata(&self.root).storing("read", &self.root)?.uid();
                Err(BundledError::OtherOwner {
                    path: self.root.clone(),
                    owner,
                })
            }
            _ => Ok(()),
        }
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    pub(super) fn data(&self) -> PathBuf {
        self.root.join("data")
    }

    pub(super) fn unfinished(&self) -> PathBuf {
        self.root.join("unfinished")
    }

    pub(super) fn log(&self) -> PathBuf {
        self.root.join("server.log")
    }

    pub(super) fn passwords(&self) -> PathBuf {
        self.root.join("passwords")
    }

    /// The folder of the sockets: in the home, or a short one when that path is too long for one.
    pub(super) fn sockets(&self, account: &Account) -> Result<PathBuf, BundledError> {
        let folder = self.root.join("sockets");
        if folder.as_os_str().len() <= LONGEST_SOCKET_FOLDER {
            return Ok(folder);
        }
        let fixed = PathBuf::from(format!("/tmp/gatepost-{}", hash(&self.root)));
        let made = make_private(&fixed, account);
        // Anybody may make folders in /tmp: what is there already must be ours alone.
        let trusted = fs::symlink_metadata(&fixed).is_ok_and(|found| {
            found.is_dir() && found.uid() == account.uid() && found.mode().trailing_zeros() >= 6
        });
        if made.is_ok() || trusted {
            return Ok(fixed);
        }
        let fresh = PathBuf::from(format!("/tmp/gatepost-{}", Uuid::now_v7().simple()));
        make_private(&fresh, account)?;
        Ok(fresh)
    }

    /// Deletes an ephemeral home, and the socket folder if it was elsewhere.
    pub(super) fn leave(&self, sockets: &Path) {
        if !sockets.starts_with(&self.root) {
            let _ = fs::remove_dir(sockets);
        }
        if self.ephemeral {
            forget(&self.root, &self.door);
            let _ = fs::remove_file(&self.lock_path);
        }
    }
}

/// Makes a folder that only PostgreSQL's user may enter. It must not exist.
pub(super) fn make_private(path: &Path, account: &Account) -> Result<(), BundledError> {
    DirBuilder::new()
        .mode(0o700)
        .create(path)
        .storing("make the folder", path)?;
    account.own(path)
}

/// Removes the sockets of servers that were killed: PostgreSQL would trust the process numbers in
/// their lock files, which another program may have by now.
pub(super) fn empty(sockets: &Path) {
    for entry in fs::read_dir(sockets).into_iter().flatten().flatten() {
        let _ = fs::remove_file(entry.path());
    }
}

async fn lock(path: &Path, folder: &Path) -> Result<File, BundledError> {
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path);
    let file = match (file, fs::metadata(path)) {
        (Err(error), Ok(found)) if error.kind() == io::ErrorKind::PermissionDenied => {
            return Err(BundledError::OtherOwner {
                path: folder.to_owned(),
                owner: found.uid(),
            });
        }
        (file, _) => file.storing("write", path)?,
    };
    let attempts = async {
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(()),
                Err(TryLockError::Error(error)) => return Err(error).storing("lock", path),
                Err(TryLockError::WouldBlock) => tokio::time::sleep(LOCK_PATIENCE / 10).await,
            }
        }
    };
    match tokio::time::timeout(LOCK_PATIENCE, attempts).await {
        Ok(result) => result?,
        Err(_) => {
            return Err(BundledError::InUse {
                path: folder.to_owned(),
            });
        }
    }
    Ok(file)
}

/// Finds or makes the home behind `door`.
async fn place(door: &Path, folder: &Path, account: &Account) -> Result<PathBuf, BundledError> {
    if let Ok(root) = door.canonicalize() {
        fit_out(&root, account)?;
        return require_reachable(root, account).await;
    }
    // A link that leads nowhere is all that is left of a home that someone deleted.
    let _ = fs::remove_file(door);
    make_home(door, account)?;
    if reachable(door, account).await {
        return door.canonicalize().storing("open", door);
    }
    fs::remove_dir_all(door).storing("remove", door)?;
    let above = Path::new(ELSEWHERE).join(hash(folder));
    fs::create_dir_all(&above).storing("make the folder", &above)?;
    let root = above.join(door.file_name().unwrap_or_default());
    if root.exists() {
        set_aside(&root)?;
    }
    make_home(&root, account)?;
    let root = require_reachable(root, account).await?;
    std::os::unix::fs::symlink(&root, door).storing("make the link", door)?;
    tracing::info!(
        "{} is out of reach for user {}: the database is in {}",
        folder.display(),
        account.name(),
        root.display()
    );
    Ok(root)
}

/// The link to it is gone, so someone wants to start afresh; but what is in it may still be wanted.
fn set_aside(root: &Path) -> Result<(), BundledError> {
    let aside = root.with_extension(format!("old-{}", Uuid::now_v7().simple()));
    fs::rename(root, &aside).storing("move away", root)?;
    tracing::warn!(
        "an earlier database of this data folder is kept in {}; delete it if nobody needs it",
        aside.display()
    );
    Ok(())
}

fn make_home(root: &Path, account: &Account) -> Result<(), BundledError> {
    fs::create_dir_all(root).storing("make the folder", root)?;
    fit_out(root, account)
}

fn fit_out(root: &Path, account: &Account) -> Result<(), BundledError> {
    // The home stays ours, so that PostgreSQL's user cannot put links where we write.
    let mode = if account.differs() { 0o711 } else { 0o700 };
    let ours = fs::set_permissions(root, Permissions::from_mode(mode));
    match ours {
        // Somebody else's home; `refuse_other_owner` says so better.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Ok(()),
        result => result.storing("set the mode of", root)?,
    }
    let sockets = root.join("sockets");
    if !sockets.exists() {
        make_private(&sockets, account)?;
    }
    Ok(())
}

async fn require_reachable(root: PathBuf, account: &Account) -> Result<PathBuf, BundledError> {
    if reachable(&root, account).await {
        return Ok(root);
    }
    Err(BundledError::Unreachable {
        path: root,
        user: account.name().to_owned(),
    })
}

async fn reachable(root: &Path, account: &Account) -> bool {
    if !account.differs() {
        return true;
    }
    let mut command = account.command(Path::new("/bin/sh"));
    command
        .args(["-c", r#"cd "$0" && test -w ."#])
        .arg(root.join("sockets"));
    run(command, root).await.is_ok()
}

/// Deletes what earlier ephemeral clusters left that could not clean up behind themselves.
async fn sweep(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let Some(name) = name.to_str().and_then(|name| name.strip_suffix(".lock")) else {
            continue;
        };
        if !name.starts_with(EPHEMERAL) {
            continue;
        }
        let Ok(lock) = File::open(entry.path()) else {
            continue;
        };
        let door = folder.join(name);
        let root = door.canonicalize().unwrap_or_else(|_| door.clone());
        // Its server may still be stopping: then the next start sweeps.
        if lock.try_lock().is_ok() && !server::lives_in(&root.join("data")).await {
            tracing::debug!(
                "removing {}, left by a gatepost that was killed",
                root.display()
            );
            forget(&root, &door);
            let _ = fs::remove_file(entry.path());
        }
    }
}

fn forget(root: &Path, door: &Path) {
    if let Err(error) = fs::remove_dir_all(root)
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!("cannot delete {}: {error}", root.display());
    }
    if root != door {
        let _ = fs::remove_file(door);
    }
}

/// Sixteen hexadecimal digits that stand for a path.
fn hash(path: &Path) -> String {
    use std::{fmt::Write, os::unix::ffi::OsStrExt};
    let digest = digest::digest(&digest::SHA256, path.as_os_str().as_bytes());
    digest.as_ref()[..8]
        .iter()
        .fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
}
