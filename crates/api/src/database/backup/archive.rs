//! The file: a tar (POSIX ustar) that any `tar` takes apart.

use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use aws_lc_rs::digest::{self, Context};

use super::model::{BackupError, Manifest, doing, hex};

const BLOCK: usize = 512;
pub(super) const DUMP: &str = "database.dump";
const MANIFEST: &str = "manifest.json";
const SUMS: &str = "SHA256SUMS";
/// More than this is no manifest.
const LONGEST: u64 = 1 << 20;

/// A backup in the making.
pub(super) struct Writer {
    file: File,
    path: PathBuf,
    size: u64,
    hash: Context,
}

impl Writer {
    /// On a new file, whose first block is filled in at the end, when the size is known.
    pub(super) fn new(mut file: File, path: &Path) -> Result<Self, BackupError> {
        file.write_all(&[0; BLOCK]).map_err(doing("write", path))?;
        Ok(Self {
            file,
            path: path.to_owned(),
            size: 0,
            hash: Context::new(&digest::SHA256),
        })
    }

    /// Adds a piece of the dump.
    pub(super) fn add(&mut self, piece: &[u8]) -> Result<(), BackupError> {
        self.hash.update(piece);
        self.size += piece.len() as u64;
        self.file
            .write_all(piece)
            .map_err(doing("write", &self.path))
    }

    /// Closes the dump, and adds the rest.
    pub(super) fn finish(mut self, manifest: &Manifest) -> Result<(), BackupError> {
        let manifest = serde_json::to_vec_pretty(manifest)
            .map_err(|error| BackupError::damaged(&self.path, error.to_string()))?;
        let sums = format!(
            "{}  {DUMP}\n{}  {MANIFEST}\n",
            hex(self.hash.clone().finish().as_ref()),
            hex(digest::digest(&digest::SHA256, &manifest).as_ref())
        );
        let size = self.size;
        let mut write = || -> io::Result<()> {
            pad(&mut self.file, size)?;
            for (name, content) in [(MANIFEST, manifest.as_slice()), (SUMS, sums.as_bytes())] {
                self.file.write_all(&header(name, content.len() as u64))?;
                self.file.write_all(content)?;
                pad(&mut self.file, content.len() as u64)?;
            }
            self.file.write_all(&[0; 2 * BLOCK])?;
            self.file.seek(SeekFrom::Start(0))?;
            self.file.write_all(&header(DUMP, size))?;
            self.file.sync_all()
        };
        write().map_err(doing("write", &self.path))
    }
}

fn pad(file: &mut File, size: u64) -> io::Result<()> {
    let block = BLOCK as u64;
    let missing = usize::try_from(size.next_multiple_of(block) - size).unwrap_or(0);
    file.write_all(&[0; BLOCK][..missing])
}

fn header(name: &str, size: u64) -> [u8; BLOCK] {
    let mut header = [0_u8; BLOCK];
    let mut put = |at: usize, bytes: &[u8]| header[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, name.as_bytes());
    put(100, b"0000600\0");
    put(108, b"0000000\0");
    put(116, b"0000000\0");
    if size < 1 << 33 {
        put(124, format!("{size:011o}\0").as_bytes());
    } else {
        // What GNU tar writes for more than eleven octal digits hold.
        put(124, &[0x80]);
        put(128, &size.to_be_bytes());
    }
    put(136, b"00000000000\0");
    // The sum is taken with spaces where it will stand.
    put(148, b"        ");
    put(156, b"0");
    put(257, b"ustar\0");
    put(263, b"00");
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    header
}

/// A backup whose sums were found right.
pub(super) struct Archive {
    pub(super) manifest: Manifest,
    file: File,
    path: PathBuf,
    size: u64,
}

impl Archive {
    /// Reads all of it.
    pub(super) fn open(path: &Path) -> Result<Self, BackupError> {
        let mut file = File::open(path).map_err(doing("read", path))?;
        let damaged = |why: &str| BackupError::damaged(path, why);
        let size = entry(&mut file, DUMP).map_err(|why| damaged(&why))?;
        let mut hash = Context::new(&digest::SHA256);
        let mut left = size;
        let mut buffer = vec![0; 1 << 16];
        while left > 0 {
            let most = usize::try_from(left)
                .unwrap_or(usize::MAX)
                .min(buffer.len());
            let read = file
                .read(&mut buffer[..most])
                .map_err(doing("read", path))?;
            if read == 0 {
                return Err(damaged("its end is missing"));
            }
            hash.update(&buffer[..read]);
            left -= read as u64;
        }
        let dump_sum = hex(hash.finish().as_ref());
        skip_padding(&mut file, size).map_err(doing("read", path))?;
        let manifest = small(&mut file, MANIFEST).map_err(|why| damaged(&why))?;
        let sums = small(&mut file, SUMS).map_err(|why| damaged(&why))?;
        let manifest_sum = hex(digest::digest(&digest::SHA256, &manifest).as_ref());
        let expected = format!("{dump_sum}  {DUMP}\n{manifest_sum}  {MANIFEST}\n");
        if sums != expected.as_bytes() {
            return Err(damaged(
                "its checksums are others: it was damaged or changed",
            ));
        }
        let manifest =
            serde_json::from_slice(&manifest).map_err(|error| damaged(&error.to_string()))?;
        Ok(Self {
            manifest,
            file,
            path: path.to_owned(),
            size,
        })
    }

    /// The dump, from its beginning.
    pub(super) fn dump(&self) -> Result<io::Take<File>, BackupError> {
        let open = || -> io::Result<io::Take<File>> {
            let mut file = self.file.try_clone()?;
            file.seek(SeekFrom::Start(BLOCK as u64))?;
            Ok(file.take(self.size))
        };
        open().map_err(doing("read", &self.path))
    }
}

/// Reads the header of the next file, which has to have this name, and returns its size.
fn entry(file: &mut File, name: &str) -> Result<u64, String> {
    let mut found = [0; BLOCK];
    file.read_exact(&mut found)
        .map_err(|_| "it is too short".to_owned())?;
    let digits = &found[124..135];
    let size = if found[124] == 0x80 {
        u64::from_be_bytes(found[128..136].try_into().unwrap_or_default())
    } else {
        let text = str::from_utf8(digits).unwrap_or_default();
        u64::from_str_radix(text, 8).unwrap_or(u64::MAX)
    };
    if size == u64::MAX || found != header(name, size) {
        return Err(format!("{name} is not where it has to be"));
    }
    Ok(size)
}

fn small(file: &mut File, name: &str) -> Result<Vec<u8>, String> {
    let size = entry(file, name)?;
    if size > LONGEST {
        return Err(format!("{name} is too long"));
    }
    let mut content = vec![0; usize::try_from(size).unwrap_or(0)];
    file.read_exact(&mut content)
        .and_then(|()| skip_padding(file, size))
        .map_err(|_| "its end is missing".to_owned())?;
    Ok(content)
}

fn skip_padding(file: &mut File, size: u64) -> io::Result<()> {
    let missing = size.next_multiple_of(BLOCK as u64) - size;
    file.seek(SeekFrom::Current(i64::try_from(missing).unwrap_or(0)))?;
    Ok(())
}
