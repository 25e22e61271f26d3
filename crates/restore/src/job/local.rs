//! The raw image that a running restore writes, read where it is durable already.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{OnceLock, PoisonError};

use rustix::fs::{Advice, OFlags, fadvise};

use host::entry::reopen;

use crate::journal::Proven;

/// What a restore has written so far. Empty until the restore has opened its target.
#[derive(Debug, Default)]
pub struct LocalCopy(OnceLock<Open>);

#[derive(Debug)]
struct Open {
    file: File,
    path: PathBuf,
    /// Where the file's first byte is in the volume.
    origin: u64,
    proven: Proven,
}

impl LocalCopy {
    /// The restore writes `target`, called `path`. Nothing but what is asked for is read into the page cache:
    /// what lies beside it may be on its way to the disk past that cache.
    pub(crate) fn open(
        &self,
        target: &File,
        path: &Path,
        origin: u64,
        proven: Proven,
    ) -> io::Result<()> {
        let file = reopen(target, OFlags::RDONLY)?;
        fadvise(&file, 0, None, Advice::Random)?;
        let path = path.to_owned();
        // A second restore into the same copy would be a mistake of the caller, and goes unseen.
        let _ = self.0.set(Open { file, path, origin, proven });
        Ok(())
    }

    /// The part of `range`, from its start, that is durable or not: up to where, and which it is.
    pub fn run(&self, range: &Range<u64>) -> (u64, bool) {
        let Some(open) = self.0.get() else { return (range.end, false) };
        let proven = open.proven.read().unwrap_or_else(PoisonError::into_inner);
        match proven.end_from(range.start) {
            Some(end) => (end.min(range.end), true),
            None => (proven.next_from(range.start).map_or(range.end, |n| n.min(range.end)), false),
        }
    }

    /// Reads bytes of the volume that are durable.
    pub fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let open = self.0.get().ok_or(io::ErrorKind::NotFound)?;
        open.file.read_exact_at(out, offset - open.origin)
    }

    /// How many bytes are durable.
    pub fn bytes(&self) -> u64 {
        let proven = self.0.get().map(|open| &open.proven);
        proven.map_or(0, |p| p.read().unwrap_or_else(PoisonError::into_inner).bytes())
    }

    /// The file it is in, by the name that it gets in the end.
    pub fn path(&self) -> Option<&Path> {
        self.0.get().map(|open| open.path.as_path())
    }
}
