//! A directory that is gone after the test, and small file helpers that name the file in their errors.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::Outcome;

/// A private temporary directory, removed when dropped.
pub(crate) struct Scratch {
    dir: TempDir,
}

impl Scratch {
    pub(crate) fn new() -> Outcome<Self> {
        let dir = tempfile::Builder::new()
            .prefix("snaprestore-test-")
            .tempdir()
            .map_err(|e| format!("making a temporary directory: {e}"))?;
        Ok(Self { dir })
    }

    /// The path of something in it.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A new directory in it.
    pub(crate) fn dir(&self, name: &str) -> Outcome<PathBuf> {
        let path = self.path(name);
        make_dir(&path)?;
        Ok(path)
    }

    pub(crate) fn root(&self) -> &Path {
        self.dir.path()
    }
}

pub(crate) fn make_dir(path: &Path) -> Outcome {
    std::fs::create_dir_all(path).map_err(|e| format!("making {}: {e}", path.display()).into())
}

pub(crate) fn write(path: &Path, bytes: &[u8]) -> Outcome {
    std::fs::write(path, bytes).map_err(|e| format!("writing {}: {e}", path.display()).into())
}

pub(crate) fn read(path: &Path) -> Outcome<Vec<u8>> {
    std::fs::read(path).map_err(|e| format!("reading {}: {e}", path.display()).into())
}

pub(crate) fn len(path: &Path) -> Outcome<u64> {
    let meta = std::fs::metadata(path).map_err(|e| format!("{}: {e}", path.display()))?;
    Ok(meta.len())
}

pub(crate) fn mode(path: &Path) -> Outcome<u32> {
    let meta = std::fs::symlink_metadata(path).map_err(|e| format!("{}: {e}", path.display()))?;
    Ok(meta.permissions().mode() & 0o7777)
}

pub(crate) fn set_mode(path: &Path, mode: u32) -> Outcome {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))
        .map_err(|e| format!("chmod {mode:o} {}: {e}", path.display()).into())
}

/// Makes a sparse file of this length, or changes the length of an existing one.
pub(crate) fn set_len(path: &Path, len: u64) -> Outcome<File> {
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .open(path)
        .map_err(|e| format!("opening {}: {e}", path.display()))?;
    file.set_len(len).map_err(|e| format!("{} to {len} bytes: {e}", path.display()))?;
    Ok(file)
}

/// Makes a sparse file of this length, all zero, in place of what was there.
pub(crate) fn new_sparse(path: &Path, len: u64) -> Outcome<File> {
    if path.exists() {
        std::fs::remove_file(path).map_err(|e| format!("removing {}: {e}", path.display()))?;
    }
    set_len(path, len)
}

/// Turns one bit round, at a place counted from the start of the file.
pub(crate) fn flip_bit(path: &Path, offset: u64) -> Outcome {
    let file = OpenOptions::new().read(true).write(true).open(path)?;
    let mut byte = [0];
    file.read_exact_at(&mut byte, offset)
        .map_err(|e| format!("{} at {offset}: {e}", path.display()))?;
    byte[0] ^= 0x10;
    file.write_all_at(&byte, offset)?;
    Ok(())
}

/// Copies a file, holes kept.
pub(crate) fn copy(from: &Path, to: &Path) -> Outcome {
    let flags = ["--sparse=always", "--reflink=auto"].map(std::ffi::OsStr::new);
    super::tool::run("cp", flags.into_iter().chain([from.as_os_str(), to.as_os_str()])).map(drop)
}

/// Copies a tree as it is.
pub(crate) fn copy_tree(from: &Path, to: &Path) -> Outcome {
    super::tool::run("cp", [Path::new("-a"), from, to]).map(drop)
}

/// The paths of all regular files below a directory, sorted.
pub(crate) fn files_below(dir: &Path) -> Outcome<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut open = vec![dir.to_owned()];
    while let Some(dir) = open.pop() {
        let entries = std::fs::read_dir(&dir).map_err(|e| format!("{}: {e}", dir.display()))?;
        for entry in entries {
            let entry = entry?;
            let kind = entry.file_type()?;
            if kind.is_dir() {
                open.push(entry.path());
            } else if kind.is_file() {
                found.push(entry.path());
            }
        }
    }
    found.sort();
    Ok(found)
}
