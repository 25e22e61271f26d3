//! Snapshot files as they are found: sound, or with what is wrong with them.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use snapfmt::{CheckedManifest, Fault, FormatError, Limits, PreadFile, ReadAt, SnapshotId};

use super::pool::{FilePool, PooledFile};
use crate::mmap::MappedFile;
use host::{device, is_of_machine};
use restore::source::SnapshotFile;

/// Where to look and how to read.
#[derive(Clone, Copy, Debug, Default)]
pub struct Lookup {
    /// Bounds on what files may claim.
    pub limits: Limits,
    /// Read regular files through a memory map instead of `pread(2)`. Only for local files on sound
    /// media: a bad sector then is a signal instead of an error.
    pub map: bool,
}

/// A file that could not be opened as a snapshot.
#[derive(Debug)]
pub struct BadFile {
    /// What is wrong with it.
    pub error: FileError,
    /// What it says it is, where that much is intact.
    pub manifest: Option<Box<CheckedManifest>>,
}

/// Gives each file the name of the next one with the same snapshot.
pub(super) fn name_copies(files: &mut [SnapshotFile]) {
    let mut alike: HashMap<SnapshotId, Vec<usize>> = HashMap::new();
    for (number, file) in files.iter().enumerate() {
        alike.entry(file.snapshot.footer().snapshot).or_default().push(number);
    }
    for numbers in alike.values().filter(|numbers| numbers.len() > 1) {
        let others = numbers.iter().cycle().skip(1);
        for (own, other) in numbers.iter().zip(others) {
            let path = files.get(*other).map(|file| Arc::from(file.path.as_path()));
            if let Some(file) = files.get_mut(*own) {
                file.copy = path;
            }
        }
    }
}

/// What is wrong with a file.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{}: {cause}", path.display())]
pub struct FileError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong.
    #[source]
    pub cause: Arc<FormatError>,
}

impl FileError {
    pub(super) fn io(path: &Path, error: io::Error) -> Self {
        let fault = Fault::Io(error);
        let cause = FormatError { at: 0, what: snapfmt::Structure::File, fault };
        Self { path: path.to_owned(), cause: Arc::new(cause) }
    }

    /// Whether the system failed over the file (no descriptors, no memory, a failing medium or server),
    /// which says nothing of what the file holds.
    pub fn is_of_machine(&self) -> bool {
        matches!(&self.cause.fault, Fault::Io(error) if is_of_machine(error))
    }
}

/// Opens a snapshot file for reading by position, and keeps it open.
pub(crate) fn open_file(path: &Path, lookup: &Lookup) -> io::Result<Arc<dyn ReadAt>> {
    checked(path, || File::open(path), lookup)
}

/// Opens one of many snapshot files: it is open only while it is among those that were read last.
pub(super) fn open_pooled(
    path: &Path,
    lookup: &Lookup,
    pool: &Arc<FilePool>,
) -> io::Result<Arc<dyn ReadAt>> {
    // A device has no identity that would tell that it was not written to.
    if lookup.map || !fs::metadata(path)?.is_file() {
        return checked(path, || pool.open(path), lookup);
    }
    Ok(Arc::new(PooledFile::new(pool, path, pool.open(path)?)?))
}

fn checked(
    path: &Path,
    open: impl FnOnce() -> io::Result<File>,
    lookup: &Lookup,
) -> io::Result<Arc<dyn ReadAt>> {
    // Opening a FIFO would wait for its writer.
    device::check_kind(&fs::metadata(path)?)?;
    let file = open()?;
    let size = device::size(&file)?;
    if lookup.map && file.metadata()?.is_file() {
        return Ok(Arc::new(MappedFile::map(&file)?));
    }
    Ok(Arc::new(PreadFile::new(file, size)))
}
