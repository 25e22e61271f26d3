//! Snapshot files as they are found: sound, or with what is wrong with them.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use snapfmt::{CheckedManifest, Fault, FormatError, Limits, PreadFile, ReadAt, Snapshot};

use crate::device;
use crate::mmap::MappedFile;
use crate::sink::PARTIAL;

/// Where to look and how to read.
#[derive(Clone, Copy, Debug, Default)]
pub struct Lookup {
    /// Bounds on what files may claim.
    pub limits: Limits,
    /// Read regular files through a memory map instead of `pread(2)`. Only for local files on sound
    /// media: a bad sector then is a signal instead of an error.
    pub map: bool,
}

/// A snapshot file that was opened.
#[derive(Clone, Debug)]
pub struct SnapshotFile {
    /// Where it is.
    pub path: PathBuf,
    /// What it is.
    pub snapshot: Arc<Snapshot>,
}

/// A file that could not be opened as a snapshot.
#[derive(Debug)]
pub struct BadFile {
    /// What is wrong with it.
    pub error: FileError,
    /// What it says it is, where that much is intact.
    pub manifest: Option<Box<CheckedManifest>>,
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
}

/// A capture that was not finished leaves its work in a directory like this; it is no set yet.
pub(super) fn hidden_set(path: &Path) -> bool {
    let name = path.file_name().map(|n| n.to_string_lossy());
    name.is_some_and(|n| n.starts_with('.') && n.ends_with(PARTIAL))
}

/// Opens a snapshot file for reading by position.
pub(crate) fn open_file(path: &Path, lookup: &Lookup) -> io::Result<Arc<dyn ReadAt>> {
    // Opening a FIFO would wait for its writer.
    device::check_kind(&fs::metadata(path)?)?;
    let file = File::open(path)?;
    let size = device::size(&file)?;
    if lookup.map && file.metadata()?.is_file() {
        return Ok(Arc::new(MappedFile::map(&file)?));
    }
    Ok(Arc::new(PreadFile::new(file, size)))
}
